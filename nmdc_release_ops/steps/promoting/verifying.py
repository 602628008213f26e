"""After a promotion, while people write again: everything is compared once more with what was migrated and validated.

Two things are compared, document by document:

- the result: each collection that was swapped in, as it was at the moment of the swap, with what was staged and validated;
- what went into it: each collection that migrators used, as it was just before the swap, with the file that they ran on
  last. So a write from before the freeze that was not migrated is found, whatever the change stream showed.

Collections that migrators leave alone were neither copied nor swapped. There is nothing to compare.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from bson.raw_bson import RawBSONDocument
from pydantic import ValidationError

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.promoting.comparing import Compared
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.raw import RAW
from nmdc_release_ops.mongo.state.journal import Journal, State, journals_in_force, read_journal
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.records.verification import Verification
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.promoting.compare_again import ComparingAgain
from nmdc_release_ops.steps.promoting.state import STAGED_FILE, PromotionState
from nmdc_release_ops.steps.shared.failures import StepError
from nmdc_release_ops.steps.showing.display import table


class VerificationFailed(StepError):
    """After a promotion, documents are not what was migrated and validated."""


def verify_promotion(
    context: dg.OpExecutionContext, plan: ReleasePlan, origin: OriginConnection, home: ReleaseHomeResource
) -> Verification:
    """Compare everything once more, or say what cannot be compared, and why.

    Args:
        context: of the step, for its log.

    Raises:
        VerificationFailed: documents differ.
        StreamRefused, StreamStalled, FileNotWritten, ServerFailed: not everything was compared; it can be done again.
    """
    journal = read_journal(origin.client, plan.release_id)
    if obstacle := _find_obstacle(origin, plan, journal):
        return _leave(context, obstacle)
    if journal is None or (moment := journal.swapped_cluster_time) is None:
        raise AssertionError("the journal of a finished swap has its moment")
    with home.use(plan):
        state = PromotionState.read(home.promotion(plan))
        if state is None or not (home.promotion(plan) / STAGED_FILE).is_file():
            return _read_earlier(context, home, plan, moment)
        context.log.info("People can write again. Comparing everything once more with what was migrated and validated.")
        verifying = ComparingAgain(context, origin, home.promotion(plan), state, journal, moment)
        verification = verifying.compare_all()
        if verifying.differing:
            # A rollback may have taken the collections away meanwhile.
            if obstacle := _find_obstacle(origin, plan, read_journal(origin.client, plan.release_id)):
                return _leave(context, obstacle)
            raise _alarm(journal, verifying.differing)
        write_whole(home.verification(plan), verification.model_dump_json(indent=1), private=True)
    for line in verification.not_compared:
        context.log.warning(line)
    context.log.info(verification.describe())
    return verification


def describe_verification(verification: Verification) -> dict[str, Any]:
    """As the run page shows it."""
    return {
        "compared once more": verification.describe(),
        "compared collections": table(
            {
                "collection": one.collection,
                "with": "what was validated" if one in verification.result else "what migrators began with",
                "documents": one.documents,
                "as it was": "at the swap" if one.at_the_swap else "later",
                "written since, left out": one.left_out,
            }
            for one in verification.compared
        ),
        "not compared": "\n".join(verification.not_compared) or "nothing",
    }


def _find_obstacle(origin: OriginConnection, plan: ReleasePlan, journal: Journal | None) -> str:
    """Why the origin no longer holds what the promotion swapped in, a sentence; "" if it does."""
    if journal is None:
        return f"Nothing was compared: there is no journal of a swap of release {plan.release_id}."
    if journal.state is State.ROLLED_BACK:
        return f"Nothing was compared: release {plan.release_id} was rolled back since."
    if journal.state is not State.SWAPPED:
        return f"Nothing was compared: the swap of release {plan.release_id}, or its rollback, is not finished."
    newest = journals_in_force(origin.client, plan.database)[0]
    if newest.release_id != plan.release_id:
        return f"Nothing was compared: release {newest.release_id} was swapped in since, and replaced what was to be compared."
    return ""


def _leave(context: dg.OpExecutionContext, reason: str) -> Verification:
    context.log.warning(reason)
    return Verification(at=now(), not_compared=[reason])


def _read_earlier(
    context: dg.OpExecutionContext, home: ReleaseHomeResource, plan: ReleasePlan, swap: ClusterTime
) -> Verification:
    """What was compared after this swap, before the promotion's files were removed."""
    try:
        earlier = Verification.model_validate_json(home.verification(plan).read_bytes())
    except (FileNotFoundError, ValidationError):
        earlier = None
    if earlier is None or earlier.swap != swap:
        return _leave(
            context,
            f"Nothing was compared: the promotion's files, which were in {home.promotion(plan)}, are gone.",
        )
    context.log.info(
        f"Everything was compared at {earlier.at:%Y-%m-%d %H:%M:%S} UTC, and the promotion's files were removed after that: it "
        "cannot be compared again."
    )
    return earlier


def _alarm(journal: Journal, differing: Mapping[str, Compared]) -> VerificationFailed:
    first = {place: ", ".join(map(_describe_key, one.first)) for place, one in differing.items()}
    described = "; ".join(f"{place}: {one.differing:,}, the first {first[place]}" for place, one in differing.items())
    rows = table(
        {
            "collection": place,
            "documents that differ": one.differing,
            "the first of them": first[place],
            "of documents": one.documents,
        }
        for place, one in differing.items()
    )
    by_others = [place for place in journal.written_in_swap or () if place in differing]
    cause = f" Somebody wrote to {', '.join(by_others)} while the swap was running." if by_others else ""
    return VerificationFailed(
        "The promotion is complete and writes are allowed, but documents are not what was migrated and validated "
        f"({described}).{cause} This must never happen. Decide soon whether to put the previous collections back: launch "
        f"`rollback` with release_id: {journal.release_id}. If people wrote since, it names what they wrote, and the option that "
        "sets it aside. Keep the release's folder: the run can be re-executed from `unfreeze` to compare again.",
        {"documents that differ": rows},
    )


def _describe_key(key: bytes) -> str:
    return repr(RawBSONDocument(key, RAW)["_id"])
