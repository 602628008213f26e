"""After a promotion everything is compared once more, and whatever is not what was validated is noticed and named."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.delta.read import MomentGone, find_at
from nmdc_release_ops.mongo.promoting.staged_documents import digest
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.raw import RAW
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import Journal, journals, newest_journal, write_journal
from nmdc_release_ops.records.data_release import FreezeWindow
from nmdc_release_ops.records.verification import Verification
from nmdc_release_ops.steps.promoting.state import PromotionState
from nmdc_release_ops_tests.hammer import hammering
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE, data_hashes, put_back, recorded_version
from nmdc_release_ops_tests.sent_commands import Command, on_each_command
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

SWAPPED_IN = "biosample_set"
UP_TO_THE_SWAP = ["choose", "catch_up", "freeze", "reconcile", "restore"]

workplace = workplace_fixture(scale=450, warm=True)


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

    def unwritten(self) -> list[bytes]:
        """The documents, as BSON, that are still as they were swapped in."""
        live = self.database.get_collection(SWAPPED_IN, codec_options=RAW)
        documents = [bytes(one.raw) for one in live.find(sort=[("_id", 1)])]
        with closing(sqlite3.connect(self.folder / "staged.sqlite")) as staged:
            noted = dict(staged.execute("SELECT key, digest FROM staged WHERE collection = ?", (SWAPPED_IN,)))
        return [one for one in documents if noted.get(key_of(one)) == digest(one)]

    def unfreeze(self) -> dg.JobExecutionResult:
        return dg.execute_job(
            dg.reconstructable(promote),
            instance=self.workplace.instance,
            reexecution_options=dg.ReexecutionOptions(self.run_id, step_selection=["unfreeze"]),
            raise_on_error=False,
        )

    @contextmanager
    def keeping_files(self) -> Iterator[Path]:
        """After the block, the promotion's files are as they were before; gives their folder."""
        folder = self.folder
        kept = folder.with_name("kept")
        shutil.copytree(folder, kept)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            kept.rename(folder)

    def verify(self) -> Verification:
        """By `unfreeze`, which has to succeed."""
        with self.keeping_files() as folder:
            verification = verification_of(self.unfreeze())
            assert not folder.exists()
            return verification

    def alarm(self) -> str:
        """What the run page says when `unfreeze` fails."""
        step, failure = failure_of(self.unfreeze())
        assert step == "unfreeze"
        assert failure.metadata["error"].value == "VerificationFailed"
        assert "documents that differ" in failure.metadata
        assert "The promotion is complete and writes are allowed" in failure.description
        assert f"`rollback` with release_id: {self.journal.release_id}" in failure.description
        return str(failure.description)


def verification_of(result: dg.JobExecutionResult | dg.ExecuteInProcessResult) -> Verification:
    assert result.success, failure_of(result)
    if isinstance(result, dg.ExecuteInProcessResult):
        window = FreezeWindow.model_validate(result.output_for_node("unfreeze"))
    else:
        with result:
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
def other_digest(swapped: Swapped) -> Iterator[None]:
    """What was validated of one document that was swapped in, and to which nobody wrote, is another one than the origin has."""
    key = key_of(swapped.unwritten()[0])
    with closing(sqlite3.connect(swapped.folder / "staged.sqlite")) as staged:
        (noted,) = staged.execute(
            "SELECT digest FROM staged WHERE collection = ? AND key = ?", (SWAPPED_IN, key)
        ).fetchone()

        def put(value: bytes) -> None:
            with staged:
                staged.execute("UPDATE staged SET digest = ? WHERE key = ?", (value, key))

        put(bytes(16))
        try:
            yield
        finally:
            put(noted)


def shows(database: Any, moment: ClusterTime) -> bool:
    """Whether the server shows what a collection held at a moment."""
    try:
        next(find_at(database, SWAPPED_IN, {}, moment))
    except MomentGone:
        return False
    return True


@contextmanager
def without_history(swapped: Swapped) -> Iterator[None]:
    """The server no longer shows what its collections held at the moment of the swap."""
    parameter = "minSnapshotHistoryWindowInSeconds"
    before = swapped.client.admin.command({"getParameter": 1, parameter: 1})[parameter]
    swapped.client.admin.command({"setParameter": 1, parameter: 0})
    moment = swapped.journal.swapped_cluster_time
    assert moment is not None
    try:
        deadline = time.monotonic() + 60
        while shows(swapped.database, moment):
            assert time.monotonic() < deadline
            swapped.client["a_test"].writes.insert_one({})
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
    with other_digest(swapped):
        alarm = swapped.alarm()
    assert f"({SWAPPED_IN}: 1, the first ObjectId(" in alarm


def test_a_document_from_before_the_swap_that_was_not_migrated_is_noticed_and_named(swapped: Swapped) -> None:
    previous = swapped.database[PREVIOUS + SWAPPED_IN]
    previous.insert_one({"_id": "nobody migrated it"})
    try:
        alarm = swapped.alarm()
    finally:
        previous.delete_one({"_id": "nobody migrated it"})
    assert f"({PREVIOUS}{SWAPPED_IN}: 1, the first 'nobody migrated it'" in alarm


