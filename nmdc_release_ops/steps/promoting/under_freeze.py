"""The part of a promotion for which writes are blocked."""

import time
from collections.abc import Callable

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.clock import server_time
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.records.data_release import FreezeLease, ReleasePlan, Round
from nmdc_release_ops.steps.holding.expected_version import require_expected_version
from nmdc_release_ops.steps.promoting.catching_up import describe_round
from nmdc_release_ops.steps.promoting.means import Stopwatch
from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.swapping.swap_source import PromotedSource
from nmdc_release_ops.steps.swapping.swapping import is_held_for, swap_in
from nmdc_release_ops.units import duration


class WouldTakeTooLong(Exception):
    """What is left of a round would block writes longer than is allowed."""


def take_last_round(
    context: dg.OpExecutionContext, promotion: Promotion, plan: ReleasePlan, frozen: FreezeLease
) -> Round:
    """Take what was written since the last round into account. The origin is frozen.

    Raises:
        WouldTakeTooLong: nothing was staged.
        StagingFailed: somebody else wrote to what is staged. As `require_expected_version` and `Promotion.advance`.
    """
    blocked = (server_time(promotion.origin.client) - frozen.frozen_at).total_seconds()
    ends = time.monotonic() + plan.max_frozen_seconds - blocked

    def limit(seconds: float) -> None:
        if time.monotonic() + seconds > ends:
            raise WouldTakeTooLong(
                f"What was written since the last round would block writes for longer than {plan.max_frozen_seconds} seconds: "
                f"the next part alone takes about {duration(seconds)}."
            )

    require_expected_version(plan, promotion.origin)
    promotion.refuse_staged_by_others()
    return promotion.advance(context, limit=limit)


def finish_at_once(
    context: dg.OpExecutionContext,
    promotion: Promotion,
    plan: ReleasePlan,
    hold: Callable[[Log], FreezeLease],
) -> tuple[FreezeLease, dict[str, float]]:
    """Freeze, take the last round into account, swap and thaw, with nothing of Dagster's in between: for two steps it writes
    some thirty events, which takes as long as all of this.

    Where a part after the freeze fails, the origin is thawed, unless the swap was begun, and the rest is left to the steps that
    follow: they do it, or say why it cannot be done.

    Args:
        hold: freezes the origin; is given who receives what it has to say.

    Returns:
        The freeze, and how many seconds each part of it took. Its `is_over` says whether writes are allowed again.

    Raises:
        As `hold`.
    """
    lines: list[str] = []
    watch = Stopwatch()
    frozen = hold(lines.append)
    watch.note("freeze, with what it waits for")
    try:
        _finish(context, promotion, plan, frozen, lines.append, watch)
    except Exception as error:
        # Whatever it is, the steps that follow meet it again and explain it.
        said = f"Not everything could be done at once ({type(error).__name__}): {error}"
        context.log.warning(f"{said} {_thaw_unless_begun(context, promotion, plan)}")
    finally:
        for line in lines:
            context.log.info(line)
    return frozen.model_copy(update={"is_over": not is_held_for(promotion.origin, plan)}), watch.parts


def _finish(
    context: dg.OpExecutionContext,
    promotion: Promotion,
    plan: ReleasePlan,
    frozen: FreezeLease,
    log: Log,
    watch: Stopwatch,
) -> None:
    done = take_last_round(context, promotion, plan, frozen)
    log(describe_round(done, 1))
    watch.note("last round")
    reconciled = promotion.describe_result([done], freezes=1)
    chained = reconciled.model_copy(update={"made_from": collect_digests(plan=plan)})
    swap_in(context, plan, PromotedSource(plan, chained, promotion.origin), promotion.origin, log)
    watch.note("swap")
    thaw(promotion.origin.client, plan.release_id, thawed_by=context.run_id, held_by=context.run_id)
    watch.note("thaw")
    if not is_held_for(promotion.origin, plan):
        log("Writes are allowed again.")


def _thaw_unless_begun(context: dg.OpExecutionContext, promotion: Promotion, plan: ReleasePlan) -> str:
    """Nobody has to wait while a later step finds out what is wrong; return a sentence."""
    try:
        thaw(promotion.origin.client, plan.release_id, thawed_by=context.run_id, held_by=context.run_id)
    except (MongoError, PyMongoError) as error:
        return f"{error} The steps that follow do the rest."
    if is_held_for(promotion.origin, plan):
        return "The origin is held by another run of the release."
    return "Writes are allowed again. The steps that follow do the rest, or say why it cannot be done."
