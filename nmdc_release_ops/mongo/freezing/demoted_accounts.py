"""What a demotion records in the origin's state database, before and while it changes accounts.

A header says which release demotes, and how far it is. One document for each account holds its definition from before the
freeze. What somebody else changed during the freeze is kept after the demotion is over.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import Accounts
from nmdc_release_ops.mongo.freezing.readonly import Definition, Demotion
from nmdc_release_ops.mongo.server.clock import now
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE

DEMOTION = "demotion"
ACCOUNTS = "demoted_accounts"
LEFT = "accounts_left_as_found"
_ID = "origin"
_TAKEN_OVER = "Another process of the release took over the freeze."


class DemotionFailed(MongoError):
    """Not all users could be prevented from writing."""


class Phase(StrEnum):
    """How far a demotion is."""

    SAVING = "saving"
    """Nothing has been changed."""
    DEMOTING = "demoting"
    IN_FORCE = "in force"
    PUTTING_BACK = "putting back"


class Header(BaseModel):
    """The one document that says that accounts are demoted, and by which release.

    Attributes:
        attempt: identifies one attempt of a release.
        database: the one that users cannot write to.
        known: names of all users and roles before the demotion.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    attempt: str
    database: str
    phase: Phase
    saved_at: datetime
    known: list[str]


def read_header(client: MongoClient[Document]) -> Header | None:
    """The header of the present demotion, None where no accounts are demoted."""
    document = _headers(client).find_one({"_id": _ID})
    return Header.model_validate(document) if document else None


def save_accounts(
    client: MongoClient[Document],
    release_id: str,
    database: str,
    accounts: Accounts,
    demotions: Sequence[Demotion],
) -> Header:
    """Record every account that is about to be changed, and that they are about to be.

    Raises:
        DemotionFailed: another release has demoted accounts, or another process of this one does.
    """
    header = Header(
        release_id=release_id,
        attempt=uuid4().hex,
        database=database,
        phase=Phase.SAVING,
        saved_at=now(),
        known=sorted({str(name) for name in (*accounts.users, *accounts.roles)}),
    )
    try:
        _headers(client).insert_one({"_id": _ID, **header.model_dump()})
    except DuplicateKeyError:
        raise DemotionFailed(
            "Another release has already demoted users and roles. Launch the job `unfreeze` to put them back."
        ) from None
    # Without a header they belong to an attempt that ended before it changed anything, or after it put all back.
    _saved(client).delete_many({})
    for demotion in demotions:
        _saved(client).insert_one({"release_id": release_id, "attempt": header.attempt, **demotion.model_dump()})
    enter_phase(client, header, Phase.DEMOTING)
    return header


def enter_phase(client: MongoClient[Document], header: Header, phase: Phase) -> None:
    """Record how far the attempt is.

    Raises:
        DemotionFailed: it is not the present attempt any more.
    """
    changed = _headers(client).update_one({"_id": _ID, "attempt": header.attempt}, {"$set": {"phase": phase}})
    if not changed.matched_count:
        raise DemotionFailed(_TAKEN_OVER)


def require_attempt(client: MongoClient[Document], header: Header, phase: Phase) -> None:
    """Make sure that the attempt is still the present one, and in this phase.

    Raises:
        DemotionFailed: it is not.
    """
    current = read_header(client)
    if current is None or (current.attempt, current.phase) != (header.attempt, phase):
        raise DemotionFailed(_TAKEN_OVER)


def saved_accounts(client: MongoClient[Document], header: Header) -> list[Demotion]:
    """Every account that the attempt was to change, in the order of the changes."""
    return [Demotion.model_validate(document) for document in _saved(client).find({"attempt": header.attempt})]


def keep_as_found(client: MongoClient[Document], header: Header, demotion: Demotion, found: Definition | None) -> None:
    """Keep the definition of an account from before the freeze, which is not restored because somebody changed the account."""
    key = {"release_id": header.release_id, "attempt": header.attempt, "kind": demotion.kind, "name": demotion.name}
    document = {**demotion.model_dump(), **key, "found": found and found.model_dump(), "left_at": now()}
    _left(client).replace_one(key, document, upsert=True)


def kept_accounts(client: MongoClient[Document], release_id: str) -> list[Demotion]:
    """Every account that was not restored because somebody changed it."""
    return [Demotion.model_validate(document) for document in _left(client).find({"release_id": release_id})]


def forget(client: MongoClient[Document], header: Header) -> None:
    """Delete what is saved of an attempt whose accounts are all restored, or kept."""
    _headers(client).delete_one({"_id": _ID, "attempt": header.attempt})
    _saved(client).delete_many({"attempt": header.attempt})


def forget_unless_begun(client: MongoClient[Document], header: Header) -> bool:
    """Delete what is saved of an attempt that has changed nothing. False where it has begun to, or is deleted already."""
    deleted = _headers(client).delete_one({"_id": _ID, "attempt": header.attempt, "phase": Phase.SAVING})
    if not deleted.deleted_count:
        return False
    _saved(client).delete_many({"attempt": header.attempt})
    return True


def _headers(client: MongoClient[Document]) -> Any:
    return _collection(client, DEMOTION)


def _saved(client: MongoClient[Document]) -> Any:
    return _collection(client, ACCOUNTS)


def _left(client: MongoClient[Document]) -> Any:
    return _collection(client, LEFT)


def _collection(client: MongoClient[Document], name: str) -> Any:
    options = client.codec_options.with_options(tz_aware=True)
    return client[STATE_DATABASE].get_collection(
        name, codec_options=options, write_concern=WriteConcern(w="majority", wtimeout=60_000)
    )