def test_a_document_that_was_migrated_and_is_missing_from_what_was_swapped_out_is_noticed(swapped: Swapped) -> None:
    previous = swapped.database[PREVIOUS + SWAPPED_IN]
    document = previous.find_one()
    previous.delete_one({"_id": document["_id"]})
    try:
        alarm = swapped.alarm()
    finally:
        previous.insert_one(document)
    assert f"({PREVIOUS}{SWAPPED_IN}: 1, the first {document['_id']!r}" in alarm


def test_where_the_servers_history_is_gone_what_people_wrote_since_is_left_out_and_nothing_else(
    swapped: Swapped,
) -> None:
    live = swapped.database[SWAPPED_IN]
    with without_history(swapped):
        before = swapped.verify()
        first, second, third = (bson.decode(one) for one in swapped.unwritten()[-3:])
        live.update_one({"_id": first["_id"]}, {"$set": {"name": "another one"}})
        live.delete_one({"_id": second["_id"]})
        live.insert_many([{"_id": one, "id": one} for one in ("new", "also new")])
        live.update_one({"_id": third["_id"]}, {"$set": {"name": "another one"}})
        live.replace_one({"_id": third["_id"]}, third)
        after = swapped.verify()
        with other_digest(swapped):
            alarm = swapped.alarm()
    assert not any(one.at_the_swap for one in after.compared)
    assert after.left_out - before.left_out == 4
    assert f"({SWAPPED_IN}: 1, the first ObjectId(" in alarm


def test_a_collection_that_somebody_drops_after_the_swap_is_not_compared_and_no_alarm(swapped: Swapped) -> None:
    """Its people are allowed to: they can write again."""
    live = swapped.database[SWAPPED_IN]
    live.rename("somewhere_else")
    try:
        verification = swapped.verify()
    finally:
        swapped.database["somewhere_else"].rename(SWAPPED_IN)
    assert [line.partition(":")[0] for line in verification.not_compared] == [f"{SWAPPED_IN} was not compared"]


def test_a_file_that_is_gone_is_named_and_everything_else_compared(swapped: Swapped) -> None:
    with swapped.keeping_files() as folder:
        state = PromotionState.read(folder)
        assert state is not None
        (folder / state.folder / state.by_name[SWAPPED_IN].file).unlink()
        verification = verification_of(swapped.unfreeze())
    (line,) = verification.not_compared
    assert line.startswith(f"{PREVIOUS}{SWAPPED_IN} was not compared: the file that the migrators ran on, in {folder}/")
    assert line.endswith(", is missing or damaged.")
    assert SWAPPED_IN in {one.collection for one in verification.result}


def test_after_a_later_release_nothing_is_compared_and_the_run_says_why(swapped: Swapped) -> None:
    later = swapped.journal.model_copy(update={"release_id": "later", "number": (swapped.journal.number or 0) + 1})
    with swapped.keeping_files():
        write_journal(swapped.client, later)
        try:
            verification = verification_of(swapped.unfreeze())
        finally:
            journals(swapped.client).delete_one({"_id": "later"})
    assert verification.compared == []
    assert verification.not_compared == [
        "Nothing was compared: release later was swapped in since, and replaced what was to be compared."
    ]


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


def test_whatever_changes_what_is_staged_right_before_the_swap_is_noticed_and_can_be_rolled_back(
    workplace: Workplace,
) -> None:
    """Nobody is able to, who does not bypass the freeze."""
    with MongoClient[Any](workplace.origin.server.uri) as client:
        put_back(client)
        before = data_hashes(client)
        staged = client[DATABASE][STAGED + SWAPPED_IN]
        changed: list[Any] = []

        def change_once(command: Command) -> None:
            if command.name == "renameCollection" and not changed:
                changed.append(staged.find_one())
                staged.update_one({"_id": changed[0]["_id"]}, {"$set": {"name": "another one"}})

        with on_each_command(change_once):
            result = defs.get_job_def("online_release").execute_in_process(
                run_config={"ops": {"plan": {"config": {"target_version": "11.25"}}}},
                instance=workplace.instance,
                raise_on_error=False,
            )
        step, failure = failure_of(result)
        assert step == "unfreeze"
        assert f"({SWAPPED_IN}: 1, the first {changed[0]['_id']!r})" in failure.description
        assert "The origin is not frozen" in failure.description
        journal = newest_journal(client, DATABASE)
        assert journal is not None
        options = {"release_id": journal.release_id, "allow_writes_set_aside": True}
        assert (
            defs.get_job_def("rollback")
            .execute_in_process(run_config={"ops": {"roll_back": {"config": options}}}, instance=workplace.instance)
            .success
        )
        assert data_hashes(client) == before
        assert recorded_version(client) == BEFORE
