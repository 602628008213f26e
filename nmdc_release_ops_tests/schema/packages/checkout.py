"""A checkout of the schema project, as the author of a migrator has it: the newest release, and one migrator more."""

import shutil
from pathlib import Path

from nmdc_release_ops.schema.packages.package import SchemaPackage

MODULE = "migrator_from_11_25_0_to_11_26_0"
VERSION = "0.0.0.post7.dev0"
"""What the package calls itself. Of a branch it is made up, and is not what the migrators lead to."""
_MIGRATOR = """
from nmdc_schema.migrators.migrator_base import MigratorBase

class Migrator(MigratorBase):
    _from_version = "11.25.0"
    _to_version = "11.26.0"

    def upgrade(self, commit_changes=False):
        self.adapter.process_each_document("study_set", [self.name_it])
        THEN

    def name_it(self, study):
        study["alternative_names"] = ["WORD"]
        return study
"""


def make_checkout(package: SchemaPackage, folder: Path) -> Path:
    """Write it to `folder`, from the unpacked package of the release 11.25."""
    shutil.copytree(package.path / "nmdc_schema", folder / "nmdc_schema")
    edit(folder, "candidate")
    (metadata,) = package.path.glob("nmdc_schema-*.dist-info/METADATA")
    requirements = [
        line.partition(":")[2].strip()
        for line in metadata.read_text().partition("\n\n")[0].splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "nmdc-schema"\nversion = "{VERSION}"\ndependencies = {requirements!r}\n'
        '[tool.setuptools]\npackages = ["nmdc_schema"]\n'
        '[tool.setuptools.package-data]\nnmdc_schema = ["**/*"]\n'
    )
    return folder


def edit(folder: Path, word: str, *, then: str = "pass") -> None:
    """Change what the new migrator does.

    Args:
        word: what it calls each study.
        then: a statement that it executes in the end.
    """
    source = _MIGRATOR.replace("WORD", word).replace("THEN", then)
    (folder / "nmdc_schema" / "migrators" / f"{MODULE}.py").write_text(source)
