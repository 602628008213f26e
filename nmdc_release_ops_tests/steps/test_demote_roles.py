"""A release on an origin whose writes the operator may not block: users and roles are made read-only, and put back."""

import itertools
import threading
import time
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.freezing.demoted_accounts import ACCOUNTS, LEFT, read_header
from nmdc_release_ops.mongo.freezing.demotion import is_in_force
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.strategy import FreezeFailed
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import read_journal
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease, freezes_of
from nmdc_release_ops_tests.mongo.freezing.accounts import accounts_of
from nmdc_release_ops_tests.steps.crashed_release import assert_released, crash, reexecute
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

UNAUTHORIZED = 13


workplace = workplace_fixture(scope="function", warm="workers")


class Writer:
    """Somebody who writes all the time as the NMDC Runtime, and notes what came of it."""

    def __init__(self, workplace: Workplace) -> None:
        self.uri = workplace.origin.uri("nmdc_runtime")
        self.acknowledged: list[Any] = []
        self.refused: set[int | None] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _write(self) -> None:
        count = itertools.count().__next__
        with MongoClient[Any](self.uri) as client, client.start_session() as session:
            # A server that has just started does not tell the time yet.
            while session.operation_time is None:
                client[DATABASE].jobs.find_one({}, session=session)
            while not self._ending.wait(0.002):
                try:
                    client[DATABASE].jobs.insert_one({"id": f"written-{count()}", "by": "the writer"}, session=session)
                    self.acknowledged.append(session.operation_time)
                except OperationFailure as error:
                    self.refused.add(error.code)
                # A read that is refused would end the thread, and with it the writes that the test waits for.
                assert client[DATABASE].jobs.find_one({}, session=session) is not None


@pytest.mark.faults
@pytest.mark.usefixtures("keeper")
def test_a_whole_release_by_demotion_keeps_writers_out_and_leaves_every_account_as_it_was(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    accounts = accounts_of(client)
    with Writer(workplace) as writer:
        result = workplace.release(target_version="11.25", strategy="demote_roles")
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        before_the_end = len(writer.acknowledged)
        deadline = time.monotonic() + 30
        while len(writer.acknowledged) == before_the_end:
            assert writer._thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)
    assert_released(client)
    assert accounts_of(client) == accounts
    plan, frozen = result.output_for_node("plan"), result.output_for_node("freeze")
    assert (plan.strategy, frozen.strategy) == (Strategy.DEMOTE_ROLES, Strategy.DEMOTE_ROLES)
    assert plan.strategy_reason.startswith("The configuration asks for it. ")
    journal = read_journal(client, plan.release_id)
    assert journal is not None and journal.swapped_cluster_time is not None
    since, until = frozen.cluster_time.timestamp(), journal.swapped_cluster_time.timestamp()
    assert writer.refused == {UNAUTHORIZED}
    assert writer.acknowledged[0] < since < until < writer.acknowledged[-1]
    assert [moment for moment in writer.acknowledged if since < moment <= until] == []
    assert client[DATABASE].jobs.count_documents({"by": "the writer"}) == len(writer.acknowledged)
    window = result.output_for_node("unfreeze")
    assert window.put_back == 5 and window.left == ()
    assert read_header(client) is None and client[STATE_DATABASE][ACCOUNTS].count_documents({}) == 0


@pytest.mark.faults
@pytest.mark.usefixtures("keeper", "no_block")
def test_a_step_that_fails_after_the_freeze_has_every_account_put_back(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    accounts = accounts_of(client)
    study = client[DATABASE].study_set.find_one({})
    client[DATABASE].study_set.update_one({"_id": study["_id"]}, {"$set": {"study_category": "no such category"}})
    with untouched(client):
        result = workplace.release(target_version="11.25")
    step, _ = failure_of(result)
    assert step == "validate"
    assert result.output_for_node("freeze").strategy is Strategy.DEMOTE_ROLES
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    assert (
        "The origin will be frozen by demote_roles. write_block is not possible: the user in NMDC_ORIGIN_URI lacks"
        in log
    )
    assert "The origin is frozen (demote_roles)" in log
    assert "The origin is thawed: writes are allowed again" in log
    assert accounts_of(client) == accounts and read_header(client) is None
    client[DATABASE].study_set.replace_one({"_id": study["_id"]}, study)


@pytest.mark.faults
@pytest.mark.usefixtures("keeper", "no_block")
@pytest.mark.parametrize("step", ["freeze", "dump"])
def test_killed_while_accounts_are_demoted_unfreeze_puts_them_back_and_re_execution_finishes(
    workplace: Workplace, client: MongoClient[Any], step: str
) -> None:
    accounts = accounts_of(client)
    run_id = crash(workplace, f"after:{step}")
    lease = current_lease(client)
    assert lease is not None and is_in_force(client, lease.release_id)
    assert accounts_of(client) != accounts
    assert defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance).success
    assert accounts_of(client) == accounts and current_lease(client) is None
    assert reexecute(workplace, run_id).success
    assert_released(client)
    assert accounts_of(client) == accounts


@pytest.mark.faults
@pytest.mark.usefixtures("keeper", "no_block")
def test_killed_in_the_swap_accounts_stay_demoted_until_re_execution_has_finished_it(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    accounts = accounts_of(client)
    run_id = crash(workplace, "made:0")
    refused = defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance, raise_on_error=False)
    assert not refused.success
    assert accounts_of(client) != accounts
    assert reexecute(workplace, run_id).success
    assert_released(client)
    assert accounts_of(client) == accounts


@pytest.mark.usefixtures("keeper")
def test_what_somebody_changed_during_the_freeze_is_told_when_it_is_thawed(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with MongoClient[Any](workplace.origin.uri()) as operator:
        freeze(operator, "a", "run", Strategy.DEMOTE_ROLES, database=DATABASE)
        client.admin.command("grantRolesToRole", "nmdc_editor", roles=["hostManager"])
        result = defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance)
        assert result.success
        (kept,) = freezes_of(operator, "a")
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    for logged in (log, "\n".join(kept.left)):
        assert "The role nmdc_editor@admin was changed while the origin was frozen, and was left unchanged." in logged
        assert 'db.getSiblingDB("admin").updateRole("nmdc_editor", ' in logged
    assert kept.put_back == 4
    assert client[STATE_DATABASE][LEFT].count_documents({}) == 1


@pytest.mark.usefixtures("keeper")
def test_somebody_who_became_able_to_write_stops_the_release_and_nothing_is_put_back_for_it(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with MongoClient[Any](workplace.origin.uri()) as operator:
        freeze(operator, "a", "run", Strategy.DEMOTE_ROLES, database=DATABASE)
        client.admin.command("createUser", "new", pwd="of the test", roles=["readWriteAnyDatabase"])
        with pytest.raises(FreezeFailed, match="can write to it: user new@admin"):
            freeze(operator, "a", "run", Strategy.DEMOTE_ROLES, database=DATABASE)
        assert current_lease(client) is not None and is_in_force(client, "a")
        thaw(operator, "a", "run")


@pytest.mark.usefixtures("keeper")
def test_accounts_whose_lease_somebody_removed_stop_a_release_and_are_put_back_by_unfreeze(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    accounts = accounts_of(client)
    with MongoClient[Any](workplace.origin.uri()) as operator:
        freeze(operator, "a", "run", Strategy.DEMOTE_ROLES, database=DATABASE)
        operator[STATE_DATABASE].freeze_lease.delete_many({})
    _, text = failure_of(workplace.release(target_version="11.25"))
    assert "Release a made users and roles read-only and holds no lease any more." in text.description
    assert defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance).success
    assert accounts_of(client) == accounts
