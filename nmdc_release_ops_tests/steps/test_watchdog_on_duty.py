"""Nothing is frozen while nobody is there who would thaw it: `plan` looks for the watchdog."""

import re
import time
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.steps.holding.holding import hold_frozen
from nmdc_release_ops.steps.holding.watchdog import SILENCE_SECONDS
from nmdc_release_ops_tests.dagster_server import DagsterServer, dagster_server, turn_off, turn_on
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

workplace = workplace_fixture(scale=100)
WATCHDOG = "frozen_origin_watchdog"
RISK = "If this run is killed while the origin is frozen, nobody thaws it until the job `unfreeze` is launched."


def beat(workplace: Workplace, seconds_ago: float) -> None:
    """What Dagster's daemon writes every 30 seconds."""
    moment = time.time() - seconds_ago
    workplace.instance.add_daemon_heartbeat(DaemonHeartbeat(moment, "SENSOR", daemon_id="a-daemon", errors=[]))


def warnings_of(workplace: Workplace, result: dg.ExecuteInProcessResult) -> list[str]:
    assert result.success
    entries = workplace.instance.all_logs(result.run_id)
    return [entry.user_message for entry in entries if RISK in entry.user_message]


def test_a_run_in_a_terminal_is_warned_where_no_daemon_runs(workplace: Workplace) -> None:
    workplace.instance.wipe_daemon_heartbeats()
    (warning,) = warnings_of(workplace, workplace.plan(target_version="11.25"))
    assert "has never run here" in warning
    beat(workplace, seconds_ago=2 * SILENCE_SECONDS)
    (warning,) = warnings_of(workplace, workplace.plan(target_version="11.25"))
    assert re.search(r"sent no heartbeat for 3\d\d s", warning)
    assert not warnings_of(workplace, workplace.plan(target_version="11.25", allow_without_watchdog=True))
    beat(workplace, seconds_ago=1)
    assert not warnings_of(workplace, workplace.plan(target_version="11.25"))


def test_a_rehearsal_needs_no_watchdog(workplace: Workplace) -> None:
    workplace.instance.wipe_daemon_heartbeats()
    assert not warnings_of(workplace, workplace.rehearse(target_version="11.25"))


def test_a_run_that_freezes_without_a_plan_of_its_own_is_warned_once_and_never_refused(workplace: Workplace) -> None:
    workplace.instance.wipe_daemon_heartbeats()
    (warning,) = warnings_of(workplace, freeze_twice(workplace, "freeze_again"))
    assert "has never run here" in warning
    assert not warnings_of(workplace, freeze_twice(workplace, "plan")), "its plan looked for the watchdog"
    beat(workplace, seconds_ago=1)
    assert not warnings_of(workplace, freeze_twice(workplace, "freeze_again"))


def test_a_rollback_freezes_also_where_dagster_cannot_say_whether_the_watchdog_is_on_duty(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: dg.DagsterInstance) -> None:
        raise OSError("the storage does not answer")

    monkeypatch.setattr(dg.DagsterInstance, "get_daemon_heartbeats", fails)
    result = freeze_twice(workplace, "roll_back")
    assert result.success
    log = [entry.user_message for entry in workplace.instance.all_logs(result.run_id)]
    assert any("Dagster did not say whether the watchdog is on duty: OSError" in line for line in log)


def freeze_twice(workplace: Workplace, step: str) -> dg.ExecuteInProcessResult:
    """Freeze and thaw the origin twice in one step, as `reconcile` does while people write too fast."""

    @dg.op(name=step)
    def freezes(context: dg.OpExecutionContext, origin: OriginResource) -> None:
        with origin.connect() as connected:
            for _ in range(2):
                hold_frozen(context, origin, connected, "a-release", Strategy.WRITE_BLOCK, drain_timeout=10)
                thaw(connected.client, "a-release", thawed_by=context.run_id)

    @dg.job(name="freezing", resource_defs={"origin": OriginResource()})
    def freezing() -> None:
        freezes()

    return freezing.execute_in_process(instance=workplace.instance)


@pytest.mark.faults
def test_a_run_that_is_launched_is_refused_while_the_watchdog_is_off(
    workplace: Workplace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = str(tmp_path_factory.mktemp("dagster") / "log")
    workplace.instance.wipe_daemon_heartbeats()
    with dagster_server(workplace.environment(), log) as dagster:
        # At once, while the daemon has not yet reported.
        run = check(dagster)
        assert dagster.wait(run)[0] == "SUCCESS"
        turn_off(WATCHDOG, workplace.environment())
        run = check(dagster)
        assert dagster.wait(run)[0] == "FAILURE"
        assert f"The sensor {WATCHDOG} is turned off. {RISK}" in read_failure(workplace, run)
        run = check(dagster, allow_without_watchdog=True)
        assert dagster.wait(run)[0] == "SUCCESS"
        turn_on(WATCHDOG, workplace.environment())
        run = check(dagster)
        assert dagster.wait(run)[0] == "SUCCESS"


def check(dagster: DagsterServer, **config: Any) -> str:
    return dagster.launch({"ops": {"plan": {"config": {"target_version": "11.25", **config}}}}, "check")


def read_failure(workplace: Workplace, run: str) -> str:
    (failed,) = workplace.instance.all_logs(run, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert failed.dagster_event is not None
    data = failed.dagster_event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)
