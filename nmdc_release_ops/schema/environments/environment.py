"""Schema environments: one virtual environment per schema release, created once and then reused."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path

from nmdc_release_ops.files import lock, lock_of, replace_folder, writing
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.candidate import Candidate, requirements_of
from nmdc_release_ops.schema.packages.package import spec
from nmdc_release_ops.schema.processes import TookTooLong, run_to_end
from nmdc_release_ops.schema.uv import python, run_uv
from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion

PACKAGES = "packages.json"
BYTES = 250_000_000
"""Approximate size of an environment on disk."""
# What validation needs besides the release itself. The versions are exact, because the verdicts of the fast pass are compared
# with LinkML's for these. refscan is installed without its requirements, which conflict with linkml's; its library works
# without them.
VALIDATION_PACKAGES = ("jsonschema-rs==0.60.3", "rich>=13.7,<15")
VALIDATION_PACKAGES_ALONE = ("refscan==0.4.4",)
NOT_WRITTEN = 74
"""Exit code of a worker that could not write a file: `EXIT_CODE` in `worker/disk.py`, which cannot be imported here."""
_VERIFIED = "verified"
_CHECK_SECONDS = 120
_PARALLEL = 4
_SECONDS_A_DAY = 24 * 60 * 60
# What workers import besides what the check does. Not every release has all of it.
_IMPORTED = (
    "linkml.generators.jsonschemagen",
    "linkml.validator.plugins",
    "nmdc_schema.migrators.adapters.mongo_adapter",
    "nmdc_schema.migrators.migrator_base",
    "nmdc_schema.nmdc_schema_validation_plugin",
)
# Runs inside the environment. The last line that it prints is the version that would be used. Python writes the bytecode of
# whatever is imported here. No later process may write any: an environment stays as it was verified.
_CHECK = f"""
import contextlib, importlib, importlib.metadata
import dagster_pipes, jsonschema_rs, linkml.validator, nmdc_schema.nmdc_data, pymongo
import refscan.lib.helpers
for module in {_IMPORTED}:
    with contextlib.suppress(Exception):
        importlib.import_module(module)
