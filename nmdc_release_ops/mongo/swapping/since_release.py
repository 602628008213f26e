"""What was written to the collections of a release since its swap, and what a rollback does with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.delta.account import Account, count_writes
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.writes import Writes
from nmdc_release_ops.mongo.state.generations import INTRUDER, STAGED, is_ours
from nmdc_release_ops.mongo.state.journal import Journal, State
from nmdc_release_ops.mongo.state.written import Fate, Written
from nmdc_release_ops.mongo.swapping.unchanged import find_differing

_MANY_WRITES = 300_000

SET_ASIDE_OPTION = "allow_writes_set_aside"
LEFT_IN_PLACE_OPTION = "allow_writes_left_in_place"


class WritesSinceRelease(MongoError):
    """People have written to the release's collections since; a rollback affects that."""


@dataclass(frozen=True)
class WrittenSince:
    """What was written since a swap.

    Attributes:
        written: each collection that was written to.
        undetermined: why there may be more than that, for people; "" where this is all.
    """

    written: Sequence[Written]
    undetermined: str


def find_written(origin: Database[Document], journal: Journal) -> WrittenSince:
    """What was written to the collections that a release managed since its swap. The origin is frozen.

    Collections that the release brought are compared by their hashes, so a write that was undone does not count. For the
    others the change stream is read; it cannot answer where the oplog does not reach back to the swap.
    """
    names = find_names(origin)
    live = {name: uuid for uuid, name in names.items()}
    own = journal.places
    brought = {
        name: journal.hashes[name] for uuid, name in own.items() if name in journal.hashes and names.get(uuid) == name
    }
    lost = {name for name in _names_to_get_back(journal) if live.get(name) not in own}
    taken = sorted(lost & live.keys())
    account = _account(origin, journal, {*journal.managed, *brought, *taken, *own.values()})
    counted = account.writes if account else {}
    touched = None
    if account and account.is_complete and journal.written_in_swap is not None:
        touched = set(brought) & {*counted, *journal.written_in_swap}
    set_aside = find_differing(origin, brought, touched)
    left = sorted(
        name
        for name, writes in counted.items()
        if name not in {*brought, *lost} and not is_ours(name) and not (live.get(name) in own and writes.documents == 0)
    )
    return WrittenSince(
        [
            *(Written(name=name, fate=Fate.SET_ASIDE, writes=_writes(counted, account, name)) for name in set_aside),
            *(Written(name=name, fate=Fate.MOVED_ASIDE, writes=_writes(counted, account, name)) for name in taken),
            *(Written(name=name, fate=Fate.LEFT_IN_PLACE, writes=counted[name]) for name in left),
        ],
        _undetermined(journal, account),
    )


def find_written_again(origin: Database[Document], journal: Journal) -> WrittenSince:
    """What was written since the swap, determined again when an interrupted rollback resumes.

    Somebody who bypasses the freeze may have written since it began. What the release brought is in its place or staged again.
    """
    names = find_names(origin)
    brought = {uuid: name for uuid, name in _places_after(journal).items() if name in journal.hashes and uuid in names}
    hashes = {names[uuid]: journal.hashes[name] for uuid, name in brought.items()}
    differing = set(find_differing(origin, hashes, None))
    since = {one.name: one for one in journal.written if one.fate is Fate.SET_ASIDE}
    others = [one for one in journal.written if one.fate is not Fate.SET_ASIDE]
    account = _account(origin, journal, set(brought.values()) | set(journal.managed))
    counted = {name: writes for name, writes in (account.writes if account else {}).items() if writes.documents}
    for uuid, name in brought.items():
        if names[uuid] in differing:
            since[name] = Written(name=name, fate=Fate.SET_ASIDE, writes=counted.get(name))
    known = {*since, *(one.name for one in others), *brought.values()}
    left = [
        Written(name=name, fate=Fate.LEFT_IN_PLACE, writes=writes)
        for name, writes in sorted(counted.items())
        if name not in known
    ]
    return WrittenSince([*(since[name] for name in sorted(since)), *others, *left], journal.undetermined)


