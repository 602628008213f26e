"""The migration path is the one that people took."""

from pathlib import Path

import pytest

from nmdc_release_ops.schema.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.path import DuplicateMigrators, NoMigrationPath, migration_path
from nmdc_release_ops.schema.version import SchemaVersion

V = SchemaVersion.parse


@pytest.fixture(scope="module")
def package(schema_cache: Path) -> SchemaPackage:
    return SchemaPackages(schema_cache).fetch(V("11.25"))


def steps(package: SchemaPackage, from_version: str, to_version: str) -> list[tuple[str, str]]:
    path = migration_path(package, V(from_version), V(to_version))
    return [(migrator.origin, migrator.destination) for migrator in path.migrators]


def invented(folder: Path, *migrators: tuple[str, str, str]) -> SchemaPackage:
    """A package with migrators of these origins and destinations, and what their `upgrade` does."""
    (folder / "nmdc_schema" / "migrators").mkdir(parents=True)
    for origin, destination, body in migrators:
        name = f"migrator_from_{origin}_to_{destination}".replace(".", "_")
        (folder / "nmdc_schema" / "migrators" / f"{name}.py").write_text(
            f'class Migrator:\n    _from_version = "{origin}"\n    _to_version = "{destination}"\n'
            f"    def upgrade(self):\n        {body}\n"
        )
    return SchemaPackage(V("3.0"), folder)


def test_the_path_is_every_migrator_in_between_in_order(package: SchemaPackage) -> None:
    path = migration_path(package, V("11.23"), V("11.25"))
    assert [migrator.module for migrator in path.migrators] == [
        "migrator_from_11_23_0_to_11_24_0",
        "migrator_from_11_24_0_to_11_24_1",
        "migrator_from_11_24_1_to_11_25_0",
    ]
    assert not path.warnings
    assert not path.lacks_final_migrator


def test_the_same_version_needs_no_migrator(package: SchemaPackage) -> None:
    path = migration_path(package, V("11.25"), V("11.25.0"))
    assert path.migrators == ()
    assert not path.lacks_final_migrator


def test_an_overlap_is_taken_as_people_took_it_and_told(package: SchemaPackage) -> None:
    assert steps(package, "10.9.1", "11.0.0") == [("10.2.0", "11.0.0")]
    assert any("10.2.0" in warning for warning in migration_path(package, V("10.9.1"), V("11.0.0")).warnings)


def test_a_gap_is_crossed_and_told(package: SchemaPackage) -> None:
    assert steps(package, "11.2.1", "11.4.0") == [("11.3.0", "11.4.0")]
    assert any("11.2.1 to 11.3.0" in warning for warning in migration_path(package, V("11.2.1"), V("11.4")).warnings)


def test_a_release_without_a_migrator_of_its_own_is_told(package: SchemaPackage) -> None:
    path = migration_path(package, V("11.2.1"), V("11.3.0"))
    assert path.migrators == ()
    assert path.lacks_final_migrator


def test_there_is_no_way_back(package: SchemaPackage) -> None:
    with pytest.raises(NoMigrationPath, match="forward"):
        migration_path(package, V("11.25"), V("11.24"))


def test_two_migrators_to_one_destination_are_refused_unless_only_one_does_anything(tmp_path: Path) -> None:
    both = invented(tmp_path / "a", ("1.0", "2.0", "print(1)"), ("1.5", "2.0", "print(2)"))
    with pytest.raises(DuplicateMigrators, match="migrator_from_1_0_to_2_0 and migrator_from_1_5_to_2_0"):
        migration_path(both, V("1.0"), V("2.0"))
    assert migration_path(both, V("2.0"), V("2.0")).migrators == ()
    one = invented(tmp_path / "b", ("1.0", "2.0", "print(1)"), ("1.5", "2.0", "pass"))
    assert any("both" in w or "all lead" in w for w in migration_path(one, V("1.0"), V("2.0")).warnings)


def test_a_migrator_that_cannot_be_run_is_refused_only_where_it_is_needed(tmp_path: Path) -> None:
    package = invented(tmp_path, ("1.0", "2.0", "pass"), ("2.0", "3.0", "pass"))
    (tmp_path / "nmdc_schema" / "migrators" / "migrator_from_1_0_to_2_0.py").write_text("x = 1\n")
    with pytest.raises(NoMigrationPath, match=r"migrator_from_1_0_to_2_0 .* no class named Migrator"):
        migration_path(package, V("1.0"), V("3.0"))
    assert steps(package, "2.0", "3.0") == [("2.0", "3.0")]
