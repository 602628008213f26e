"""A report as a step writes it, for tests that make no release."""

from typing import Any

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.state.step_report import StepReport


def report_of(step: str, *, database: str = DATABASE, **fields: Any) -> StepReport:
    """What a step of `a-run`, which makes `a-release`, reports."""
    return StepReport(
        database=database,
        is_rehearsal=False,
        release_id="a-release",
        run_id="a-run",
        job="data_release",
        step=step,
        **fields,
    )