def refuse_unless_allowed(journal: Journal, since: WrittenSince, *, set_aside: bool, left_in_place: bool) -> None:
    """Check that the operator has allowed what the rollback does with what was written.

    While a swap is half done the origin is frozen. Collections that somebody created nevertheless do not stop the rollback:
    they are moved aside.

    Args:
        set_aside: whether `allow_writes_set_aside` is given.
        left_in_place: whether `allow_writes_left_in_place` is.

    Raises:
        WritesSinceRelease: with what was written, what the rollback does with it, and which option allows that.
    """
    # In both of these states people could write.
    is_over = journal.state in (State.SWAPPED, State.ROLLED_BACK)
    fates = {one.fate for one in since.written}
    goes = Fate.SET_ASIDE in fates or (is_over and Fate.MOVED_ASIDE in fates)
    stays = is_over and (Fate.LEFT_IN_PLACE in fates or bool(since.undetermined))
    missing = [
        option
        for option, is_needed in (
            (SET_ASIDE_OPTION, goes and not set_aside),
            (LEFT_IN_PLACE_OPTION, stays and not left_in_place),
        )
        if is_needed
    ]
    if not missing:
        return
    names = ", ".join(one.name for one in since.written)
    what = f"{names} were written to" if names else "It cannot be determined what was written"
    options = "".join(f", {option}: true" for option in missing)
    raise WritesSinceRelease(
        f"{what} since release {journal.release_id} was swapped in. {' '.join(describe_written(journal, since))} Nothing was "
        f"renamed. Save what has to be kept, and launch `rollback` with release_id: {journal.release_id}{options}."
    )


def describe_written(journal: Journal, since: WrittenSince) -> list[str]:
    """A sentence for each collection: what was written, and what a rollback does with it."""
    lines = [
        f"{one.name} ({one.writes or 'how much cannot be determined'}): {_consequence(journal, one)}."
        for one in since.written
    ]
    return [*lines, since.undetermined] if since.undetermined else lines


def _consequence(journal: Journal, one: Written) -> str:
    if one.fate is Fate.SET_ASIDE:
        return f"set aside as {STAGED}{one.name}, where it stays only until the next release"
    if one.fate is Fate.MOVED_ASIDE:
        return f"created since; moved aside as {INTRUDER}NUMBER.{one.name}, so that the earlier collection gets its name back"
    return f"left in place, in the form of schema {journal.to_version}; check it against schema {journal.from_version}"


def _names_to_get_back(journal: Journal) -> set[str]:
    """Live names that a rollback gives back to collections."""
    first: dict[UUID, str] = {}
    for move in journal.moves:
        if move.target is not None:
            first.setdefault(move.uuid, move.source)
    return {name for name in first.values() if not is_ours(name)}


def _places_after(journal: Journal) -> dict[UUID, str]:
    return journal.model_copy(update={"state": State.SWAPPED}).places


def _account(origin: Database[Document], journal: Journal, names: set[str]) -> Account | None:
    if journal.swapped_cluster_time is None:
        return None
    return count_writes(origin, dict.fromkeys(names, journal.swapped_cluster_time), _MANY_WRITES)


def _writes(counted: Mapping[str, Writes], account: Account | None, name: str) -> Writes | None:
    return counted.get(name) if account else None


def _undetermined(journal: Journal, account: Account | None) -> str:
    if journal.state is not State.SWAPPED:
        # The origin has been frozen since the swap began.
        return ""
    if account is None:
        return (
            "What was written to collections that the release did not touch cannot be determined: the oplog does not reach back "
            f"to the swap, or cannot be read. What was written is left in place, in the form of schema {journal.to_version}."
        )
    if not account.is_complete:
        return (
            f"More than {_MANY_WRITES:,} documents were written. The rest was not counted, and other collections may have been "
            "written to."
        )
    if not journal.managed:
        return (
            "What was written to collections that the release did not touch cannot be determined: an earlier version of "
            "nmdc-release-ops made the release, and did not record their names."
        )
    return ""
