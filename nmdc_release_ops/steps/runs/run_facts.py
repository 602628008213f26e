"""What Dagster knows of a run, for its page and for notices: its records, steps and warnings, why it failed, who launched it."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import dagster as dg

from nmdc_release_ops.pages.summary import Outcome, StepRun
from nmdc_release_ops.records.record import Record, RecordAltered, RecordUnreadable
from nmdc_release_ops.resources.environment import mask_secrets
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.runs.last_step import executes

RecordT = TypeVar("RecordT", bound=Record)
_LONGEST_WARNING = 2_000
_LAUNCHERS = {"dagster/sensor_name": "the sensor", "dagster/schedule_name": "the schedule", "user": "the user"}
_OUTCOMES = {"SUCCESS": Outcome.SUCCEEDED, "FAILURE": Outcome.FAILED}


class RunRecords:
    """The records of a run and, of steps that it does not execute, those of the runs that it re-executes.

    Attributes:
        runs: this one and those that it re-executes, newest first.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        home: ReleaseHomeResource,
        run: dg.DagsterRun,
        in_hand: Mapping[str, Record],
    ) -> None:
        """in_hand: records that are not written yet, by step."""
        self._instance = instance
        self._home = home
        self._in_hand = in_hand
        self.runs = [run]
        while (parent := self.runs[-1].parent_run_id) and (earlier := instance.get_run_by_id(parent)):
            self.runs.append(earlier)

    def read(self, kind: type[RecordT], *names: str) -> RecordT | None:
        """The record of the first of these steps that has one; None where none has."""
        for name in names:
            if isinstance(one := self._in_hand.get(name), kind):
                return one
            for run in self.runs:
                if (found := self._read_own(kind, run.run_id, name)) is not None:
                    return found
                if executes(self._instance, run.run_id, name.partition(".")[0]):
                    # It has not made it yet, or failed to: that of an earlier run is outdated.
                    break
        return None

    def _read_own(self, kind: type[RecordT], run_id: str, name: str) -> RecordT | None:
        try:
            return kind.from_json(self._home.record(run_id, name).read_bytes())
        except (OSError, RecordUnreadable, RecordAltered):
            return None


def list_steps(instance: dg.DagsterInstance, run_id: str, otherwise: Outcome) -> list[StepRun]:
    """The steps that a run began, in the order in which it did.

    Args:
        otherwise: the outcome of one that has no end in the run's log.
    """
    begun = [one for one in instance.get_run_step_stats(run_id) if one.start_time is not None]
    return sorted((_describe_step(one, otherwise) for one in begun), key=lambda step: step.started)


def _describe_step(stats: Any, otherwise: Outcome) -> StepRun:
    """stats: Dagster's, whose type is not public."""
    return StepRun(
        name=stats.step_key,
        outcome=_OUTCOMES.get(stats.status.value, otherwise) if stats.status else otherwise,
        started=datetime.fromtimestamp(stats.start_time or 0, UTC),
        ended=None if stats.end_time is None else datetime.fromtimestamp(stats.end_time, UTC),
    )


def list_warnings(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    """What the steps of a run warned of, without secrets."""
    for entry in instance.all_logs(run_id):
        if entry.dagster_event is None and int(entry.level) >= logging.WARNING:
            yield mask_secrets(entry.user_message[:_LONGEST_WARNING])


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Attributes:
        step: that failed.
        says: the error, for people, without secrets.
    """

    step: str
    says: str


def find_failure(instance: dg.DagsterInstance, run_id: str) -> Failure | None:
    """The first step of a run that failed; None if none did. Only text that was written for operators: any other may contain
    secrets.
    """
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is None:
            continue
        failure = event.step_failure_data.user_failure_data
        described = failure is not None and failure.description
        says = mask_secrets(described) if described else "An unforeseen error: see the run's page, and docs/runbook.md."
        return Failure(event.step_key or "", says)
    return None


def describe_launch(run: dg.DagsterRun) -> str:
    """Who or what launched a run."""
    again = f"; it re-executes run {run.parent_run_id}" if run.parent_run_id else ""
    for tag, what in _LAUNCHERS.items():
        if tag in run.tags:
            return f"{what} {run.tags[tag]}{again}"
    return f"a person, in the UI or a terminal{again}"
