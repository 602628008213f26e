"""Before anything is frozen, people read how long writes are going to be blocked."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from nmdc_release_ops.planning.blocked_time import FIXED_SECONDS, find_last_release, predict_blocked_time
from nmdc_release_ops.records.data_release import FreezeWindow, Purpose, ReleasePlan
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

workplace = workplace_fixture(scale=100)


@pytest.fixture(scope="module")
def released(workplace: Workplace) -> ReleasePlan:
    """The plan of a release that was carried out; its records are in the workplace."""
    result = workplace.release(target_version="11.25")
    assert result.success
    plan: ReleasePlan = result.output_for_node("plan")
    return plan


def seconds_of(text: str) -> float:
    return float(re.findall(r"about ([\d.]+) s", text)[0])


def grown(plan: ReleasePlan, times: int) -> ReleasePlan:
    """The same plan for an origin with so many times the documents."""
    more = [one.model_copy(update={"documents": one.documents * times}) for one in plan.collections]
    return plan.model_copy(update={"collections": more})


def record_release(records: Path, workplace: Workplace, plan: ReleasePlan, seconds: float) -> None:
    """Leave the records of a release that blocked writes for so long."""
    window = FreezeWindow.from_json((workplace.home / "records" / plan.run_id / "unfreeze.json").read_bytes())
    (freeze,) = window.freezes
    took = freeze.model_copy(update={"thawed_at": freeze.frozen_at + timedelta(seconds=seconds)})
    folder = records / plan.run_id
    folder.mkdir()
    (folder / "plan.json").write_text(plan.to_json())
    (folder / "unfreeze.json").write_text(window.model_copy(update={"freezes": [took]}).to_json())


def test_a_first_release_is_predicted_by_measured_rates(released: ReleasePlan, tmp_path: Path) -> None:
    assert released.blocked_time == predict_blocked_time(released, tmp_path).describe()
    assert "was not released yet" in released.blocked_time
    assert seconds_of(released.blocked_time) == pytest.approx(FIXED_SECONDS, abs=0.1)


def test_the_next_one_is_predicted_by_what_the_last_one_took(workplace: Workplace, released: ReleasePlan) -> None:
    text = predict_blocked_time(released, workplace.home / "records").describe()
    assert f"release {released.release_id} blocked them for" in text


def test_what_is_beyond_the_fixed_part_grows_with_the_documents(
    workplace: Workplace, released: ReleasePlan, tmp_path: Path
) -> None:
    record_release(tmp_path, workplace, released, FIXED_SECONDS + 10)
    assert predict_blocked_time(released, tmp_path).seconds == pytest.approx(FIXED_SECONDS + 10)
    assert predict_blocked_time(grown(released, 3), tmp_path).seconds == pytest.approx(FIXED_SECONDS + 30)


def test_a_promotion_or_another_database_predicts_nothing(
    workplace: Workplace, released: ReleasePlan, tmp_path: Path
) -> None:
    promoted = released.model_copy(update={"purpose": Purpose.PROMOTION})
    record_release(tmp_path, workplace, promoted, FIXED_SECONDS + 10)
    assert find_last_release(released, tmp_path) is None
    (tmp_path / "others").mkdir()
    record_release(tmp_path / "others", workplace, released.model_copy(update={"database": "another"}), 1)
    assert find_last_release(released, tmp_path / "others") is None


def test_records_that_cannot_be_read_are_passed_over(
    workplace: Workplace, released: ReleasePlan, tmp_path: Path
) -> None:
    for name, content in (("torn", b"{"), ("empty", b"")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_bytes(content)
        (tmp_path / name / "unfreeze.json").write_bytes(content)
    assert "was not released yet" in predict_blocked_time(released, tmp_path).describe()
