"""What somebody said in a run's config is in the run's log."""

import inspect
from collections.abc import Iterator

import dagster as dg
import pytest
from pydantic import Field

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.steps.shared.options import log_options


class Options(dg.Config):
    left_alone: bool = Field(default=False)
    set_aside: bool = Field(default=False)
    source: str | None = Field(default=None)


@dg.op
def tell(context: dg.OpExecutionContext, config: Options) -> None:
    log_options(context, config)


@dg.job
def telling() -> None:
    tell()


def test_each_option_that_is_not_the_default_is_logged_and_no_login() -> None:
    config = {"set_aside": True, "source": "x @ git+https://me:secret@example.org/x.git"}
    with dg.DagsterInstance.ephemeral() as instance:
        done = telling.execute_in_process(run_config={"ops": {"tell": {"config": config}}}, instance=instance)
        message = [
            entry.user_message
            for entry in instance.all_logs(done.run_id)
            if entry.dagster_event is None and entry.level == 30
        ]
    assert message == [
        "This run sets set_aside: True (the default is False).",
        "This run sets source: x @ git+https://***@example.org/x.git (the default is None).",
    ]


def ops_with_a_config() -> Iterator[dg.OpDefinition]:
    for job in ("data_release", "rollback", "runtime_release", "unfreeze"):
        for node in defs.get_job_def(job).all_node_defs:
            if isinstance(node, dg.OpDefinition) and "config" in inspect.signature(body(node)).parameters:
                yield node


def body(op: dg.OpDefinition) -> object:
    return getattr(op.compute_fn, "decorated_fn")  # noqa: B009


@pytest.mark.parametrize("op", list(ops_with_a_config()), ids=lambda op: op.name)
def test_every_step_that_has_options_logs_them(op: dg.OpDefinition) -> None:
    assert "log_options(context, config)" in inspect.getsource(body(op))
