"""Outlines of schema releases, made once and kept."""

import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from nmdc_release_ops.files import lock, replace_file, writing
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.outlines.outline import Outline
from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops.schema.processes import TookTooLong, run_to_end

PROGRAM = f"{__package__}.read_schema"
"""Not imported here: it imports LinkML."""
_SECONDS = 300.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR")


class SchemaNotOutlined(SchemaError):
    """LinkML could not read a schema's definition."""


class SchemaOutlines:
    """Outlines below a folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "outlines"

    def read(self, package: SchemaPackage) -> Outline:
        """The outline of a release's schema. It is made if there is none yet, which takes some five seconds.

        Raises:
            SchemaNotOutlined, PackageUnreadable, FileNotWritten.
        """
        definition = package.definition()
        path = self._folder / f"{package.version}-{_digest(definition)}.json"
        with writing(self._folder), lock(path):
            if not path.is_file():
                with replace_file(path) as aside:
                    _make(package, definition, aside)
        try:
            return Outline.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise SchemaNotOutlined(f"{path} is not the outline of a schema: remove it. {error}") from error


def _make(package: SchemaPackage, definition: Path, output: Path) -> None:
    try:
        done = run_to_end(
            [sys.executable, "-P", "-m", PROGRAM, str(definition), str(output)],
            cwd=output.parent,
            env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
            seconds=_SECONDS,
        )
        error = done.errors if done.code else ""
    except TookTooLong:
        error = f"It took longer than {_SECONDS:.0f} seconds."
    if error:
        raise SchemaNotOutlined(
            f"The definition of schema {package.version} could not be read: {error.strip().rpartition(chr(10))[2]}"
        )


def _digest(definition: Path) -> str:
    """The digest of everything that an outline depends on."""
    digest = hashlib.sha256(f"linkml-runtime {version('linkml-runtime')}\0".encode())
    for file in (definition, *(Path(__file__).with_name(f"{name}.py") for name in ("outline", "read_schema"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
