"""The author of a migrator releases a folder that nobody has published, to a database of their own."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.uv import run_uv
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.schema.packages.checkout import MODULE, VERSION, edit, make_checkout
from nmdc_release_ops_tests.schema.packages.index_server import LoopbackIndex, PublishedRelease, loopback_index
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

SECRET = "hunter2"
LEDGER_FIELDS = {"created_at", "event", "from_schema_version", "to_schema_version", "migrator_module", "release_id"}


workplace = workplace_fixture(scope="function")


@dataclass
class Shared:
    """What the tests of this module build only once.

    Attributes:
        checkout: of a candidate whose migrator executes the statements of a file.
        schema: folder of packages, environments and compiled schemas.
        statements: that file.
    """

    checkout: Path
    schema: Path
    statements: Path


@pytest.fixture(scope="module")
def shared(schema_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("candidate")
    found = Shared(folder / "checkout", folder / "schema", folder / "statements")
    for name in ("packages", "environments"):
        (found.schema / name).mkdir(parents=True)
        for there in (schema_cache / name).glob("11.2*"):
            (found.schema / name / there.name).symlink_to(there)
    package = SchemaPackages(schema_cache).fetch(SchemaVersion.parse("11.25"))
    edit(make_checkout(package, found.checkout), "candidate", then=f"exec(open({str(found.statements)!r}).read())")
    return found


@pytest.fixture
def candidate(workplace: Workplace, shared: Shared) -> Shared:
    """The candidate of the workplace; its migrator does nothing besides to name the studies."""
    shared.statements.write_text("")
    schema = workplace.home / "schema"
    schema.unlink()
    schema.symlink_to(shared.schema)
    return shared


@pytest.fixture
def checkout(workplace: Workplace, candidate: Shared, tmp_path: Path) -> Path:
    """A checkout to edit; what is built from it goes with the test."""
    schema = workplace.home / "schema"
    schema.unlink()
    for name in ("packages", "environments", "compiled"):
        (schema / name).mkdir(parents=True)
        for there in (candidate.schema / name).glob("[!.]*"):
            (schema / name / there.name).symlink_to(there)
    return Path(shutil.copytree(candidate.checkout, tmp_path / "checkout"))


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_a_candidate_is_planned_migrated_and_validated_by_itself(workplace: Workplace, candidate: Shared) -> None:
    result = workplace.release(schema_source=str(candidate.checkout))
    assert result.success, failure_of(result)[1].description
    plan = result.output_for_node("plan")
    assert plan.target.startswith("candidate-")
    assert plan.to_version == "11.26.0"
    assert {hop.module: hop.environment for hop in plan.migrators}[MODULE] == plan.target
    assert {hop.environment for hop in plan.migrators} == {"11.24.0", "11.25.0", "", plan.target}
    installed = json.loads((ReleaseHomeResource().attempt(plan, result.run_id) / "environments.json").read_text())
    assert installed[plan.target]["nmdc-schema"] == VERSION
    schema = workplace.home / "schema"
    assert not list(schema.glob("*/11.26.0")) and not list(schema.glob(f"*/{VERSION}"))
    with MongoClient[Any](workplace.origin.server.uri) as client:
        studies = client[DATABASE].study_set
        assert studies.count_documents({"alternative_names": ["candidate"]}) == studies.count_documents({}) > 0


# Its process knows no address, but holds the connection.
PAST_THE_ADAPTER = (
    "import gc; (client,) = (one for one in gc.get_objects() if type(one).__name__ == 'MongoClient'); "
    "client[self.adapter._db.name]['instrument_set'].create_index('past_the_adapter')"
)


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_a_migrator_that_changes_a_collection_past_the_adapter_is_noticed_and_gets_all_documents(
    workplace: Workplace, candidate: Shared
) -> None:
    candidate.statements.write_text(PAST_THE_ADAPTER)
    result = workplace.release(schema_source=str(candidate.checkout))
    assert result.success, failure_of(result)[1].description
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    assert "instrument_set was renamed or changed in the transformer before its documents were loaded" in log
    assert "Everything is loaded, and the migrators run again from the first." in log
    migrated = result.output_for_node("migrate")
    assert migrated.unloaded == [] and "instrument_set" in migrated.changes.changed
    with MongoClient[Any](workplace.origin.server.uri) as client:
        instruments = client[DATABASE].instrument_set
        assert "past_the_adapter_1" in instruments.index_information()
        assert instruments.count_documents({}) > 0
        studies = client[DATABASE].study_set
        assert studies.count_documents({"alternative_names": ["candidate"]}) == studies.count_documents({}) > 0


@pytest.fixture
def official(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackIndex]:
    """An index, beside the real one, on which the checkout can be published as 11.26.0."""
    with loopback_index() as index:
        monkeypatch.setenv("UV_INDEX", index.simple)
        monkeypatch.setenv("UV_INDEX_STRATEGY", "unsafe-best-match")
        yield index


def publish(index: LoopbackIndex, checkout: Path, folder: Path) -> None:
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace(VERSION, "11.26.0"))
    run_uv(["build", "--wheel", "--out-dir", str(folder), str(checkout)], what="a wheel")
    (wheel,) = folder.glob("*.whl")
    index.releases.append(PublishedRelease("11.26.0", wheel.read_bytes()))


def froze(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a run did more than to plan."""
    return any(event.is_step_start and event.step_key == "freeze" for event in result.all_events)


