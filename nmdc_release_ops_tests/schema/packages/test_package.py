"""Packages come from the real package index, and are read without running any of their code."""

import socket
import sys
import time
from pathlib import Path

import pytest

from nmdc_release_ops.schema.packages.package import (
    PackageIndexUnreachable,
    SchemaPackage,
    SchemaPackages,
    SchemaReleaseNotFound,
)
from nmdc_release_ops.schema.version import SchemaVersion

V = SchemaVersion.parse


@pytest.fixture(scope="module")
def packages(schema_cache: Path) -> SchemaPackages:
    return SchemaPackages(schema_cache)


def test_the_newest_release_is_one_that_can_be_fetched(packages: SchemaPackages) -> None:
    newest = packages.newest()
    assert newest >= V("11.25.0")
    assert not newest.is_prerelease


def test_the_earliest_release_after_a_version_that_was_never_published_is_found(packages: SchemaPackages) -> None:
    assert packages.earliest_at_or_after(V("11.2.5"), V("11.25")) == V("11.3.0")
    assert packages.earliest_at_or_after(V("11.25.0"), V("11.25.0")) == V("11.25.0")


def test_the_next_release_takes_the_place_of_one_that_was_never_published(packages: SchemaPackages) -> None:
    assert packages.fetch_or_next(V("11.25")).version == V("11.25.0")
    assert packages.fetch_or_next(V("11.24.2"), V("11.25")).version == V("11.25.0")


def test_two_spellings_of_a_version_are_one_release(packages: SchemaPackages) -> None:
    assert packages.fetch(V("11.25")) == packages.fetch(V("v11.25.0"))


def test_a_version_that_does_not_exist_is_not_found(packages: SchemaPackages) -> None:
    with pytest.raises(SchemaReleaseNotFound, match=r"11\.99\.0"):
        packages.fetch(V("11.99"))
    with pytest.raises(SchemaReleaseNotFound):
        packages.earliest_at_or_after(V("11.2.5"), V("11.2.9"))


def test_an_index_that_does_not_answer_is_told_from_a_version_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    nowhere = SchemaPackages(tmp_path)
    started = time.monotonic()
    with pytest.raises(PackageIndexUnreachable, match="try again"):
        nowhere.newest()
    assert time.monotonic() - started < 15
    with pytest.raises(PackageIndexUnreachable):
        nowhere.fetch(V("11.25"))
    assert not [path for path in (tmp_path / "packages").iterdir() if path.suffix != ".lock"]


def test_a_package_is_read_without_importing_it(packages: SchemaPackages) -> None:
    package = packages.fetch(V("11.25"))
    assert {"biosample_set", "study_set", "functional_annotation_agg"} <= package.collections()
    by_name = {migrator.module: migrator for migrator in package.migrators()}
    real = by_name["migrator_from_11_23_0_to_11_24_0"]
    assert (real.origin, real.destination, real.does_nothing, real.problem) == ("11.23.0", "11.24.0", False, "")
    assert by_name["migrator_from_11_24_0_to_11_24_1"].does_nothing
    assert by_name["migrator_from_8_0_to_8_1"].to_version == V("8.1")
    assert "EXAMPLE" in by_name["migrator_from_1_0_0_to_EXAMPLE"].problem
    assert not [name for name in sys.modules if name.split(".")[0] == "nmdc_schema"]


def test_every_shape_of_a_migrators_source_is_understood_or_named(tmp_path: Path) -> None:
    folder = tmp_path / "nmdc_schema" / "migrators"
    folder.mkdir(parents=True)
    body = 'class Migrator:\n    _from_version: str = "1.0"\n    _to_version = "1.1"\n    def upgrade(self):\n        '
    sources = {
        "migrator_from_1_0_to_1_1": body + '"""Nothing."""\n        self.logger.info("nothing to do")\n',
        "migrator_from_1_1_to_1_2": body + "print(1)\n",
        "migrator_from_1_2_to_1_3": "raise SystemExit('imported')\n",
        "migrator_from_1_3_to_1_4": "class Migrator(:\n",
        "migrator_from_1_4_to_1_5": "x = '\0'\n",
        "migrator_from_1_5_to_1_6": body.replace("1.1", "EXAMPLE") + "raise SystemExit('run')\n",
    }
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    empty, busy, without, broken, null, example = SchemaPackage(V("1.4"), tmp_path).migrators()
    assert (empty.from_version, empty.does_nothing) == (V("1.0"), True)
    assert not busy.does_nothing
    assert "no class named Migrator" in without.problem
    assert "not valid Python" in broken.problem and "not valid Python" in null.problem
    assert (example.to_version, example.destination) == (None, "EXAMPLE")