print(importlib.metadata.version("nmdc-schema"))
"""
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# The schema folder goes to the end of the path, so that no module of ours can shadow what the release needs.
_BOOTSTRAP = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)


class EnvironmentBroken(SchemaError):
    """An environment was created, and does not work."""


@dataclass(frozen=True)
class SchemaEnvironment:
    """The environment of a schema release.

    Attributes:
        packages: name and exact version of everything installed in it.
    """

    release: SchemaVersion | Candidate
    path: Path
    packages: dict[str, str]

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def schema_version(self) -> str:
        """The version in the metadata of its nmdc-schema: "11.25"; for a candidate, any text."""
        return self.packages["nmdc-schema"]

    def stamp(self) -> tuple[int, int]:
        """What differs if the environment was created again."""
        status = (self.path / PACKAGES).stat()
        return status.st_ino, status.st_mtime_ns


class SchemaEnvironments:
    """Environments of schema releases below a folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "environments"
        self._packages = home / "packages"
        self._prepared: dict[str, tuple[SchemaEnvironment, tuple[int, int]]] = {}

    def prepare(self, release: SchemaVersion | Candidate) -> SchemaEnvironment:
        """The environment of a release. It is created if there is none yet, or if it does not work.

        This object examines an environment once, and again if it was made again since.

        Raises:
            PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed, EnvironmentBroken.
        """
        folder = self._folder / str(release)
        with writing(folder), lock(folder) as lock_file:
            os.utime(lock_file)
            if (known := self._known(release)) is not None:
                return known
            if _fault(folder, release) is not None:
                self._make(folder, release)
            environment = SchemaEnvironment(release, folder, json.loads((folder / PACKAGES).read_text()))
            self._prepared[str(release)] = environment, environment.stamp()
        return environment

    def _known(self, release: SchemaVersion | Candidate) -> SchemaEnvironment | None:
        """An environment that this object has examined, unless it was made again since, or is gone."""
        environment, stamp = self._prepared.get(str(release), (None, None))
        try:
            return environment if environment is not None and environment.stamp() == stamp else None
        except OSError:
            return None

    def prepare_all(self, releases: Iterable[SchemaVersion | Candidate]) -> dict[str, SchemaEnvironment]:
        """The environments of several releases by their names, prepared side by side.

        Raises:
            PackageIndexUnreachable, PackageIndexUnusable, InstallationFailed, EnvironmentBroken: the first of them.
        """
        wanted = {str(release): release for release in releases}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            try:
                return dict(zip(wanted, pool.map(self.prepare, wanted.values()), strict=True))
            except BaseException:
                # Do not start the remaining ones.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def prune(self, days: float) -> list[str]:
        """Remove the environments that have not been used for `days`; return their names.

        A release's environment can be created again from the package index. A candidate has to be built again.

        Raises:
            OSError: one could not be removed; the next call retries it.
        """
        removed = []
        for name, last_used in self.listed():
            folder = self._folder / name
            if time.time() - last_used < days * _SECONDS_A_DAY:
                continue
            try:
                with lock(folder, wait=False):
                    shutil.rmtree(folder)
                    if name.startswith("candidate-"):
                        shutil.rmtree(self._packages / name, ignore_errors=True)
            except BlockingIOError:
                # Another process is about to use it.
                continue
            removed.append(name)
        return removed

    def listed(self) -> Iterator[tuple[str, float]]:
        """Name of each environment, and when it was last used, in seconds since 1970."""
        for folder in sorted(self._folder.glob("[!.]*")):
            lock_file = lock_of(folder)
            yield folder.name, (lock_file if lock_file.exists() else folder).stat().st_mtime

    def _make(self, folder: Path, release: SchemaVersion | Candidate) -> None:
        with replace_folder(folder) as aside:
            run_uv(
                ["venv", "--relocatable", "--allow-existing", "--python", python(), str(aside)], what="an environment"
            )
            interpreter = str(aside / "bin" / "python")
            candidate = self._packages / release.name if isinstance(release, Candidate) else None
            # By default uv links to its cache. Code that writes to a file here would then change that file in every
            # environment on the machine, and creating this one again would not repair it.
            install = ["pip", "install", "--no-compile-bytecode", "--link-mode", "copy", "--python", interpreter]
            run_uv(
                [*install, *_added_packages(), "--requirements", "-"],
                what=f"nmdc-schema {release}" if candidate is None else f"what {release} needs",
                requirements="\n".join(requirements_of(candidate) if candidate else [spec(_require_published(release))])
                + "\n",
            )
            run_uv([*install, "--no-deps", *VALIDATION_PACKAGES_ALONE], what=", ".join(VALIDATION_PACKAGES_ALONE))
            if candidate is not None:
                _copy_package(candidate, aside)
            listed = json.loads(
                run_uv(["pip", "list", "--python", interpreter, "--format", "json"], what="packages")[0]
            )
            (aside / PACKAGES).write_text(json.dumps({item["name"]: item["version"] for item in listed}, indent=2))
            fault = _fault(aside, release)
            if fault is not None:
                raise EnvironmentBroken(
                    f"The environment of nmdc-schema {release} was created, and does not work: {fault} Try again. If it "
                    "happens again, report it to the schema's maintainers."
                )


def worker_command(environment: SchemaEnvironment, task: str, *arguments: str) -> list[str]:
    """The command that runs the module `task` of `schema/worker` with the environment's Python."""
    folder = str(Path(__file__).parent.parent)
    return [str(environment.python), "-P", "-c", _BOOTSTRAP, folder, f"worker.{task}", *arguments]


