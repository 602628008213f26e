"""After a promotion everything is compared once more, and whatever is not what was validated is noticed and named."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS
from nmdc_release_ops.mongo.state.journal import Journal, newest_journal
from nmdc_release_ops.records.data_release import FreezeWindow
from nmdc_release_ops.records.verification import Verification
from nmdc_release_ops_tests.hammer import hammering
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE, data_hashes, put_back, recorded_version
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

SWAPPED_IN = "biosample_set"
UP_TO_THE_SWAP = ["choose", "catch_up", "freeze", "reconcile", "restore"]

workplace = workplace_fixture(scale=450)


def promote() -> dg.JobDefinition:
    return defs.get_job_def("promote")


@dataclass
class Swapped:
    """A promotion up to its swap. People write again; `unfreeze` is left to do, as often as one likes.

    Attributes:
        client: the administrator's, on the origin.
        run_id: of the promotion's run.
    """

    workplace: Workplace
    client: MongoClient[Any]
    run_id: str

    @property
    def database(self) -> Any:
        return self.client[DATABASE]

    @property
    def journal(self) -> Journal:
        found = newest_journal(self.client, DATABASE)
        assert found is not None
        return found

    @property
    def folder(self) -> Path:
        """What the promotion works with, until it is verified."""
        (found,) = self.workplace.home.glob(f"origins/*/releases/{self.journal.release_id}/promotion")
        return found

    def unfreeze(self) -> dg.JobExecutionResult:
        return dg.execute_job(
            dg.reconstructable(promote),
            instance=self.workplace.instance,
            reexecution_options=dg.ReexecutionOptions(self.run_id, step_selection=["unfreeze"]),
            raise_on_error=False,
        )

    def verify(self) -> Verification:
        """By `unfreeze`, which succeeds, and after which the promotion's files are as they were before."""
        kept = self.workplace.folder / "kept"
        folder = self.folder
        shutil.copytree(folder, kept)
        try:
            verification = verification_of(self.unfreeze())
            assert not folder.exists()
            return verification
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            kept.rename(folder)

    def alarm(self) -> str:
        """What the run page says when `unfreeze` fails."""
        step, failure = failure_of(self.unfreeze())
        assert step == "unfreeze"
        assert failure.metadata["error"].value == "VerificationFailed"
        assert "documents that differ" in failure.metadata
        assert "The promotion is complete and writes are allowed" in failure.description
        assert f"launch `rollback` with release_id: {self.journal.release_id}" in failure.description
        return str(failure.description)


def verification_of(result: dg.JobExecutionResult | dg.ExecuteInProcessResult) -> Verification:
    assert result.success, failure_of(result)
    window = FreezeWindow.model_validate(result.output_for_node("unfreeze"))
    assert window.verification is not None
    return window.verification


@pytest.fixture(scope="module")
def swapped(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swapped]:
    """A promotion up to its swap, while a process writes all the time, also for a while after it."""
    account = tmp_path_factory.mktemp("hammer") / "account.jsonl"
    with MongoClient[Any](workplace.origin.server.uri) as client:
        assert workplace.rehearse(target_version="11.25").success
        with hammering(workplace.origin.uri("nmdc_editor"), account) as hammer:
            hammer.wait_for_more("acknowledged", SWAPPED_IN)
            result = promote().execute_in_process(
                instance=workplace.instance, raise_on_error=False, op_selection=UP_TO_THE_SWAP
            )
            assert result.success, failure_of(result)
            for collection in (SWAPPED_IN, "study_set", "jobs"):
                hammer.wait_for_more("acknowledged", collection)
            hammer.kill()
        assert recorded_version(client) == AFTER
        yield Swapped(workplace, client, result.run_id)
        put_back(client)


@contextmanager
def without_history(swapped: Swapped) -> Iterator[None]:
    """The server no longer shows what its collections held at the moment of the swap."""
    parameter = "minSnapshotHistoryWindowInSeconds"
    before = swapped.client.admin.command({"getParameter": 1, parameter: 1})[parameter]
    swapped.client.admin.command({"setParameter": 1, parameter: 0})
    moment = swapped.journal.swapped_cluster_time
    assert moment is not None
    concern = {"level": "snapshot", "atClusterTime": moment.timestamp()}
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            swapped.client["a_test"].writes.insert_one({})
            try:
                swapped.database.command({"find": SWAPPED_IN, "limit": 1, "readConcern": concern})
            except OperationFailure as error:
                assert error.code == 239
                break
            time.sleep(0.1)
        yield
    finally:
        swapped.client.admin.command({"setParameter": 1, parameter: before})


def test_after_a_promotion_the_result_and_what_went_into_it_are_compared_while_people_write(swapped: Swapped) -> None:
    verification = swapped.verify()
    result = {one.collection: one for one in verification.result}
    assert result.keys() == set(swapped.journal.hashes)
    assert SWAPPED_IN in result
    assert all(one.at_the_swap and one.left_out == 0 for one in verification.result)
    source = {one.collection: one for one in verification.source}
    assert source.keys() >= {previous for _, previous in swapped.journal.swapped_out.values()}
    assert source[PREVIOUS + SWAPPED_IN].documents == swapped.database[PREVIOUS + SWAPPED_IN].count_documents({})
    assert verification.not_compared == []
    assert verification.bytes > 100_000


