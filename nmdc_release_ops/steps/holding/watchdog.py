"""Whether `frozen_origin_watchdog` is on duty: it thaws the origin if a run is killed."""

import time

import dagster as dg
from dagster import DagsterInstance, DagsterRun

from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.steps.runs.last_step import executes

WATCHDOG = "frozen_origin_watchdog"
SILENCE_SECONDS = 150
"""Dagster's daemon sends a heartbeat every 30 seconds."""
START_SECONDS = 60
"""For a daemon that has just been started: Dagster accepts runs before its first heartbeat."""
_DAEMON = "SENSOR"
_RISK = "If this run is killed while the origin is frozen, nobody thaws it until the job `unfreeze` is launched."


def require_watchdog(context: dg.OpExecutionContext, *, allow_without: bool) -> list[str]:
    """Make sure that the watchdog thaws the origin if this run is killed; return warnings for the plan.

    A run that a command executes in a terminal can have a Dagster without a daemon: it is only warned.

    Raises:
        PlanRefused: the sensor is turned off, or the daemon that evaluates it is silent.
    """
    run = context.instance.get_run_by_id(context.run_id)
    is_launched = run is not None and run.remote_job_origin is not None
    risk = _find_risk(context.instance, run, patience=START_SECONDS if is_launched and not allow_without else 0)
    if risk is None:
        return []
    if not is_launched:
        if not allow_without:
            context.log.warning(risk)
        return []
    if allow_without:
        return [risk]
    raise PlanRefused(
        [
            f"{risk} Turn the sensor on under Automation, and see that Dagster's daemon runs (`dagster-daemon run`). Or launch "
            "again with allow_without_watchdog: true."
        ]
    )


def warn_without_watchdog(context: dg.OpExecutionContext) -> None:
    """Warn in the run's log, once, if nobody thaws the origin if this run is killed.

    For a run that freezes without `plan` or `choose`, which look for the watchdog: one that is re-executed, or a rollback. It
    refuses nothing, also where Dagster does not answer: a rollback must be possible.
    """
    try:
        _warn(context)
    except Exception as error:
        context.log.warning(
            f"Dagster did not say whether the watchdog is on duty: {type(error).__name__}: {error}. {_RISK}"
        )


def _warn(context: dg.OpExecutionContext) -> None:
    instance, run_id = context.instance, context.run_id
    if executes(instance, run_id, "plan") or executes(instance, run_id, "choose"):
        return
    risk = _find_risk(instance, instance.get_run_by_id(run_id), patience=0)
    if risk is not None and not any(_RISK in entry.user_message for entry in instance.all_logs(run_id)):
        context.log.warning(f"{risk} Turn the sensor on under Automation, and see that Dagster's daemon runs.")


def _find_risk(instance: DagsterInstance, run: DagsterRun | None, patience: float) -> str | None:
    """What the silence of the watchdog means for a run; None if the watchdog is on duty."""
    problem = _find_silence(instance, patience)
    if problem is None and run is not None and is_turned_off(instance, run):
        problem = f"The sensor {WATCHDOG} is turned off."
    if problem is None:
        return None
    return f"{problem} {_RISK}"


def _find_silence(instance: DagsterInstance, patience: float) -> str | None:
    """Why no sensor is evaluated; None if they are.

    Args:
        patience: seconds to wait for a heartbeat.
    """
    deadline = time.monotonic() + patience
    while True:
        heartbeat = instance.get_daemon_heartbeats().get(_DAEMON)
        silent = None if heartbeat is None else time.time() - heartbeat.timestamp
        if silent is not None and silent < SILENCE_SECONDS:
            return None
        if time.monotonic() > deadline:
            since = "has never run here" if silent is None else f"sent no heartbeat for {silent:.0f} s"
            return f"Dagster's daemon, which evaluates the sensor {WATCHDOG}, {since}."
        time.sleep(1)


def is_turned_off(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether somebody turned the sensor off in the code location of a run; it is on until then."""
    origin = run.remote_job_origin
    states = instance.all_instigator_state(
        repository_selector_id=origin.repository_origin.get_selector_id() if origin else None
    )
    return any(state.instigator_name == WATCHDOG and state.status.value == "STOPPED" for state in states)
