"""Who is about to block writes: noted before it is done, and kept beyond the lease.

A machine may be suspended between taking the lease and blocking writes, be taken for lost, wake, block, and be lost before it
sees that its lease is gone. By the note such a block is known for ours, and can be lifted.
"""

from typing import Any
from uuid import uuid4

from pymongo import MongoClient

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.holder import Holder

INTENTS = "block_intents"
KEPT_SECONDS = 86_400
"""A note of a machine that may wake yet is kept for so long."""


def note_intent(client: MongoClient[Document], release_id: str, run_id: str) -> str:
    """Note that this process is about to block writes; return what to forget the note by."""
    noted = {"release_id": release_id, "run_id": run_id, "holder": Holder.this_process().model_dump()}
    name = uuid4().hex
    _intents(client).update_one(
        {"_id": name},
        [{"$replaceWith": {"$mergeObjects": [{"$literal": noted}, {"_id": name, "noted_at": "$$NOW"}]}}],
        upsert=True,
    )
    return name


def forget_intent(client: MongoClient[Document], name: str) -> None:
    """Forget a note of this process: its block is on record in the lease, or undone."""
    _intents(client).delete_one({"_id": name})


def forget_intents_of_the_gone(client: MongoClient[Document]) -> None:
    """Forget the notes of processes that will block no more. To be called once writes are allowed."""
    too_old = {"$gt": [{"$subtract": ["$$NOW", "$noted_at"]}, KEPT_SECONDS * 1000]}
    _intents(client).delete_many({"$expr": too_old})
    for noted in list(_intents(client).find()):
        if Holder.model_validate(noted["holder"]).is_gone():
            forget_intent(client, noted["_id"])


def find_intent(client: MongoClient[Document]) -> tuple[str, str] | None:
    """The release and the run of the last one that was about to block writes, and did not say what came of it."""
    noted = _intents(client).find_one(sort=[("noted_at", -1)])
    return None if noted is None else (noted["release_id"], noted["run_id"])


def _intents(client: MongoClient[Document]) -> Any:
    return client[STATE_DATABASE][INTENTS]
