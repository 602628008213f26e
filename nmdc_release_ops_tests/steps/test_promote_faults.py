"""What goes wrong in a promotion: others write to what it stages, another release comes in between, its files are gone, its
process is killed. Nothing is lost, nobody stays locked out, and nothing goes out that was not validated.

All tests but the last share one online release that is validated, and that the last of them swaps in.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.files import lock
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease
from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import (
    AFTER,
    BEFORE,
    data_hashes,
    put_back,
    recorded_version,
    tick,
)
from nmdc_release_ops_tests.steps.crashed_release import assert_released, crash
from nmdc_release_ops_tests.steps.validated_release import SECOND_HALF, Validated, written
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.faults

workplace = workplace_fixture(scale=200, warm="workers")


@pytest.fixture(scope="module")
def release(workplace: Workplace) -> Validated:
    return Validated(workplace)


@pytest.fixture(autouse=True)
def _nobody_is_locked_out(client: MongoClient[Any]) -> Iterator[None]:
    yield
    assert current_lease(client) is None and is_write_blocked(client) is False


def replace_by_equal(client: MongoClient[Any], name: str) -> None:
    """Drop a collection, and create it with the same documents, options and indexes."""
    collection = client[DATABASE][name]
    documents, indexes = list(collection.find()), collection.index_information()
    options = next(iter(client[DATABASE].list_collections(filter={"name": name})))["options"]
    collection.drop()
    client[DATABASE].create_collection(name, **options)
    collection.insert_many(documents)
    for one, how in indexes.items():
        if one != "_id_":
            keys = how.pop("key")
            collection.create_index(keys, name=one, **{key: value for key, value in how.items() if key != "v"})


def test_it_stops_staging_when_another_release_takes_the_origin(
    workplace: Workplace, release: Validated, client: MongoClient[Any]
) -> None:
    """Both stage under the same names: the other one would swap in what this one writes there."""

    def take() -> None:
        freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)

    with at(Point("catch_up", "create"), workplace.instance, take):
        step, text = release.fail("catch_up")
    staged = {name for name in client[DATABASE].list_collection_names() if name.startswith(STAGED)}
    documents = [client[DATABASE][name].estimated_document_count() for name in staged]
    assert is_write_blocked(client) is True
    thaw(client, "another", thawed_by="a-run")
    assert step == "catch_up" and "Release another" in text
    assert sum(documents) == 0


def test_a_step_whose_input_was_never_made_says_which_step_is_missing(release: Validated) -> None:
    last = release.last
    step, text = release.fail("reconcile")
    assert step == "reconcile" and "has completed the step `catch_up`" in text
    release.last = last


def test_two_processes_do_not_work_on_one_promotion(release: Validated) -> None:
    with lock(release.folder / "promotion", wait=False):
        _, text = release.fail("catch_up")
    assert "its process has not ended" in text
    release.succeed("catch_up")


def test_its_files_are_for_their_owner(release: Validated, workplace: Workplace) -> None:
    promotion = release.folder / "promotion"
    assert promotion.stat().st_mode & 0o777 == 0o700
    assert (promotion / "state.json").stat().st_mode & 0o777 == 0o600
    secret = workplace.origin.uri().split("@")[0].rpartition(":")[2].encode()
    kept = [path for path in (*promotion.rglob("*"), *workplace.home.glob("records/**/*")) if path.is_file()]
    assert kept and not [path for path in kept if secret in path.read_bytes()]


def test_what_was_written_and_put_back_in_a_staged_collection_is_verified_and_no_obstacle(
    release: Validated, client: MongoClient[Any]
) -> None:
    with written(client, f"{STAGED}study_set", "by somebody else"):
        pass
    release.succeed("freeze", "reconcile")
    assert release.reconciled.wrote == {}


def test_a_staged_collection_that_lost_an_index_is_not_swapped_in(release: Validated, client: MongoClient[Any]) -> None:
    staged = client[DATABASE][f"{STAGED}biosample_set"]
    reconciled = release.last
    staged.drop_index(sorted(staged.index_information())[-1])
    step, text = release.fail("restore", "unfreeze")
    assert step == "restore" and "biosample_set" in text and "from `catch_up`" in text
    release.last = reconciled


def test_a_staged_collection_that_was_replaced_by_an_equal_one_is_staged_again(
    release: Validated, client: MongoClient[Any]
) -> None:
    """Another promotion of the same rehearsal does that. The collection of the test before is staged again with it."""
    replace_by_equal(client, f"{STAGED}study_set")
    step, text = release.fail("freeze", "reconcile")
    assert step == "reconcile" and "dropped or replaced" in text
    release.succeed("catch_up", "freeze")
    assert len(client[DATABASE][f"{STAGED}biosample_set"].index_information()) == 3


def test_a_transformer_that_is_gone_is_noticed_before_the_freeze(release: Validated) -> None:
    """What refers to a document that was deleted would be looked for in an empty database."""
    shutil.rmtree(release.folder / "transformer")
    step, text = release.fail("reconcile")
    assert step == "reconcile" and "Re-execute the run from `catch_up`" in text
    log = [entry.message for entry in release.workplace.instance.all_logs(release.last)]
    assert not [line for line in log if "The origin is frozen" in line]
    release.succeed("catch_up", "freeze")


def test_reconcile_alone_catches_up_before_it_freezes(release: Validated, client: MongoClient[Any]) -> None:
    with written(client, "biosample_set", "on another day"):
        release.succeed("reconcile")
        first, *_, last = release.reconciled.rounds
        assert first.written == {"biosample_set": 1}
        assert last.written == {}


def test_what_somebody_else_stages_while_reconcile_stages_is_not_swapped_in(
    workplace: Workplace, release: Validated, client: MongoClient[Any]
) -> None:
    """It comes after `reconcile` looked for such writes, and before the moment from which `restore` looks for them."""
    staged = client[DATABASE][f"{STAGED}biosample_set"]
    found = staged.find_one()
    assert found is not None
    release.succeed("catch_up", "freeze")
    freezes = "setUserWriteBlockMode"
    writer = MongoClient[Any](workplace.origin.server.uri)

    def write() -> None:
        writer[DATABASE].study_set.update_one({}, {"$set": {"name": "the last delta"}})

    def stage() -> None:
        writer[DATABASE][staged.name].update_one({"_id": found["_id"]}, {"$set": {"name": "of another release"}})

    with (
        writer,
        at(Point("reconcile", freezes, "before"), workplace.instance, write),
        at(Point("reconcile", "dbHash"), workplace.instance, stage),
    ):
        release.succeed("reconcile")
    assert release.reconciled.rounds[-1].migrated
    step, text = release.fail("restore", "unfreeze")
    assert step == "restore" and "staged collections" in text
    assert recorded_version(client) == BEFORE
    assert "is another one" in release.fail("reconcile")[1]


def test_what_is_invalid_in_the_last_moment_stops_it_although_freezing_goes_on_to_the_swap(
    workplace: Workplace, release: Validated, client: MongoClient[Any]
) -> None:
    biosamples = client[DATABASE].biosample_set
    found = biosamples.find_one()
    assert found is not None
    writer = MongoClient[Any](workplace.origin.server.uri)

    def write() -> None:
        writer[DATABASE].biosample_set.update_one({"_id": found["_id"]}, {"$set": {"no_such_slot": 1}})

    with writer, at(Point("freeze", "setUserWriteBlockMode", "before"), workplace.instance, write):
        step, text = release.fail("catch_up", *SECOND_HALF)
    assert step == "reconcile" and "no_such_slot" in text
    assert recorded_version(client) == BEFORE
    # Nobody waited for that: `freeze` thawed as soon as it had found it, and `reconcile` did not freeze again.
    log = [entry.message for entry in release.workplace.instance.all_logs(release.last)]
    (why,) = [line for line in log if "Not everything could be done at once" in line]
    assert "Writes are allowed again" in why
    assert len([line for line in log if "The origin is frozen" in line]) == 1
    biosamples.replace_one({"_id": found["_id"]}, found)


def test_killed_under_the_freeze_and_in_the_swap_it_is_finished_with_what_was_written_in_between(
    workplace: Workplace, release: Validated, client: MongoClient[Any]
) -> None:
    release.succeed("catch_up")
    release.last = crash(workplace, "after:reconcile", release.last, *SECOND_HALF, job="online_release")
    assert is_write_blocked(client) is True
    assert "had left the origin frozen" in str(tick(workplace.instance))
    client[DATABASE].study_set.update_one({}, {"$set": {"name": "written in between"}})
    assert "Re-execute this run from `reconcile`" in release.fail("restore", "unfreeze")[1]
    # The step `freeze` goes on to the swap, and is killed there; and once more, when it is executed again.
    release.last = crash(workplace, "made:2", release.last, "catch_up", *SECOND_HALF, job="online_release")
    release.last = crash(workplace, "after:freeze", release.last, *SECOND_HALF, job="online_release")
    assert tick(workplace.instance) is None and is_write_blocked(client) is True
    release.succeed(*SECOND_HALF)
    assert recorded_version(client) == AFTER
    assert_released(client)
    assert client[DATABASE].study_set.count_documents({"name": "written in between"}) == 1
    assert Path(release.folder / "promotion").exists() is False


def test_killed_when_everything_was_done_and_nothing_of_it_recorded_it_is_recorded(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    put_back(client)
    release = Validated(workplace)
    release.last = crash(workplace, "after:freeze", release.last, "catch_up", *SECOND_HALF, job="online_release")
    assert current_lease(client) is None and is_write_blocked(client) is False
    assert recorded_version(client) == AFTER
    release.succeed(*SECOND_HALF)
    assert_released(client)
    assert release.reconciled.rounds[-1].written == {}
    # Nothing is left to do, and whoever executes it once more is told so.
    before = data_hashes(client)
    step, text = release.fail(*SECOND_HALF)
    assert step == "reconcile" and "was swapped in at" in text
    log = [entry.message for entry in release.workplace.instance.all_logs(release.last)]
    assert not [line for line in log if "The origin is frozen" in line]
    assert data_hashes(client) == before
