"""The metrics are the state of the origin, in Prometheus' text format, and the file is whole at any moment."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.mongo.state.step_report import Stage, write_report
from nmdc_release_ops.status.metrics import HELP, PREFIX, Sample, render, write_metrics
from nmdc_release_ops.status.ways import Way
from nmdc_release_ops_tests.mongo.state.reports import report_of

DATABASE = "metrics_test"
NOTHING = Way(is_possible=False, release_id=None, says="")
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\S+)')
REPORT = report_of(
    "dump",
    database=DATABASE,
    done=250,
    total=1_000,
    rate=50.0,
    seconds_left=15.0,
)


@pytest.fixture
def database(guarded_mongod: PrivateMongod) -> Iterator[Database[Any]]:
    with MongoClient[Any](guarded_mongod.uri) as client:
        yield client[DATABASE]
        client.drop_database(STATE_DATABASE)


def read(home: Path) -> dict[str, float]:
    """The value of each metric, by its name without the prefix; and every line is of the format."""
    values: dict[str, float] = {}
    (file,) = home.glob("*.prom")
    for line in file.read_text().splitlines():
        if not line.startswith("# "):
            found = LINE.fullmatch(line)
            assert found, line
            values[found[1].removeprefix(PREFIX)] = float(found[3])
    return values


def test_they_say_that_nothing_is_blocked_and_that_somebody_watches(database: Database[Any], tmp_path: Path) -> None:
    write_metrics(database, tmp_path)
    values = read(tmp_path)
    assert values["writes_blocked"] == values["swap_under_way"] == 0
    assert 0 < values["home_free_bytes"] < values["home_size_bytes"]
    assert values["written_timestamp_seconds"] > 1_700_000_000
    assert "frozen_since_timestamp_seconds" not in values and "heartbeat_timestamp_seconds" not in values
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix != ".lock"] == [".prom"]


def test_a_step_that_writes_keeps_the_time_of_the_watchdogs_last_tick(database: Database[Any], tmp_path: Path) -> None:
    write_metrics(database, tmp_path)
    assert read(tmp_path)["watchdog_tick_timestamp_seconds"] == 0
    write_metrics(database, tmp_path, is_tick=True)
    ticked = read(tmp_path)
    assert ticked["watchdog_tick_timestamp_seconds"] >= ticked["written_timestamp_seconds"] > 0
    for _ in range(2):
        write_metrics(database, tmp_path)
    after = read(tmp_path)
    assert after["written_timestamp_seconds"] > ticked["watchdog_tick_timestamp_seconds"]
    assert after["watchdog_tick_timestamp_seconds"] == ticked["watchdog_tick_timestamp_seconds"]


def test_origins_that_share_a_home_have_a_file_each_and_no_sample_of_one_is_also_the_others(
    database: Database[Any], tmp_path: Path
) -> None:
    for name in (DATABASE, "metrics_test_2"):
        write_metrics(database.client[name], tmp_path)
    first, second = (
        {line.rpartition(" ")[0] for line in path.read_text().splitlines() if not line.startswith("#")}
        for path in tmp_path.glob("metrics-*.prom")
    )
    assert first and second and not first & second


def test_processes_that_write_at_the_same_time_leave_a_whole_file(database: Database[Any], tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for written in [pool.submit(write_metrics, database, tmp_path) for _ in range(40)]:
            written.result()
    assert read(tmp_path)["written_timestamp_seconds"] > 0
    assert not list(tmp_path.glob("*.partial"))


def test_while_writes_are_blocked_nobody_looks_for_a_rehearsal(
    database: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []
    monkeypatch.setattr("nmdc_release_ops.status.metrics.find_promotion", lambda *_: looked.append(1) or NOTHING)
    freeze(database.client, "a-release", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        write_metrics(database, tmp_path)
        assert not looked
    finally:
        thaw(database.client, "a-release", thawed_by="a-run")
    write_metrics(database, tmp_path)
    assert looked


def test_they_say_since_when_writes_are_blocked_and_how_far_the_release_is(
    database: Database[Any], tmp_path: Path
) -> None:
    freeze(database.client, "a-release", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        write_report(database.client, REPORT)
        write_metrics(database, tmp_path)
    finally:
        thaw(database.client, "a-release", thawed_by="a-run")
    values = read(tmp_path)
    assert values["writes_blocked"] == 1
    assert abs(values["frozen_since_timestamp_seconds"] - values["written_timestamp_seconds"]) < 60
    assert abs(values["heartbeat_timestamp_seconds"] - values["written_timestamp_seconds"]) < 60
    assert (values["step_done"], values["step_expected"], values["step_left_seconds"]) == (250, 1_000, 15)
    assert (values["step_failed"], values["step_working"]) == (0, 1)
    write_report(database.client, REPORT.model_copy(update={"stage": Stage.FAILED}))
    write_metrics(database, tmp_path)
    assert read(tmp_path)["step_failed"] == 1 and read(tmp_path)["writes_blocked"] == 0


def test_each_metric_has_its_help_and_type_once_and_labels_are_escaped() -> None:
    text = render([Sample("step_failed", 1, {"release": 'a "b"\\\n'}), Sample("step_failed", 0, {"release": "c"})])
    assert text == (
        f"# HELP {PREFIX}step_failed {HELP['step_failed']}\n"
        f"# TYPE {PREFIX}step_failed gauge\n"
        f'{PREFIX}step_failed{{release="a \\"b\\"\\\\\\n"}} 1\n'
        f'{PREFIX}step_failed{{release="c"}} 0\n'
    )


def test_every_metric_is_documented_and_every_alert_names_one() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "monitoring.md").read_text()
    named = set(re.findall(rf"\b{PREFIX}([a-z_]+)\b", page))
    assert named - {"ops"} == set(HELP)
