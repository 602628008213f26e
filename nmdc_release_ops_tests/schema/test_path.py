"""The migration path is the one that people took."""

from pathlib import Path

import pytest

from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
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


# Consecutive versions that NMDC's database had, and the migrators that took it from one to the next: those between which
# a release's own migrators lead, and those where a release came without one, or with one for an earlier version.
HISTORY = [
    ("7.7.2", "7.8.0", [("7.7.2", "7.8.0")]),
    ("7.8.0", "8.0.0", [("7.8.0", "8.0.0")]),
    ("8.0.0", "8.1.0", [("8.0", "8.1")]),
    ("8.1.2", "9.0.2", [("8.1", "9.0")]),
    ("9.1.0", "9.2.0", [("9.1", "9.2")]),
    ("9.3.2", "10.0.0", [("9.3", "10.0")]),
    ("10.0.0", "10.1.2", [("10.0.0", "10.1.2")]),
    ("10.1.4", "10.2.0", []),
    ("10.3.0", "10.4.0", [("10.3.0", "10.4.0")]),
    ("10.4.0", "10.5.4", [("10.4.0", "10.5.4")]),
    ("10.6.0", "10.7.0", [("10.6.0", "10.7.0")]),
    ("10.7.0", "10.9.1", []),
    ("10.9.1", "11.0.0", [("10.2.0", "11.0.0")]),
    ("11.0.3", "11.1.0", [("11.0.3", "11.1.0")]),
    ("11.2.1", "11.3.0", []),
    ("11.3.0", "11.4.0", [("11.3.0", "11.4.0")]),
    ("11.8.0", "11.9.1", [("11.8.0", "11.9.0")]),
    ("11.9.1", "11.10.0", [("11.9.1", "11.10.0")]),
    ("11.11.1", "11.13.0", [("11.11.0", "11.13.0")]),
    ("11.14.0", "11.15.1", [("11.14.0", "11.15.1")]),
    ("11.15.1", "11.16.1", [("11.15.1", "11.16.1")]),
    ("11.20.2", "11.21.0", [("11.20.2", "11.21.0")]),
    ("11.23.0", "11.24.0", [("11.23.0", "11.24.0")]),
    ("11.24.1", "11.25.0", [("11.24.1", "11.25.0")]),
]


@pytest.mark.parametrize(("before", "after", "migrators"), HISTORY, ids=[f"{a}-{b}" for a, b, _ in HISTORY])
def test_nmdcs_history_is_planned_as_people_ran_it(
    package: SchemaPackage, before: str, after: str, migrators: list[tuple[str, str]]
) -> None:
    path = migration_path(package, V(before), V(after))
    assert [(hop.migrator.origin, hop.migrator.destination) for hop in path.hops] == migrators
    gaps = [hop.gap for hop in path.hops if hop.gap]
    assert bool(gaps) == any(V(origin) != V(before) for origin, _ in migrators)
    assert path.lacks_final_migrator == (V(after) not in [V(destination) for _, destination in migrators])


def test_the_whole_way_runs_each_migrator_once_and_tells_every_gap(package: SchemaPackage) -> None:
    path = migration_path(package, V("10.2.0"), V("11.25"))
    destinations = [hop.to_version for hop in path.hops]
    assert destinations == sorted(set(destinations))
    assert (destinations[0], destinations[-1]) == (V("10.4.0"), V("11.25.0"))
    real = [migrator for migrator in path.migrators if not migrator.does_nothing]
    assert len(real) == 18
    assert {hop.migrator.module for hop in path.hops if hop.gap} == {
        "migrator_from_10_3_0_to_10_4_0",
        "migrator_from_10_2_0_to_11_0_0",
        "migrator_from_11_0_3_to_11_1_0",
        "migrator_from_11_3_0_to_11_4_0",
        "migrator_from_11_9_1_to_11_10_0",
    }
    assert len([warning for warning in path.warnings if "gaps" in warning or "overlaps" in warning]) == 5


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
