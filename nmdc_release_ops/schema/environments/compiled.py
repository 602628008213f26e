"""Compiled schemas: what validation needs of a release's schema, as data, compiled once in its environment and kept.

`schema/worker/compiling/compile_schema.py` creates them, and `schema/worker/validating/compiled.py` reads them.
"""

import hashlib
import json
from pathlib import Path

from nmdc_release_ops.files import FileNotWritten, lock, replace_file, writing
from nmdc_release_ops.schema.environments.environment import (
    NOT_WRITTEN,
    SchemaEnvironment,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops.schema.processes import TookTooLong, run_to_end

TASK = "compiling.compile_schema"
_SECONDS = 1_800
COMPILING = Path(__file__).parent.parent / "worker" / "compiling"
"""The room whose code determines what a compiled schema holds."""


class SchemaNotCompiled(SchemaError):
    """LinkML could not compile a release's schema."""


class CompiledSchemas:
    """Compiled schemas below a folder."""

    def __init__(self, home: Path) -> None:
        # A worker that has read a file ahead compares paths.
        self._folder = (home / "compiled").resolve()

    def prepare(self, environment: SchemaEnvironment) -> Path:
        """The file with the compiled schema of the environment's release. It is compiled if there is none yet.

        Raises:
            SchemaNotCompiled, FileNotWritten.
        """
        return self._prepare(environment, f"{environment.release}", ["schema"])

    def prepare_references(self, environment: SchemaEnvironment, package: SchemaPackage) -> Path:
        """The file with the rules for references by another release's schema. It is compiled if there is none yet.

        Args:
            environment: its LinkML and refscan read the schema.

        Raises:
            SchemaNotCompiled, FileNotWritten.
        """
        return self._prepare(environment, f"{package.version}-references", ["references", str(package.definition())])

    def _prepare(self, environment: SchemaEnvironment, name: str, arguments: list[str]) -> Path:
        path = self._folder / f"{name}-{_digest(environment)}.json"
        with writing(self._folder), lock(path):
            if not path.is_file():
                with replace_file(path) as aside:
                    self._compile(environment, name, [*arguments, str(aside)])
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
            error = done.errors if done.code else ""
        except TookTooLong:
            error = f"It took longer than {_SECONDS} seconds."
        if error or not Path(arguments[-1]).is_file():
            raise SchemaNotCompiled(
                f"The schema of release {name} could not be compiled for validation. Report this to the schema's maintainers, or "
                f"choose another release. The error was:\n{error.strip()[-1500:]}"
            )


def _digest(environment: SchemaEnvironment) -> str:
    """The digest of everything that a compiled schema depends on: the environment's packages, and all code in `COMPILING`.

    A change of any file of that room recompiles every schema. The room imports one file from outside, `worker/disk.py`. It
    is left out: it only decides how an error of the disk is reported, not what a compiled schema holds.
    """
    digest = hashlib.sha256(json.dumps(environment.packages, sort_keys=True).encode())
    for module in sorted(COMPILING.rglob("*.py")):
        digest.update(f"{module.relative_to(COMPILING)}\0".encode())
        digest.update(module.read_bytes())
    return digest.hexdigest()[:12]