def test_a_document_of_the_result_that_is_not_what_was_validated_is_noticed_and_named(swapped: Swapped) -> None:
    with closing(sqlite3.connect(swapped.folder / "staged.sqlite")) as staged:
        key, digest = staged.execute(
            "SELECT key, digest FROM staged WHERE collection = ? LIMIT 1", (SWAPPED_IN,)
        ).fetchone()

        def put(value: bytes) -> None:
            with staged:
                staged.execute("UPDATE staged SET digest = ? WHERE key = ?", (value, key))

        put(bytes(16))
        try:
            alarm = swapped.alarm()
        finally:
            put(digest)
    assert "but 1 documents are not what was migrated and validated" in alarm
    assert f"{SWAPPED_IN}: 1, the first ObjectId(" in alarm


def test_a_document_from_before_the_swap_that_was_not_migrated_is_noticed_and_named(swapped: Swapped) -> None:
    previous = swapped.database[PREVIOUS + SWAPPED_IN]
    previous.insert_one({"_id": "nobody migrated it"})
    try:
        alarm = swapped.alarm()
    finally:
        previous.delete_one({"_id": "nobody migrated it"})
    assert f"{PREVIOUS}{SWAPPED_IN}: 1, the first 'nobody migrated it'" in alarm


def test_a_document_that_was_migrated_and_is_missing_from_what_was_swapped_out_is_noticed(swapped: Swapped) -> None:
    previous = swapped.database[PREVIOUS + SWAPPED_IN]
    document = previous.find_one()
    previous.delete_one({"_id": document["_id"]})
    try:
        alarm = swapped.alarm()
    finally:
        previous.insert_one(document)
    assert f"{PREVIOUS}{SWAPPED_IN}: 1, the first {document['_id']!r}" in alarm


def test_where_the_servers_history_is_gone_what_people_wrote_since_is_left_out_and_nothing_else(swapped: Swapped) -> None:
    live = swapped.database[SWAPPED_IN]
    with without_history(swapped):
        before = swapped.verify()
        first, second, third = live.find(sort=[("_id", -1)], limit=3)
        live.update_one({"_id": first["_id"]}, {"$set": {"name": "another one"}})
        live.delete_one({"_id": second["_id"]})
        live.insert_many([{"_id": "new"}, {"_id": "also new"}])
        live.update_one({"_id": third["_id"]}, {"$set": {"name": "another one"}})
        live.replace_one({"_id": third["_id"]}, third)
        after = swapped.verify()
        with closing(sqlite3.connect(swapped.folder / "staged.sqlite")) as staged, staged:
            where = "collection = ? AND key = (SELECT min(key) FROM staged WHERE collection = ?)"
            (digest,) = staged.execute(f"SELECT digest FROM staged WHERE {where}", (SWAPPED_IN,) * 2).fetchone()
            staged.execute(f"UPDATE staged SET digest = ? WHERE {where}", (bytes(16), *(SWAPPED_IN,) * 2))
            staged.commit()
            try:
                alarm = swapped.alarm()
            finally:
                staged.execute(f"UPDATE staged SET digest = ? WHERE {where}", (digest, *(SWAPPED_IN,) * 2))
    assert not any(one.at_the_swap for one in after.compared)
    assert after.left_out - before.left_out == 4
    assert "but 1 documents are not what was migrated and validated" in alarm


def test_a_collection_that_somebody_drops_after_the_swap_is_not_compared_and_no_alarm(swapped: Swapped) -> None:
    """Its people are allowed to: they can write again."""
    live = swapped.database[SWAPPED_IN]
    live.rename("somewhere_else")
    try:
        verification = swapped.verify()
    finally:
        swapped.database["somewhere_else"].rename(SWAPPED_IN)
    assert [line.partition(":")[0] for line in verification.not_compared] == [f"{SWAPPED_IN} was not compared"]


def test_when_all_is_the_same_the_files_are_removed_and_a_later_execution_gives_what_was_found(
    swapped: Swapped,
) -> None:
    folder = swapped.folder
    first = verification_of(swapped.unfreeze())
    assert not folder.exists()
    assert verification_of(swapped.unfreeze()) == first


def test_after_a_rollback_nothing_is_compared_and_the_run_says_why(swapped: Swapped) -> None:
    release_id = swapped.journal.release_id
    options = {"release_id": release_id, "allow_writes_set_aside": True, "allow_writes_left_in_place": True}
    rollback = defs.get_job_def("rollback").execute_in_process(
        run_config={"ops": {"roll_back": {"config": options}}}, instance=swapped.workplace.instance
    )
    assert rollback.success
    verification = verification_of(swapped.unfreeze())
    assert verification.compared == []
    assert verification.not_compared == [f"Nothing was compared: release {release_id} was rolled back since."]