@pytest.mark.faults
@pytest.mark.timeout(2_400)
def test_the_official_release_of_a_candidates_version_is_validated_and_recorded(
    workplace: Workplace, checkout: Path, official: LoopbackIndex, tmp_path: Path
) -> None:
    first = workplace.release(schema_source=str(checkout))
    assert first.success, failure_of(first)[1].description
    planned = first.output_for_node("plan")
    with MongoClient[Any](workplace.origin.server.uri) as client:
        kept = client["nmdc_release_ops"].journal.find_one({"_id": planned.release_id})
        assert kept is not None
        assert (kept["candidate"], kept["schema_source"]) == (planned.target, str(checkout))
        again = workplace.release(schema_source=str(checkout))
        assert again.success and not froze(again)

        edit(checkout, "another")
        with untouched(client):
            step, failure = failure_of(workplace.release(schema_source=str(checkout)))
        assert step == "plan" and "another candidate of the same version" in failure.description
        # The official release was corrected after the candidate had been released.
        publish(official, checkout, tmp_path / "dist")
        with untouched(client):
            step, failure = failure_of(workplace.release(target_version="11.26"))
        assert step == "plan"
        assert MODULE in failure.description and "Launch `rollback`" in failure.description
        assert planned.target in failure.description and str(checkout) in failure.description

        studies = list(client[DATABASE].study_set.find())
        result = workplace.release(target_version="11.26", allow_candidate_data=True)
        assert result.success, failure_of(result)[1].description
        plan = result.output_for_node("plan")
        assert (plan.from_version, plan.to_version, plan.target, plan.migrators) == (
            "11.26.0",
            "11.26.0",
            "11.26.0",
            [],
        )
        assert "makes it official" in plan.warnings[0] and MODULE in plan.warnings[0]
        assert result.output_for_node("validate").documents > 0
        assert list(client[DATABASE].study_set.find()) == studies
        last = client[DATABASE]["_migration_events"].find_one({}, {"_id": False}, sort=[("created_at", -1)])
        assert last is not None and set(last) == LEDGER_FIELDS
        assert (last["event"], last["to_schema_version"]) == ("MIGRATION_COMPLETED", "11.26.0")
        done = workplace.release(target_version="11.26")
        assert done.success and not froze(done)


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_a_migrator_after_which_references_lead_nowhere_is_stopped(workplace: Workplace, candidate: Shared) -> None:
    with MongoClient[Any](workplace.origin.server.uri) as client:
        gone = client[DATABASE].study_set.find_one({"part_of": {"$exists": False}})
        assert gone is not None
        candidate.statements.write_text(f"self.adapter._db['study_set'].delete_one({{'id': {gone['id']!r}}})")
        with untouched(client):
            result = workplace.release(schema_source=str(candidate.checkout))
            step, failure = failure_of(result)
    assert step == "validate"
    lines = [json.loads(line) for line in Path(failure.metadata["all of them"].value).read_text().splitlines()]
    assert {(one["target"], one["new"], one["violation"]) for one in lines} == {
        (gone["id"], True, "dangling reference")
    }


@pytest.mark.faults
@pytest.mark.timeout(1_200)
def test_a_migrator_that_never_ends_is_ended_after_its_time_and_named(workplace: Workplace, candidate: Shared) -> None:
    candidate.statements.write_text("__import__('time').sleep(10_000)")
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        result = workplace.release(schema_source=str(candidate.checkout), hop_timeout=1)
        step, failure = failure_of(result)
    assert step == "migrate"
    assert failure.metadata["error"].value == "MigratorTimedOut"
    assert f"{MODULE} did not finish within 1 min 0 s (hop_timeout)" in failure.description


def test_a_source_with_credentials_is_refused_before_anything_is_touched(workplace: Workplace) -> None:
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        result = workplace.release(schema_source=f"git+https://{SECRET}@github.com/microbiomedata/nmdc-schema@main")
        step, failure = failure_of(result)
    assert step == "plan"
    assert "revoke" in failure.description
    assert SECRET not in failure.description