def worker_environment(transformer_uri: str) -> dict[str, str]:
    """Every variable that a worker gets, except those of Dagster Pipes.

    It is not a copy of this process's environment: code of a schema release must see neither the origin's address nor its
    credentials.
    """
    return {
        "NMDC_TRANSFORMER_URI": transformer_uri,
        # Not the operator's home, which may hold other credentials.
        "HOME": tempfile.gettempdir(),
        "TMPDIR": tempfile.gettempdir(),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        _NO_BYTECODE: "1",
    }


def _fault(folder: Path, release: SchemaVersion | Candidate) -> str | None:
    """What is wrong with an environment; None if it works.

    An environment that worked, and of which no file has changed since, works.
    """
    try:
        packages = json.loads((folder / PACKAGES).read_text())
        verified = folder / _VERIFIED
        if verified.is_file() and verified.read_text() == _fingerprint(folder, release):
            return None
    except ValueError:
        return f"its {PACKAGES} cannot be read."
    except OSError as error:
        return f"it is not complete: {error}."
    for name, _, version in (pin.partition("==") for pin in (*_added_packages(), *VALIDATION_PACKAGES_ALONE)):
        if version and packages.get(name) != version:
            return f"it does not hold {name} {version}."
    fault = _fault_in_use(folder, release, packages)
    if fault is None:
        (folder / _VERIFIED).write_text(_fingerprint(folder, release))
    return fault


def _fault_in_use(folder: Path, release: SchemaVersion | Candidate, packages: dict[str, str]) -> str | None:
    """What is wrong with an environment when its Python imports what a worker needs; None if nothing is."""
    variables = {name: value for name, value in worker_environment("").items() if name != _NO_BYTECODE}
    try:
        done = run_to_end([str(folder / "bin" / "python"), "-P", "-c", _CHECK], env=variables, seconds=_CHECK_SECONDS)
    except (OSError, TookTooLong) as error:
        return f"its Python does not run: {error}."
    if done.code != 0:
        return f"it cannot be imported: {done.errors.strip().splitlines()[-1:]}."
    version = done.output.strip().rpartition("\n")[2]
    if isinstance(release, Candidate):
        return None if version == packages.get("nmdc-schema") else f"it holds version {version}."
    try:
        return None if SchemaVersion.parse(version) == release else f"it holds version {version}."
    except InvalidSchemaVersion:
        return f"it reports {version!r} as the release that it holds."


def _fingerprint(folder: Path, release: SchemaVersion | Candidate) -> str:
    """A digest that changes if a file of the environment, or the Python that it was created from, changes."""
    digest = hashlib.sha256("\n".join([str(release), *_added_packages(), *VALIDATION_PACKAGES_ALONE]).encode())
    # An environment has more than ten thousand files: no Path is made for each.
    for root, folders, files in os.walk(folder):
        folders.sort()
        inside = "" if root == str(folder) else f"{os.path.relpath(root, folder)}/"
        for name in sorted(files):
            if not inside and name == _VERIFIED:
                continue
            status = os.lstat(f"{root}{os.sep}{name}")
            digest.update(f"{inside}{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    interpreter = (folder / "bin" / "python").stat()
    digest.update(f"{interpreter.st_size}\0{interpreter.st_mtime_ns}".encode())
    return digest.hexdigest()


def _copy_package(package: Path, environment: Path) -> None:
    (destination,) = environment.glob("lib/python*/site-packages")
    for part in package.iterdir():
        if part.is_dir() and part.name != "bin":
            shutil.copytree(part, destination / part.name, dirs_exist_ok=True)


def _require_published(release: SchemaVersion | Candidate) -> SchemaVersion:
    if isinstance(release, Candidate):
        raise TypeError("a candidate is not published")
    return release


def _added_packages() -> list[str]:
    """What an environment has to contain besides the release."""
    return [f"dagster-pipes=={installed_version('dagster-pipes')}", *VALIDATION_PACKAGES]
