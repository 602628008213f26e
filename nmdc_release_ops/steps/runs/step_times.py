"""How long the steps of a run took."""

import time

import dagster as dg


def measure_steps(context: dg.OpExecutionContext) -> dict[str, float]:
    """Seconds that each step of the run took so far, by its name; this one included, another run's not."""
    now = time.time()
    return {
        one.step_key: (one.end_time or now) - one.start_time
        for one in context.instance.get_run_step_stats(context.run_id)
        if one.start_time is not None
    }
