"""Moments of the origin: the present one, how far back the oplog reaches, and the one that a change stream has reached."""

from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.write_concern import WriteConcern

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime, ClusterTimeUnavailable
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE

MOMENTS = "moments"
"""A collection of the project's own database. Its one document counts how often somebody asked for the present moment."""


class UnknownResumeToken(MongoError):
    """A resume token has a form that this project does not know."""


def present_moment(client: MongoClient[Document]) -> ClusterTime:
    """A moment that everything written so far belongs to, and that a change stream passes at once.

    An idle server's stream stands still for up to ten seconds. So something is written into the project's own database, with
    majority; the moment is the last one before this write.

    Raises:
        ClusterTimeUnavailable: the server is no member of a replica set, or has just started.
    """
    moments = client[STATE_DATABASE].get_collection(MOMENTS, write_concern=WriteConcern("majority"))
    with client.start_session() as session:
        # Not the same content again: that would be no write.
        moments.update_one({"_id": "present"}, {"$inc": {"asked": 1}}, upsert=True, session=session)
        written = session.operation_time
    if written is None:
        raise ClusterTimeUnavailable(
            "The server reported no cluster time for a write. Check in the log of its mongod that it is a writable member of a "
            "replica set, and re-execute the run from failure."
        )
    return ClusterTime.of(written).previous()


def oplog_reaches_back_to(client: MongoClient[Document]) -> ClusterTime | None:
    """The oldest moment in the oplog of the server that answers; None where the user may not ask, or there is no oplog."""
    for ask in (_ask_status, _read_oplog):
        try:
            found = ask(client)
        except OperationFailure:
            continue
        if found:
            return ClusterTime.of(found)
    return None


def _ask_status(client: MongoClient[Document]) -> Timestamp | None:
    left_out = dict.fromkeys(("metrics", "wiredTiger", "tcmalloc", "repl"), 0)
    status = client.admin.command({"serverStatus": 1, "oplog": 1, **left_out})
    found: Timestamp | None = status.get("oplog", {}).get("earliestOptime")
    return found


def _read_oplog(client: MongoClient[Document]) -> Timestamp | None:
    oldest = client.local["oplog.rs"].find_one(projection={"ts": 1}, sort=[("$natural", 1)])
    return oldest["ts"] if oldest else None


def reached_by(token: bytes) -> Timestamp:
    """The moment that a stream has reached: it has delivered every event from before it, and perhaps some of the moment itself.

    Args:
        token: a resume token as BSON. Its `_data` is a hexadecimal KeyString, which begins with the type byte of a timestamp
            (0x82) and the timestamp's eight bytes (src/mongo/db/pipeline/resume_token.cpp of the server).

    Raises:
        UnknownResumeToken
    """
    data: Any = RawBSONDocument(token).get("_data")
    if isinstance(data, str) and data.startswith("82") and len(data) >= 18:
        try:
            return Timestamp(int(data[2:10], 16), int(data[10:18], 16))
        except ValueError:
            pass
    raise UnknownResumeToken(
        f"The server's change stream gave a resume token of an unknown form: {data!r:.100}. It cannot be told which writes "
        "the stream has shown. Use `data_release`, which does not need it, and report the server's version to the project."
    )
