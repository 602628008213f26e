"""What a release is going to do is found without Dagster, and changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.archive.manifest import Engine
from nmdc_release_ops.mongo.server.identity import identify_server
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.planning.origin import PlannedOrigin, inspect_origin
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.planning.release import Attempt, Options, add_runtime_checks, name_release, plan_release
from nmdc_release_ops.records.data_release import Integrity, Purpose, ReleasePlan
from nmdc_release_ops.runtime.readiness import not_checked
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.workplace import Workplace, make_workplace, untouched

OPTIONS = Options(
    schema_source=None,
    allow_missing_migrator=False,
    allow_candidate_data=False,
    integrity=Integrity.FAIL_ON_NEW,
    engine=Engine.NATIVE,
    drain_timeout=1,
    hop_timeout=1,
    validation_timeout=1,
    keep_archives=1,
    keep_rehearsals=1,
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[Workplace]:
    yield from make_workplace(tmp_path_factory.mktemp("planning"), warm_schema, scale=200)


@pytest.fixture(scope="module")
def origin(workplace: Workplace) -> Iterator[PlannedOrigin]:
    uri = workplace.origin.uri()
    with MongoClient[Any](uri) as client:
        yield inspect_origin(
            client[DATABASE],
            identify_server(client, uri),
            strategy=None,
            from_version=None,
            allow_without_authorization=False,
        )


@pytest.fixture
def attempt(workplace: Workplace) -> Attempt:
    return Attempt(
        release_id="a-release",
        run_id="a-run",
        purpose=Purpose.RELEASE,
        transformer="a-transformer",
        home=workplace.home,
        free_bytes=10**15,
        schema_folder=workplace.home / "schema",
    )


def target(attempt: Attempt, text: str) -> Target:
    version = SchemaVersion.parse(text)
    return Target(version, SchemaPackages(attempt.schema_folder).fetch(version))


def planned(origin: PlannedOrigin, attempt: Attempt) -> ReleasePlan:
    release = plan_release(origin, target(attempt, "11.25"), OPTIONS, attempt)
    assert release is not None
    return release


def test_a_plan_names_versions_migrators_and_collections_and_changes_nothing(
    workplace: Workplace, origin: PlannedOrigin, attempt: Attempt
) -> None:
    with MongoClient[Any](workplace.origin.server.uri) as administrator, untouched(administrator):
        release = planned(origin, attempt)
        events = administrator[DATABASE]["_migration_events"].count_documents({"release_id": attempt.release_id})
    assert (release.from_version, release.to_version, release.recorded_version) == ("11.23.0", "11.25.0", "11.23.0")
    assert [migrator.to_version for migrator in release.migrators][-1] == "11.25.0"
    assert release.strategy is Strategy.WRITE_BLOCK
    assert {"biosample_set", "study_set"} <= {collection.name for collection in release.collections}
    assert events == 0


def test_what_is_cached_is_enough_for_the_same_plan_while_the_package_index_is_out_of_reach(
    origin: PlannedOrigin, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(origin, attempt)
    # Nobody listens there.
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    release = planned(origin, attempt)
    assert "The package index could not be reached" in release.warnings[0]
    assert release.model_copy(update={"warnings": release.warnings[1:]}) == before


def test_a_release_is_named_for_its_versions_and_its_run() -> None:
    assert name_release("11.23.0", "11.25.0", "0123456789").endswith("-11.23.0-to-11.25.0-01234567")


def test_nothing_is_planned_for_a_database_that_conforms_to_the_target(origin: PlannedOrigin, attempt: Attempt) -> None:
    assert plan_release(origin, target(attempt, "11.23.0"), OPTIONS, attempt) is None


def test_a_disk_without_room_is_refused_with_figures(origin: PlannedOrigin, attempt: Attempt) -> None:
    with pytest.raises(PlanRefused, match=r"has 100\.0 MB free, and the release needs up to \d\.\d GB"):
        planned(origin, replace(attempt, free_bytes=100_000_000))


def test_checks_of_the_runtime_that_were_not_made_count_only_where_they_are_required(
    origin: PlannedOrigin, attempt: Attempt
) -> None:
    checks = not_checked("nobody asked")
    release = planned(origin, attempt)
    assert add_runtime_checks(release, checks, required=False).warnings == release.warnings
    with pytest.raises(PlanRefused) as refusal:
        add_runtime_checks(release, checks, required=True)
    # One problem per check, and what to do.
    assert len(refusal.value.problems) == len(checks) + 1
