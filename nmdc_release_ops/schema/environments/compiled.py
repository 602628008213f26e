"""Compiled schemas: what validation needs to know of a release's schema, as data, made once in its environment and kept.

`schema/worker/compile_schema.py` makes them, and `schema/worker/compiled.py` describes and uses them.
"""

import hashlib
import json
from pathlib import Path

from nmdc_release_ops.files import FileNotWritten, writing
from nmdc_release_ops.schema.environments.environment import (
    NOT_WRITTEN,
    SchemaEnvironment,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops.schema.placing import lock
from nmdc_release_ops.schema.processes import TookTooLong, run_to_end

TASK = "compiling.compile_schema"
_SECONDS = 1_800
# Whatever the worker's code makes of a schema, it makes anew when that code changes.
_COMPILING = Path(__file__).parent.parent / "worker" / "compiling"


class SchemaNotCompiled(SchemaError):
    """LinkML could not make of a release's schema what validation needs."""


class CompiledSchemas:
    """Compiled schemas below a folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "compiled"

    def prepare(self, environment: SchemaEnvironment) -> Path:
        """The file with the compiled schema of the release whose environment it is, made where there is none yet.

        Raises:
            SchemaNotCompiled, FileNotWritten.
        """
        return self._made(environment, f"{environment.release}", ["schema"])

    def prepare_references(self, environment: SchemaEnvironment, package: SchemaPackage) -> Path:
        """The file with the rules for references by the schema of another release.

        Args:
            environment: whose LinkML and refscan read the schema.

        Raises:
            SchemaNotCompiled, FileNotWritten.
        """
        return self._made(environment, f"{package.version}-references", ["references", str(package.definition())])

    def _made(self, environment: SchemaEnvironment, name: str, arguments: list[str]) -> Path:
        path = self._folder / f"{name}-{_digest(environment)}.json"
        with writing(self._folder), lock(path):
            if not path.is_file():
                aside = path.with_suffix(".new")
                self._compile(environment, name, [*arguments, str(aside)])
                aside.rename(path)
        return path

    def _compile(self, environment: SchemaEnvironment, name: str, arguments: list[str]) -> None:
        try:
            done = run_to_end(
                [*worker_command(environment, TASK), *arguments],
                cwd=self._folder,
                env=worker_environment(""),
                seconds=_SECONDS,
            )
            if done.code == NOT_WRITTEN:
                raise FileNotWritten(self._folder, done.errors.strip().rpartition("\n")[2])
            said = done.errors if done.code else ""
        except TookTooLong:
            said = f"It took longer than {_SECONDS} seconds."
        if said or not Path(arguments[-1]).is_file():
            raise SchemaNotCompiled(
                f"The schema of release {name} could not be turned into what documents are validated by. Tell the schema's "
                f"maintainers, or choose another release. LinkML said:\n{said.strip()[-1500:]}"
            )


def _digest(environment: SchemaEnvironment) -> str:
    """Stands for everything that the result depends on."""
    digest = hashlib.sha256(json.dumps(environment.packages, sort_keys=True).encode())
    for module in sorted(_COMPILING.rglob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:12]
