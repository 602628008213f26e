"""Small jobs whose hook tells what `read_steps` says, for whatever executor and selection of steps."""

import dagster as dg

from nmdc_release_ops.steps.runs.last_step import read_steps

SEEN = "seen by the hook: "


@dg.success_hook
def tell_steps(context: dg.HookContext) -> None:
    steps = read_steps(context.instance, context.run_id, context.step_key)
    context.log.info(f"{SEEN}{context.step_key}: {','.join(sorted(steps.left))} | {','.join(steps.not_selected)}")


@dg.op(out=dg.Out(int, is_required=False), config_schema={"skip": dg.Field(bool, default_value=False)})
def first(context: dg.OpExecutionContext):  # type: ignore[no-untyped-def]
    if not context.op_config["skip"]:
        yield dg.Output(1)


@dg.op
def independent() -> int:
    return 1


@dg.op(config_schema={"fail": dg.Field(bool, default_value=False)}, retry_policy=dg.RetryPolicy(max_retries=1))
def second(context: dg.OpExecutionContext, before: int) -> int:
    if context.op_config["fail"]:
        raise dg.Failure("it fails", allow_retries=False)
    if context.retry_number == 0:
        raise dg.RetryRequested(max_retries=1)
    return before


@dg.op
def third(before: int) -> int:
    return before


@dg.op
def zz_last(before: int) -> None:
    """Independent of `second` and `third`; executed after them."""


def _wire() -> None:
    third(second(first()))
    zz_last(independent())


@dg.job(executor_def=dg.in_process_executor, hooks={tell_steps})
def one_process() -> None:
    _wire()


@dg.job(executor_def=dg.multiprocess_executor.configured({"max_concurrent": 2}), hooks={tell_steps})
def many_processes() -> None:
    _wire()
