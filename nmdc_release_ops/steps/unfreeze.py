"""`unfreeze`: allow writes again."""

import shutil
from collections.abc import Callable, Sequence

import dagster as dg

from nmdc_release_ops.lineage import made_from, require_lineage
from nmdc_release_ops.mongo.freeze import AlreadyFrozen, is_blocked_by_others, thaw
from nmdc_release_ops.mongo.journal import newest_journal
from nmdc_release_ops.mongo.lease import Strategy, freezes_of
from nmdc_release_ops.records import FreezeWindow, ReleasePlan, Restoration
from nmdc_release_ops.resources import OriginResource, ReleaseHome, SchemaReleases
from nmdc_release_ops.steps.display import duration, table
from nmdc_release_ops.steps.failures import explain_failures
from nmdc_release_ops.steps.origin_state import origin_lookup

ENVIRONMENT_DAYS = 90
"""A schema environment that no release has asked for in so many days is removed; it is made again when it is needed."""


# Dagster wants the names of ops and jobs to differ, and there is a job `unfreeze`: in the graph of `data_release` this op
# goes by the alias `unfreeze`.
@dg.op(name="unfreeze_after_release", out=dg.Out(FreezeWindow, description="How long writes were blocked."))
def unfreeze(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    restoration: Restoration,
    origin: OriginResource,
    home: ReleaseHome,
    schema: SchemaReleases,
) -> FreezeWindow:
    """Give the lease back and allow writes.

    The transformer's files, archives beyond `keep_archives`, and schema environments out of use are removed.
    """
    with explain_failures(origin_lookup(origin, context.run_id, plan.release_id)), origin.connect() as connected:
        require_lineage(plan=plan, restore=restoration)
        thaw(connected.client, plan.release_id, thawed_by=context.run_id)
        if is_blocked_by_others(connected.client):
            raise AlreadyFrozen(
                "Writes are still blocked, and not by this release: it holds no lease any more. Find out who did it, and "
                "lift it with setUserWriteBlockMode."
            )
        window = FreezeWindow(
            made_from=made_from(plan=plan, restore=restoration), freezes=freezes_of(connected.client, plan.release_id)
        )
        last = newest_journal(connected.client, plan.database)
    context.log.info(f"Writes are allowed again. They were blocked for {duration(window.seconds)}.")
    if plan.strategy is Strategy.DEMOTE_ROLES:
        context.log.info(f"{window.put_back} users and roles are what they were before the freeze.")
    for line in window.left:
        context.log.warning(line)
    shutil.rmtree(home.transformer(plan.release_id), ignore_errors=True)
    _prune(
        context,
        f"schema environments that were not used in {ENVIRONMENT_DAYS} days",
        lambda: schema.environments.prune(ENVIRONMENT_DAYS),
    )
    # Never the archive of the last release that swapped: it is what is left should its previous generation be lost.
    needed = {plan.release_id, *([last.release_id] if last else [])}
    _prune(
        context,
        f"archives older than the newest {plan.keep_archives}",
        lambda: home.prune(plan.keep_archives, needed),
    )
    context.add_output_metadata(
        {
            "writes blocked for": duration(window.seconds),
            "seconds blocked": round(window.seconds, 3),
            "users and roles put back": window.put_back,
            "changed by others meanwhile, and left": "\n".join(window.left) or "nothing",
            "freezes": table(
                {
                    "frozen at": freeze.frozen_at.isoformat(timespec="seconds"),
                    "thawed at": freeze.thawed_at.isoformat(timespec="seconds"),
                    "for": duration(freeze.seconds),
                    "strategy": freeze.strategy.value,
                }
                for freeze in window.freezes
            ),
        }
    )
    return window


def _prune(context: dg.OpExecutionContext, what: str, prune: Callable[[], Sequence[str]]) -> None:
    """Remove what is not needed any more, and say so; that it cannot be removed fails nothing."""
    try:
        removed = prune()
    except OSError as error:
        context.log.warning(f"Not removed: {what} ({error}). The next release tries again.")
        return
    if removed:
        context.log.info(f"Removed {what}: {', '.join(removed)}.")
