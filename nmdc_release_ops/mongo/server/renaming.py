"""Renaming and dropping a collection by its UUID, not only by its name.

A process can be suspended for any time between looking and renaming, and then another collection can have the name.
Servers from 6.0 on compare the UUID as they rename or drop; with older ones we check it afterwards.
"""

from contextlib import suppress
from uuid import UUID

from bson import Binary
from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document

ASIDE = "_release.aside."
"""Prefix of the name of a collection that is moved out of the way for a moment; its UUID follows."""
TRY_SECONDS = 0.2
"""How long one attempt to rename may wait for a lock: operations of others queue behind it."""
_BUSY = (50, 262, 12587)  # MaxTimeMSExpired, ExceededTimeLimit, BackgroundOperationInProgressForNamespace
_NAMESPACE_NOT_FOUND = 26
_NAMESPACE_EXISTS = 48
_UUID_MISMATCH = 361
# The server does not know the option, or an older feature compatibility version disables it.
_UUID_NOT_TAKEN = (40415, 72, 9)


class NameTaken(Exception):
    """Another collection has the target name."""


class NotThere(Exception):
    """The collection does not have the expected name."""


class Busy(Exception):
    """A transaction or an index build blocks the rename. The attempt may still have succeeded."""


def rename_collection(
    database: Database[Document], uuid: UUID, source: str, target: str, seconds: float | None = TRY_SECONDS
) -> None:
    """Rename the collection with this UUID, unless the rename has to wait for others.

    Args:
        seconds: how long it may wait; None for no limit.

    Raises:
        NameTaken, NotThere: it was not renamed.
        Busy: check whether it was renamed.
    """
    old, new = f"{database.name}.{source}", f"{database.name}.{target}"
    command: Document = {"renameCollection": old, "to": new}
    if seconds is not None:
        command["maxTimeMS"] = round(seconds * 1000)
    if _run_comparing(database.client.admin, command, uuid):
        return
    _run(database.client.admin, command)
    if find_names(database).get(uuid) != target:
        # Another collection had the name. Rename it back.
        with suppress(NameTaken, NotThere):
            _run(database.client.admin, {"renameCollection": new, "to": old})
        raise NotThere(source)


def drop_collection(database: Database[Document], uuid: UUID, name: str) -> None:
    """Drop the collection with this UUID if it has this name; never another collection."""
    with suppress(NotThere):
        if _run_comparing(database, {"drop": name}, uuid):
            return
        # Under a name that no other collection gets, it can be checked before it is dropped.
        aside = ASIDE + uuid.hex
        if name != aside:
            rename_collection(database, uuid, name, aside, seconds=None)
        _run(database, {"drop": aside})


def _run_comparing(database: Database[Document], command: Document, uuid: UUID) -> bool:
    """Run the command with the UUID, if the server can compare it; return whether it can.

    Raises:
        NameTaken, NotThere.
    """
    try:
        _run(database, {**command, "collectionUUID": Binary.from_uuid(uuid)})
    except OperationFailure as error:
        if error.code not in _UUID_NOT_TAKEN:
            raise
        return False
    return True


def _run(database: Database[Document], command: Document) -> None:
    try:
        database.command(command)
    except OperationFailure as error:
        if error.code == _NAMESPACE_EXISTS:
            raise NameTaken(str(error)) from error
        if error.code in (_NAMESPACE_NOT_FOUND, _UUID_MISMATCH):
            raise NotThere(str(error)) from error
        if error.code in _BUSY:
            raise Busy(str(error)) from error
        raise
