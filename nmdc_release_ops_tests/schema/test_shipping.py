"""Each migrator runs in the release that shipped it, as it was last corrected before the next one."""

from pathlib import Path

import pytest

from nmdc_release_ops.schema.packages.candidate import Candidate
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.path import NoMigrationPath, migration_path
from nmdc_release_ops.schema.shipping import Shipped, Target, place_hops
from nmdc_release_ops.schema.version import SchemaVersion

V = SchemaVersion.parse
CANDIDATE = Candidate.parse("candidate-0123456789ab")


@pytest.fixture(scope="module")
def packages(schema_cache: Path) -> SchemaPackages:
    return SchemaPackages(schema_cache)


def place(
    packages: SchemaPackages, from_version: str, to_version: str, target: Target | None = None
) -> dict[str, Shipped | None]:
    package = packages.fetch(V("11.25"))
    target = target or Target(package.version, package)
    path = migration_path(target.package, V(from_version), V(to_version))
    placed = place_hops(packages, path, target)
    return {hop.migrator.module: where for hop, where in zip(path.hops, placed, strict=True)}


def test_a_migrator_runs_in_the_release_it_came_with_and_one_that_does_nothing_in_none(
    packages: SchemaPackages,
) -> None:
    assert place(packages, "11.23.0", "11.25.0") == {
        "migrator_from_11_23_0_to_11_24_0": Shipped(V("11.24.0"), edited=False),
        "migrator_from_11_24_0_to_11_24_1": None,
        "migrator_from_11_24_1_to_11_25_0": Shipped(V("11.25.0"), edited=False),
    }


def test_what_a_release_shipped_late_or_before_it_could_run_is_taken_from_the_first_that_could(
    packages: SchemaPackages,
) -> None:
    placed = place(packages, "9.1.0", "10.2.0")
    # 9.2.0 had the module without a class Migrator, 9.3 no adapter; 10.1.2 came without the migrator to 10.1.2.
    assert {module: str(where.release) for module, where in placed.items() if where} == {
        "migrator_from_9_1_to_9_2": "10.0.0",
        "migrator_from_9_3_to_10_0": "10.0.0",
        "migrator_from_10_0_0_to_10_1_2": "10.1.4",
    }


def test_a_correction_is_taken_unless_it_came_when_databases_had_long_moved_on(packages: SchemaPackages) -> None:
    placed = place(packages, "11.8.0", "11.13.0")
    # 11.9.0's own copy leaves `was_informed_by` as it was; 11.19.0 tidied the one to 11.10.0.
    assert placed["migrator_from_11_8_0_to_11_9_0"] == Shipped(V("11.9.1"), edited=False)
    assert placed["migrator_from_11_9_1_to_11_10_0"] == Shipped(V("11.10.0"), edited=True)


def test_a_candidates_last_step_runs_in_the_candidate_even_where_that_version_is_published(
    packages: SchemaPackages,
) -> None:
    target = Target(CANDIDATE, packages.fetch(V("11.25")))
    placed = place(packages, "11.23.0", "11.25.0", target)
    assert placed["migrator_from_11_24_1_to_11_25_0"] == Shipped(CANDIDATE, edited=False)
    assert placed["migrator_from_11_23_0_to_11_24_0"] == Shipped(V("11.24.0"), edited=False)


def test_a_migrator_that_no_release_up_to_the_target_can_run_is_refused(packages: SchemaPackages) -> None:
    old = packages.fetch(V("9.3.2"))
    # The last before there was an adapter; what comes after it is out of reach.
    package = SchemaPackage(V("9.3.2"), old.path)
    path = migration_path(packages.fetch(V("11.25")), V("9.1.0"), V("9.3.2"))
    with pytest.raises(NoMigrationPath, match=r"migrator_from_9_1_to_9_2 .* MongoAdapter"):
        place_hops(packages, path, Target(V("9.3.2"), package))
