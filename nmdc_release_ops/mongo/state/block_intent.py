"""Which run is about to block writes: recorded before it does, and kept beyond its lease.

A machine may be suspended between taking the lease and blocking writes, be taken for lost, wake, block, and be lost before it
sees that its lease is gone. The record shows that such a block is ours, so that it can be lifted.
"""

from typing import Any
from uuid import uuid4

from pymongo import MongoClient

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.holder import Holder

INTENTS = "block_intents"
KEPT_SECONDS = 86_400
"""How long the record of a machine that may still wake is kept."""


def note_intent(client: MongoClient[Document], release_id: str, run_id: str) -> str:
    """Record that this process is about to block writes; return the name of the record."""
    intent = {"release_id": release_id, "run_id": run_id, "holder": Holder.this_process().model_dump()}
    name = uuid4().hex
    _intents(client).update_one(
        {"_id": name},
        [{"$replaceWith": {"$mergeObjects": [{"$literal": intent}, {"_id": name, "noted_at": "$$NOW"}]}}],
        upsert=True,
    )
    return name


def forget_intent(client: MongoClient[Document], name: str) -> None:
    """Delete a record of this process: its block is recorded in the lease, or undone."""
    _intents(client).delete_one({"_id": name})


def forget_intents_of_the_gone(client: MongoClient[Document]) -> None:
    """Delete the records of processes that will not block any more. Call it once writes are allowed."""
    too_old = {"$gt": [{"$subtract": ["$$NOW", "$noted_at"]}, KEPT_SECONDS * 1000]}
    _intents(client).delete_many({"$expr": too_old})
    for intent in list(_intents(client).find()):
        if Holder.model_validate(intent["holder"]).is_gone():
            forget_intent(client, intent["_id"])


def find_intent(client: MongoClient[Document]) -> tuple[str, str] | None:
    """The release and the run that were the last to be about to block writes and did not record the outcome."""
    intent = _intents(client).find_one(sort=[("noted_at", -1)])
    return None if intent is None else (intent["release_id"], intent["run_id"])


def _intents(client: MongoClient[Document]) -> Any:
    return client[STATE_DATABASE][INTENTS]
