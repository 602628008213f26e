"""Renaming and dropping a collection by what it is, not only by what it is called.

Between looking and renaming, a process can be suspended for any length of time, and another collection can have the name
afterwards. Servers of 6.0 and later compare the UUID as they rename or drop; with an older one it is looked at afterwards.
"""

from contextlib import suppress
from uuid import UUID

from bson import Binary
from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.collections import find_names
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.generations import ASIDE

TRY_SECONDS = 0.2
"""How long one try to rename may wait for a lock: operations of others queue behind it."""
_BUSY = (50, 262, 12587)  # MaxTimeMSExpired, ExceededTimeLimit, BackgroundOperationInProgressForNamespace
_NAMESPACE_NOT_FOUND = 26
_NAMESPACE_EXISTS = 48
_UUID_MISMATCH = 361
# An option that is not known to the server, or not enabled under an older feature compatibility version.
_UUID_NOT_TAKEN = (40415, 72, 9)


class NameTaken(Exception):
    """Another collection has the name that one is to get."""


class NotThere(Exception):
    """The collection does not have the name under which it was to be renamed or dropped."""


class Busy(Exception):
    """A transaction or an index build keeps the server from renaming. The try may still have succeeded."""


def rename_collection(
    database: Database[Document], uuid: UUID, source: str, target: str, seconds: float | None = TRY_SECONDS
) -> None:
    """Rename the collection with this UUID, unless that has to wait for others.

    Args:
        seconds: how long it may wait; None for as long as it takes.

    Raises:
        NameTaken, NotThere: it was not renamed.
        Busy: look whether it was.
    """
    old, new = f"{database.name}.{source}", f"{database.name}.{target}"
    command: Document = {"renameCollection": old, "to": new}
    if seconds is not None:
        command["maxTimeMS"] = round(seconds * 1000)
    if _run_comparing(database.client.admin, command, uuid):
        return
    _run(database.client.admin, command)
    if find_names(database).get(uuid) != target:
        # It was another collection that had the name, and that one goes back.
        with suppress(NameTaken, NotThere):
            _run(database.client.admin, {"renameCollection": new, "to": old})
        raise NotThere(source)


def drop_collection(database: Database[Document], uuid: UUID, name: str) -> None:
    """Drop the collection with this UUID if it is there under this name, and no other collection."""
    with suppress(NotThere):
        if _run_comparing(database, {"drop": name}, uuid):
            return
        # Under a name that no other collection is given, it can be looked at before it is dropped.
        aside = ASIDE + uuid.hex
        if name != aside:
            rename_collection(database, uuid, name, aside, seconds=None)
        _run(database, {"drop": aside})


def _run_comparing(database: Database[Document], command: Document, uuid: UUID) -> bool:
    """Run the command if the server compares the UUID with the collection's; tell whether it does.

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
