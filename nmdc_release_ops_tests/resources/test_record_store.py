"""Each output of a step has a record of its own on disk, and whoever takes it reads that one."""

from pathlib import Path

import dagster as dg
import pytest

from nmdc_release_ops.records.record import Record
from nmdc_release_ops.resources.record_store import RecordStore
from nmdc_release_ops.resources.release_home import ReleaseHomeResource


class Number(Record):
    value: int


@dg.op(out={"one": dg.Out(Number), "two": dg.Out(Number)})
def count() -> tuple[Number, Number]:
    return Number(value=1), Number(value=2)


@dg.op(out=dg.Out(Number))
def add(one: Number, two: Number, three: Number | None = None) -> Number:
    assert three is None
    return Number(value=10 * one.value + two.value)


@dg.job(executor_def=dg.in_process_executor)
def counting() -> None:
    add(*count())


def test_a_step_with_several_outputs_has_a_record_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path))
    result = counting.execute_in_process(resources={"io_manager": RecordStore(home=ReleaseHomeResource())})
    (records,) = (tmp_path / "records").iterdir()
    assert {path.name for path in records.iterdir()} == {"count.one.json", "count.two.json", "add.json"}
    assert Number.from_json((records / "add.json").read_bytes()).value == 12
    assert result.output_for_node("add").value == 12
