"""While a release works, the command and monitoring see how far it is; what they see never costs the release anything."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.freezing.strategy import FreezeFailed
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.mongo.state.step_report import STATUS, Stage, StepReport, read_reports
from nmdc_release_ops_tests.sent_commands import Command, on_each_command, sent_commands
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

workplace = workplace_fixture(scale=1_000, warm=True)
RATE = r"documents, [\d,]+ a second"
COUNTED = re.compile(rf"\w+ [\d,]+ of [\d,]+ {RATE}, [\w. ]+ left \(\w+: [\d,]+ of [\d,]+\)")
UNCOUNTED = re.compile(rf"\w+ [\d,]+ {RATE} \(\w+: [\d,]+ of [\d,]+\)")


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports and lines as often as there is something to report."""
    monkeypatch.setattr("nmdc_release_ops.steps.showing.reporting.SECONDS_BETWEEN_REPORTS", 0.05)
    monkeypatch.setattr("nmdc_release_ops.steps.showing.display.SECONDS_BETWEEN_LINES", 0.0)


@contextmanager
def watched(client: MongoClient[Any]) -> Iterator[list[StepReport]]:
    """All reports that can be seen while the block lasts, in order."""
    seen: list[StepReport] = []
    written, over = threading.Event(), threading.Event()

    def note(command: Command) -> None:
        if command.name == "update" and command.content["update"] == STATUS:
            written.set()

    def watch() -> None:
        while not over.is_set():
            if written.wait(0.5):
                written.clear()
                # The command has yet to be executed.
                over.wait(0.01)
                seen.extend(one for one in read_reports(client, DATABASE) if one not in seen)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with on_each_command(note):
            yield seen
    finally:
        over.set()
        watching.join()
    seen.extend(one for one in read_reports(client, DATABASE) if one not in seen)


def lines_of(workplace: Workplace, result: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in workplace.instance.all_logs(result.run_id) if not entry.is_dagster_event]


def test_a_release_reports_every_step_and_what_it_blocked(workplace: Workplace, client: MongoClient[Any]) -> None:
    with watched(client) as seen:
        result = workplace.release(target_version="11.24.0")
    assert result.success
    steps = list(dict.fromkeys(report.step for report in seen))
    assert steps == ["freeze", "dump", "migrate", "validate", "restore", "unfreeze"]
    assert {report.stage for report in seen} <= {Stage.WORKING, Stage.DONE}
    dumped = [report for report in seen if report.step == "dump" and report.done]
    assert dumped and dumped[-1].done == dumped[-1].total and dumped[-1].verb == "dumped"
    last = seen[-1]
    assert (last.step, last.stage) == ("unfreeze", Stage.DONE)
    assert last.predicted_seconds and last.blocked_seconds and last.blocked_seconds > 0
    assert {report.run_id for report in seen} == {result.run_id}
    (written,) = workplace.home.glob("metrics-*.prom")
    metrics = written.read_text()
    origin = written.stem.removeprefix("metrics-")
    assert f'nmdc_release_database_info{{origin="{origin}",database="nmdc",schema_version="11.24.0"}} 1' in metrics
    assert (workplace.home / "origins" / origin / "releases").is_dir()
    assert 'step="unfreeze"' in metrics


def test_long_work_says_in_the_log_how_far_how_fast_and_how_long(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    result = workplace.rehearse(target_version="11.25")
    assert result.success
    lines = lines_of(workplace, result)
    # What migrators will use is not known beforehand.
    for verb, form in (("dumped", COUNTED), ("loaded", UNCOUNTED)):
        found = [line for line in lines if line.startswith(f"{verb} ") and " documents, " in line]
        assert any(form.fullmatch(line) for line in found), (verb, found)
    # The process that validates reports every few seconds, and may have done before.
    found = [line for line in lines if line.startswith("validated ") and " documents, " in line]
    assert all(COUNTED.fullmatch(line) for line in found), found
    (report,) = (one for one in read_reports(client, DATABASE) if one.is_rehearsal)
    assert (report.job, report.step, report.stage) == ("rehearsal", "validate", Stage.DONE)


def test_a_failed_step_is_reported_as_failed(workplace: Workplace, client: MongoClient[Any]) -> None:
    client[DATABASE]["study_set"].update_one({}, {"$set": {"no_such_slot": 1}})
    try:
        result = workplace.rehearse(target_version="11.25")
    finally:
        client[DATABASE]["study_set"].update_one({"no_such_slot": 1}, {"$unset": {"no_such_slot": 1}})
    assert not result.success
    (report,) = (one for one in read_reports(client, DATABASE) if one.is_rehearsal)
    assert (report.step, report.stage) == ("validate", Stage.FAILED)


def test_a_report_that_cannot_be_written_is_said_once_a_step_and_fails_nothing(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    state = client[STATE_DATABASE]
    state[STATUS].drop()
    # Nobody can write to a view.
    state.create_collection(STATUS, viewOn="nothing")
    try:
        result = workplace.rehearse(target_version="11.25")
    finally:
        state[STATUS].drop()
    assert result.success
    said = [line for line in lines_of(workplace, result) if line.startswith("How far this step is cannot be written")]
    assert 1 <= len(said) <= len(("dump", "migrate", "validate"))


def test_a_promotion_that_fails_under_the_freeze_is_reported_as_failed_after_the_thaw(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise FreezeFailed("Somebody lifted the freeze.")

    with monkeypatch.context() as patch:
        patch.setattr("nmdc_release_ops.steps.swapping.swapping.require_frozen", refuse)
        result = defs.get_job_def("promote").execute_in_process(instance=workplace.instance, raise_on_error=False)
    assert not result.success
    report = read_reports(client, DATABASE)[0]
    assert (report.run_id, report.job, report.step) == (result.run_id, "promote", "restore")
    assert report.stage is Stage.FAILED and not report.is_rehearsal
    assert current_lease(client) is None
    (written,) = workplace.home.glob("metrics-*.prom")
    assert re.search(r'nmdc_release_step_failed\{[^}]*step="restore"\} 1', written.read_text())


def test_a_promotion_writes_no_report_between_the_freeze_and_the_thaw(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with sent_commands() as sent, watched(client) as seen:
        result = defs.get_job_def("promote").execute_in_process(instance=workplace.instance, raise_on_error=False)
    assert result.success
    steps = list(dict.fromkeys(report.step for report in seen if report.run_id == result.run_id))
    assert steps == ["catch_up", "unfreeze"]
    caught_up = next(report for report in reversed(seen) if report.step == "catch_up")
    assert caught_up.predicted_seconds is not None and caught_up.oplog_seconds_left is not None
    blocks = [number for number, command in enumerate(sent) if command.name == "setUserWriteBlockMode"]
    under_freeze = sent[blocks[0] : blocks[-1]]
    assert not [one for one in under_freeze if one.name == "update" and one.content["update"] == STATUS]
