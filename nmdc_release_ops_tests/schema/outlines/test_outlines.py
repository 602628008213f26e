"""Real schema releases in outline: read by LinkML in a process of its own, once."""

import subprocess
import sys
from pathlib import Path

import pytest

from nmdc_release_ops.schema.outlines.changes import Effect, compare_outlines
from nmdc_release_ops.schema.outlines.outlines import SchemaNotOutlined, SchemaOutlines
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion


@pytest.fixture(scope="module")
def packages(schema_cache: Path) -> SchemaPackages:
    return SchemaPackages(schema_cache)


@pytest.fixture(scope="module")
def outlines(schema_cache: Path) -> SchemaOutlines:
    return SchemaOutlines(schema_cache)


def test_what_became_stricter_from_one_real_release_to_the_next(
    packages: SchemaPackages, outlines: SchemaOutlines
) -> None:
    before, after = (outlines.read(packages.fetch(SchemaVersion.parse(version))) for version in ("11.23.0", "11.25"))
    stricter = {
        (change.element, change.what.partition(" from ")[0], change.classes)
        for change in compare_outlines(before, after)
        if change.effect is Effect.STRICTER
    }
    assert stricter >= {
        ("PersonValue", "class removed", ("PersonValue",)),
        ("applies_to_agent", "required slot added", ("CreditAssociation",)),
        ("collection_time_inc", "slot removed", ("Biosample",)),
        ("md5_checksum", "pattern changed", ("DataObject",)),
    }
    # Between these releases, LinkML began to write every pattern another way.
    assert len(stricter) < 20
    assert before.collections["biosample_set"] == ("Biosample",)
    assert "MagsAnalysis" in before.collections["workflow_execution_set"]


def test_an_outline_is_made_once(
    packages: SchemaPackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    package = packages.fetch(SchemaVersion.parse("11.25"))
    outlines = SchemaOutlines(tmp_path)
    made = outlines.read(package)
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert outlines.read(package) == made
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("definition", ["", "classes: [", "name: x\nclasses:\n  A:\n    is_a: Missing\n"])
def test_a_definition_that_cannot_be_read_is_named(tmp_path: Path, definition: str) -> None:
    folder = tmp_path / "package" / "nmdc_schema"
    folder.mkdir(parents=True)
    (folder / "nmdc_materialized_patterns.yaml").write_text(definition)
    package = SchemaPackage(SchemaVersion.parse("1.0.0"), tmp_path / "package")
    with pytest.raises(SchemaNotOutlined, match=r"The definition of schema 1\.0\.0 could not be read"):
        SchemaOutlines(tmp_path).read(package)
    assert not list((tmp_path / "outlines").glob("*.json")), "nothing half-made is kept"


def test_dagster_starts_without_linkml() -> None:
    program = "import sys, nmdc_release_ops.definitions; sys.exit('linkml_runtime' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=False).returncode == 0
