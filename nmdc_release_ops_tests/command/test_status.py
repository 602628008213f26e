"""`nmdc-release status` says at any time what state the origin is in, and what to do next."""

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from pymongo import MongoClient

from nmdc_release_ops.command import show_status
from nmdc_release_ops.command.origin import Origin
from nmdc_release_ops.command.screen import conceal
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import State, write_journal
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.mongo.state.step_report import STATUS, Stage, write_report
from nmdc_release_ops_tests.command.running import COMMAND, CONTROL, flat, run, run_installed
from nmdc_release_ops_tests.mongo.state.journals import journal_in, swapped_in
from nmdc_release_ops_tests.mongo.state.reports import report_of
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE
from nmdc_release_ops_tests.workplace import Workplace, untouched, workplace_fixture

workplace = workplace_fixture(scale=100)
REPORT = report_of(
    "dump",
    done=250,
    total=1_000,
    verb="dumped",
    unit="documents",
    rate=50.0,
    seconds_left=15.0,
)


def test_it_names_the_database_its_version_and_that_nothing_has_to_be_done(
    workplace: Workplace, client: MongoClient[Any], password: str
) -> None:
    with untouched(client):
        found = run("status")
    assert found.exit_code == 0, found.output
    text = flat(found.output)
    host = workplace.origin.uri().split("@")[1].split("/")[0]
    assert f"{DATABASE} on {host} (MongoDB " in text
    assert f"schema {BEFORE}; the newest published is" in text
    assert "The origin is not frozen: no release holds it." in text
    assert "There is no rehearsal." in text
    assert "Nothing has to be done." in text
    assert password not in found.output and not CONTROL.search(found.output)


def test_it_says_who_blocks_writes_and_how_far_the_work_is(client: MongoClient[Any]) -> None:
    freeze(client, "a-release", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        write_report(client, REPORT)
        found, told = run("status"), json.loads(run("status", "--json").output)
    finally:
        thaw(client, "a-release", thawed_by="a-run")
        client.drop_database(STATE_DATABASE)
    assert found.exit_code == 0, found.output
    text = flat(found.output)
    assert "frozen by release a-release (run a-run" in text
    assert "heartbeat " in text
    assert "`dump` is at work, dumped 250 of 1,000 documents, 50 a second, 15.0 s left" in text
    assert "Wait until the release is done." in text
    assert told["writes_blocked"] is True
    assert told["hold"]["run_id"] == "a-run" and not told["hold"]["is_abandoned"]
    assert told["working"][0]["step"] == "dump"
    assert told["next"] == {"urgency": "wait", "says": "Wait until the release is done."}


def test_half_a_swap_makes_it_end_with_1_and_say_what_to_do(client: MongoClient[Any]) -> None:
    try:
        write_journal(client, journal_in(State.SWAPPING))
        found = run("status")
    finally:
        client.drop_database(STATE_DATABASE)
    assert found.exit_code == 1
    text = flat(found.output)
    assert "launch the job `rollback` to undo it" in text
    assert "Finish or undo the swap" in text


def test_it_lists_the_last_releases_and_says_that_the_last_one_can_be_rolled_back(client: MongoClient[Any]) -> None:
    with swapped_in(client):
        found, told = run("status"), json.loads(run("status", "--json").output)
    assert found.exit_code == 0
    assert f"a-release: {BEFORE} -> {AFTER}, swapped in" in flat(found.output)
    assert f"the job `rollback` brings back schema {BEFORE}" in flat(found.output)
    assert told["rollback"]["is_possible"] is True
    assert [one["state"] for one in told["releases"]] == ["swapped"]


def test_a_failed_step_is_named_with_where_to_read_on(client: MongoClient[Any]) -> None:
    try:
        write_report(client, REPORT.model_copy(update={"stage": Stage.FAILED}))
        found = run("status")
    finally:
        client.drop_database(STATE_DATABASE)
    assert found.exit_code == 0
    assert "Run a-run failed in `dump`: its run page says what to correct" in flat(found.output)


def test_a_step_that_no_longer_reports_is_not_said_to_be_at_work(client: MongoClient[Any]) -> None:
    try:
        write_report(client, REPORT)
        client[STATE_DATABASE][STATUS].update_one(
            {}, {"$set": {"updated_at": datetime.now(UTC) - timedelta(minutes=10)}}
        )
        found = run("status")
    finally:
        client.drop_database(STATE_DATABASE)
    assert "`dump` has not reported for 10 min" in flat(found.output)


def test_every_line_fits_into_60_columns(client: MongoClient[Any]) -> None:
    try:
        write_report(client, REPORT)
        found = run("status", columns=60)
    finally:
        client.drop_database(STATE_DATABASE)
    assert max(map(len, found.output.splitlines())) <= 60


def test_the_newest_release_is_unknown_where_the_index_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    found = run("status")
    assert found.exit_code == 0
    assert "the newest published is unknown: the package index does not say" in flat(found.output)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mongodb://operator:s3cret-word@127.0.0.1:9/", "did not answer within"),
        ("mongodb://operator:s3cret-word@[127.0.0.1", "NMDC_ORIGIN_URI is not a MongoDB connection string"),
        ("mongodb+srv://operator:s3cret-word@nowhere.invalid/", "NMDC_ORIGIN_URI"),
        ("", "NMDC_ORIGIN_URI is not set."),
    ],
    ids=["no server", "malformed", "no such name", "not set"],
)
def test_an_error_is_one_message_without_a_traceback_or_a_password(
    monkeypatch: pytest.MonkeyPatch, uri: str, message: str
) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", uri)
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    found = run("status")
    assert found.exit_code == 3
    assert message in flat(found.output)
    assert "docs/runbook.md, " in found.output
    assert "Traceback" not in found.output and "s3cret" not in found.output


