"""Schema environments: one virtual environment per schema release, made once and reused ever after."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.package import spec
from nmdc_release_ops.schema.placing import lock, made_aside
from nmdc_release_ops.schema.uv import python, run_uv
from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion

PACKAGES = "packages.json"
_CHECK_SECONDS = 120
# Runs inside the environment: whatever is printed on the last line is the version that would be used.
_CHECK = (
    "import dagster_pipes, importlib.metadata, linkml.validator, nmdc_schema.nmdc_data, pymongo; "
    "print(importlib.metadata.version('nmdc-schema'))"
)
# The schema folder goes to the end of the path, so that nothing of ours can stand in for what the release needs.
_BOOTSTRAP = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)


class EnvironmentBroken(SchemaError):
    """An environment was made, and does not work."""


@dataclass(frozen=True)
class SchemaEnvironment:
    """The environment of a schema release.

    Attributes:
        packages: name and exact version of everything installed in it.
    """

    version: SchemaVersion
    path: Path
    packages: dict[str, str]

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"


class SchemaEnvironments:
    """Environments of schema releases below a folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "environments"

    def prepare(self, version: SchemaVersion) -> SchemaEnvironment:
        """The environment of a release, made where there is none yet, made again where it does not work.

        Raises:
            SchemaReleaseNotFound, PackageIndexUnreachable, InstallationFailed, EnvironmentBroken.
        """
        folder = self._folder / str(version)
        with lock(folder):
            if _fault(folder, version) is not None:
                self._make(folder, version)
        return SchemaEnvironment(version, folder, json.loads((folder / PACKAGES).read_text()))

    def _make(self, folder: Path, version: SchemaVersion) -> None:
        with made_aside(folder) as aside:
            run_uv(
                ["venv", "--relocatable", "--allow-existing", "--python", python(), str(aside)], what="an environment"
            )
            interpreter = str(aside / "bin" / "python")
            run_uv(
                [
                    "pip",
                    "install",
                    "--compile-bytecode",
                    # By default uv links to its cache: code that writes to a file here would change that file in
                    # every environment on the machine, and making this one anew would not mend it.
                    *("--link-mode", "copy"),
                    "--python",
                    interpreter,
                    spec(version),
                    f"dagster-pipes=={_pipes_version()}",
                ],
                what=f"nmdc-schema {version}",
            )
            listed = json.loads(run_uv(["pip", "list", "--python", interpreter, "--format", "json"], what="packages"))
            (aside / PACKAGES).write_text(json.dumps({item["name"]: item["version"] for item in listed}, indent=2))
            fault = _fault(aside, version)
            if fault is not None:
                raise EnvironmentBroken(
                    f"The environment of nmdc-schema {version} was made and does not work: {fault} Try again, and if "
                    "it stays so, tell the schema's maintainers."
                )


def worker_command(environment: SchemaEnvironment, task: str) -> list[str]:
    """The command that runs the module `task` of `schema/worker` with the environment's Python."""
    return [str(environment.python), "-P", "-c", _BOOTSTRAP, str(Path(__file__).parent), f"worker.{task}"]


def worker_environment(transformer_uri: str) -> dict[str, str]:
    """Every variable that a worker gets, but for Dagster Pipes' own.

    It is not a copy of ours: code of a schema release must see neither the origin's address nor its credentials.
    """
    return {
        "NMDC_TRANSFORMER_URI": transformer_uri,
        # Not the operator's own, where other credentials may lie.
        "HOME": tempfile.gettempdir(),
        "TMPDIR": tempfile.gettempdir(),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _fault(folder: Path, version: SchemaVersion) -> str | None:
    """What is wrong with an environment; None where it works."""
    interpreter = folder / "bin" / "python"
    try:
        json.loads((folder / PACKAGES).read_text())
        done = subprocess.run(
            [str(interpreter), "-P", "-c", _CHECK],
            env=worker_environment(""),
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except ValueError:
        return f"its {PACKAGES} cannot be read."
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it is not complete, or its Python does not run: {error}."
    if done.returncode != 0:
        return f"it cannot be imported: {done.stderr.strip().splitlines()[-1:]}."
    found = done.stdout.strip().rpartition("\n")[2]
    try:
        return None if SchemaVersion.parse(found) == version else f"it holds version {found}."
    except InvalidSchemaVersion:
        return f"it does not say which release it holds, but {found!r}."


def _pipes_version() -> str:
    return installed_version("dagster-pipes")
