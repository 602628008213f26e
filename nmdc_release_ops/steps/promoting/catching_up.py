"""Rounds while people write, until what is left takes little time."""

import dagster as dg

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.records.data_release import ReleasePlan, Round
from nmdc_release_ops.steps.promoting.means import Rehearsed
from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.units import duration

ENOUGH_SECONDS = 2.0
"""A round that took less is short enough to be the last one."""
MOST_ROUNDS = 12
_SHRINKING = 0.8
"""A round that took longer than this part of the one before it shows that people write as fast as we follow."""


class WritesTooFast(MongoError):
    """What people write cannot be caught up with within the time that writes may be blocked."""


def catch_up_with_writers(
    context: dg.OpExecutionContext, promotion: Promotion, plan: ReleasePlan, rehearsed: Rehearsed | None
) -> list[Round]:
    """Advance until a round is short, or no shorter than the one before it; return these rounds.

    Args:
        rehearsed: needed where nothing is staged yet.

    Raises:
        WritesTooFast: the last round took longer than writes may be blocked.
        As `Promotion.advance`.
    """
    rounds: list[Round] = []
    promotion.start_workers()
    for _ in range(MOST_ROUNDS):
        was_first = promotion.state is None
        done = promotion.advance(context, rehearsed)
        # For the next round, or the last, under the freeze.
        promotion.start_workers()
        rounds.append(done)
        context.log.info(describe_round(done, len(rounds)))
        if not was_first and (done.seconds <= ENOUGH_SECONDS or _is_no_shorter(rounds)):
            break
    predicted = promotion.predict_seconds()
    if predicted > plan.max_frozen_seconds:
        raise WritesTooFast(
            f"After {len(rounds)} rounds, what is left would block writes for about {duration(predicted)}, and at most "
            f"{plan.max_frozen_seconds} seconds are allowed (max_frozen_seconds). Nothing was changed but staged collections. "
            "Re-execute the run from `catch_up` when less is written, or launch `promote` with a larger max_frozen_seconds."
        )
    return rounds


def _is_no_shorter(rounds: list[Round]) -> bool:
    return len(rounds) > 2 and rounds[-1].seconds > _SHRINKING * rounds[-2].seconds


def describe_round(done: Round, number: int) -> str:
    """One line for people."""
    again = "The migrators ran again. " if done.migrated else ""
    return (
        f"Round {number}: {sum(done.written.values()):,} documents were written or deleted since the one before. {again}"
        f"{done.validated:,} documents were validated, {done.staged:,} staged. It took {duration(done.seconds)}."
        + (f" {done.tolerated:,} violations between documents do not stop the release." if done.tolerated else "")
    )


def describe_rounds(rounds: list[Round]) -> dg.MetadataValue:
    """The rounds as the run page shows them."""
    return table(
        {
            "round": number,
            "until (cluster time)": f"{done.until.seconds}:{done.until.increment}",
            "written by people": sum(done.written.values()),
            "in": ", ".join(f"{name}: {count:,}" for name, count in done.written.items()) or "nothing",
            "migrated again": "yes" if done.migrated else "no",
            "validated": done.validated,
            "tolerated violations": done.tolerated,
            "staged": done.staged,
            "seconds": round(done.seconds, 3),
            "of these": ", ".join(f"{part} {seconds * 1000:,.0f} ms" for part, seconds in done.parts.items()),
        }
        for number, done in enumerate(rounds, 1)
    )