def test_a_password_is_masked_however_it_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", "mongodb://operator:s3cret%2Fword@db.example.org/")
    text = conceal("the driver quotes s3cret%2Fword, s3cret/word and mongodb://operator:s3cret%2Fword@db.example.org/")
    assert "s3cret" not in text and "db.example.org" in text


def test_a_wrong_password_is_reported_without_it(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    host = workplace.origin.uri().split("@")[1]
    monkeypatch.setenv("NMDC_ORIGIN_URI", f"mongodb://release_operator:s3cret-word@{host}")
    found = run("status")
    assert found.exit_code == 3
    assert "refused the user or the password" in flat(found.output)
    assert "s3cret" not in found.output


def test_the_installed_command_says_it_too_in_plain_text_and_without_dagster(workplace: Workplace) -> None:
    found = run_installed("status", environment={**workplace.environment(), "NO_COLOR": "1"})
    assert found.returncode == 0, found.stderr
    assert "Nothing has to be done." in flat(found.stdout)
    assert not CONTROL.search(found.stdout) and found.stderr == ""


def test_watching_shows_what_changes_until_it_is_interrupted(workplace: Workplace, client: MongoClient[Any]) -> None:
    variables = {**os.environ, **workplace.environment()}
    arguments = [COMMAND, "status", "--json", "--watch", "--every", "0.2"]
    with subprocess.Popen(
        arguments,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests were started in the background, interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        try:
            first = json.loads(running.stdout.readline())
            write_report(client, REPORT)
            deadline = time.monotonic() + 60
            while not (last := json.loads(running.stdout.readline()))["working"] and time.monotonic() < deadline:
                pass
        finally:
            running.send_signal(signal.SIGINT)
            client.drop_database(STATE_DATABASE)
        errors = running.stderr.read()
    assert first["working"] == [] and last["working"][0]["done"] == 250
    assert running.returncode == 0 and "Traceback" not in errors


def test_while_the_origin_does_not_answer_programs_get_a_line_of_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nmdc_release_ops.command.show_status.time.sleep", interrupt)
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100"
    with MongoClient[Any](uri) as nobody, pytest.raises(typer.Exit):
        show_status._watch(Origin(nobody, nobody[DATABASE], uri), tmp_path, lambda: None, json=True, seconds=0)
    (line,) = capsys.readouterr().out.splitlines()
    assert "The origin does not answer" in json.loads(line)["error"]


def test_a_folder_that_is_not_on_this_machine_hides_only_the_rehearsals(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path / "nowhere"))
    found = run("status")
    assert found.exit_code == 0
    assert "is not on this machine, so rehearsals cannot be seen." in flat(found.output)
