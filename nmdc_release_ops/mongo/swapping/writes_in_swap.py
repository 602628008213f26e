"""What somebody who bypasses the freeze writes while a swap is running or half done."""

from pymongo.database import Database

from nmdc_release_ops.mongo.delta.account import MANY_EVENTS, count_writes
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.state.journal import Journal, Move, SwapBlocked
from nmdc_release_ops.mongo.swapping.unchanged import changed_since, find_differing


def refuse_if_written(origin: Database[Document], journal: Journal, move: Move) -> None:
    """Make sure that a collection which is about to be swapped out still holds what was dumped.

    Raises:
        SwapBlocked: it does not: swapping would lose what was written.
    """
    name, previous = journal.swapped_out.get(move.uuid, ("", ""))
    if move.target != previous or name not in journal.hashes_before:
        return
    if changed_since(origin, journal.unchanged_since, {move.source: journal.hashes_before[name]}):
        raise SwapBlocked(
            f"{move.source} was written to since the swap of release {journal.release_id} began: somebody lifted the freeze or "
            "bypasses it. Continuing would lose what was written, so it was not renamed. The origin stays frozen. Find out who "
            "writes, launch `rollback`, which keeps what was written, and then launch a new release."
        )


def find_written_in_swap(origin: Database[Document], journal: Journal, log: Log) -> list[str]:
    """The collections, by their names after the swap, that were written to since the swap was prepared, in order.

    Every move has been made. Only what the release replaced or brought is checked; the hash decides.

    Args:
        log: receives a sentence for each, with what to do about it.
    """
    expected = {
        previous: (name, journal.hashes_before[name])
        for name, previous in journal.swapped_out.values()
        if name in journal.hashes_before
    }
    expected |= {name: (name, found) for name, found in journal.hashes.items()}
    touched = None
    names = {*expected, *(name for name, _ in expected.values())}
    if journal.unchanged_since is not None:
        account = count_writes(origin, dict.fromkeys(names, journal.unchanged_since), MANY_EVENTS)
        if account is not None and account.is_complete:
            written = {name for name, writes in account.writes.items() if writes.documents}
            touched = {now for now, (before, _) in expected.items() if now in written or before in written}
    found = find_differing(origin, {name: was for name, (_, was) in expected.items()}, touched)
    for name in found:
        live = expected[name][0]
        what = f" It is not in {live}: bring it there by hand." if name != live else ""
        log(
            f"{name} was written to while the swap was running: somebody lifted the freeze or bypasses it. What was written is "
            f"kept in {name}, and nobody has validated it.{what}"
        )
    return found
