"""What a demotion keeps in the origin's state database: how far it is, what every account was, and what was found changed."""

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


class DemotionFailed(MongoError):
    """Not everybody could be prevented from writing."""


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
        attempt: tells one attempt of a release from the next.
        database: the one that nobody is to write to.
        known: names of all users and roles at the time, stand-ins aside.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    attempt: str
    database: str
    phase: Phase
    saved_at: datetime
    known: list[str]


def read_header(client: MongoClient[Document]) -> Header | None:
    """Which release has demoted accounts, None where none has."""
    found = _headers(client).find_one({"_id": _ID})
    return Header.model_validate(found) if found else None


def _save(
    client: MongoClient[Document], release_id: str, database: str, accounts: Accounts, found: Sequence[Demotion]
) -> Header:
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
            "Users and roles are demoted by another release already. Launch the job `unfreeze` to put them back."
        ) from None
    # Without a header they belong to an attempt that ended before it changed anything, or after it put all back.
    _saved(client).delete_many({})
    for demotion in found:
        _saved(client).insert_one({"release_id": release_id, "attempt": header.attempt, **demotion.model_dump()})
    _enter(client, header, Phase.DEMOTING)
    return header


def _enter(client: MongoClient[Document], header: Header, phase: Phase) -> None:
    changed = _headers(client).update_one({"_id": _ID, "attempt": header.attempt}, {"$set": {"phase": phase}})
    if not changed.matched_count:
        raise DemotionFailed("Another process of the release took the freeze over.")


def _require_attempt(client: MongoClient[Document], header: Header, phase: Phase = Phase.DEMOTING) -> None:
    current = read_header(client)
    if current is None or (current.attempt, current.phase) != (header.attempt, phase):
        raise DemotionFailed("Another process of the release took the freeze over.")


def _keep(client: MongoClient[Document], header: Header, demotion: Demotion, found: Definition | None) -> None:
    key = {"release_id": header.release_id, "attempt": header.attempt, "kind": demotion.kind, "name": demotion.name}
    document = {**demotion.model_dump(), **key, "found": found and found.model_dump(), "left_at": now()}
    _left(client).replace_one(key, document, upsert=True)


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
