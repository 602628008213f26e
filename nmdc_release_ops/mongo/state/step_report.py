"""What a run is doing now and how far it is, as one document on the origin's server, for people and monitoring.

It is written every few seconds and only for information, so nobody waits until the server has it on its disk.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE

STATUS = "status"
SILENT_SECONDS = 60
"""Steps report every five seconds."""
_OF_THE_SERVER = {"started_at", "updated_at", "seconds_silent"}


class Stage(StrEnum):
    """What became of a step."""

    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


class StepReport(BaseModel):
    """The newest step of a release, or of a rehearsal, which may run beside it.

    Attributes:
        database: the origin's.
        is_rehearsal: there is one document for rehearsals of a database and one for everything else.
        done: units of work so far, with `total` of all; None where the step does not count.
        verb: what is done to the units, "dumped".
        unit: "documents".
        rate: units a second.
        seconds_left: of this work, not of the whole step.
        oplog_seconds_left: how far the oplog reaches back beyond the moment from which writes have to be followed; None where
            no writes are followed.
        predicted_seconds: how long writes will be blocked; None where that was not predicted.
        blocked_seconds: how long they were; None before they are allowed again.
        started_at: of the step.
        updated_at: by the server's clock.
        seconds_silent: since `updated_at`, when the report was read.
    """

    model_config = ConfigDict(frozen=True)

    database: str
    is_rehearsal: bool
    release_id: str
    run_id: str
    job: str
    step: str
    stage: Stage = Stage.WORKING
    done: int | None = None
    total: int | None = None
    verb: str = ""
    unit: str = ""
    rate: float | None = None
    seconds_left: float | None = None
    oplog_seconds_left: float | None = None
    predicted_seconds: float | None = None
    blocked_seconds: float | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    seconds_silent: float | None = None

    @property
    def is_silent(self) -> bool:
        """Whether the step should be at work and has not reported for so long that its process is probably gone."""
        return self.stage is Stage.WORKING and (self.seconds_silent or 0) > SILENT_SECONDS


def write_report(client: MongoClient[Document], report: StepReport) -> None:
    """Write the document of the report's kind, in place of the one before.

    What a later step does not know is kept, as long as it belongs to the same release.
    """
    own = report.model_dump(mode="json", exclude=_OF_THE_SERVER)
    kept = {
        name: {"$cond": [{"$eq": ["$release_id", report.release_id]}, f"${name}", None]}
        for name in ("predicted_seconds", "blocked_seconds")
        if own[name] is None
    }
    is_same_step = {
        "$and": [
            {"$eq": ["$run_id", report.run_id]},
            {"$eq": ["$step", report.step]},
            {"$eq": ["$stage", Stage.WORKING]},
        ]
    }
    moments = {
        "started_at": {"$cond": [is_same_step, "$started_at", "$$NOW"]},
        "updated_at": "$$NOW",
    }
    given = {name: value for name, value in own.items() if name not in kept}
    reports = client[STATE_DATABASE].get_collection(STATUS, write_concern=WriteConcern(1))
    reports.update_one(
        {"_id": _id(report.database, report.is_rehearsal)},
        [{"$replaceWith": {"$mergeObjects": [{"_id": "$_id"}, {"$literal": given}, kept, moments]}}],
        upsert=True,
    )


def read_reports(client: MongoClient[Document], database: str) -> list[StepReport]:
    """The reports of a database: of its newest release or promotion first, then of its newest rehearsal."""
    options: Any = client.codec_options.with_options(tz_aware=True)
    reports = client[STATE_DATABASE].get_collection(STATUS, codec_options=options)
    ids = [_id(database, is_rehearsal) for is_rehearsal in (False, True)]
    silent = {"$divide": [{"$subtract": ["$$NOW", "$updated_at"]}, 1_000]}
    pipeline: list[Document] = [
        {"$match": {"_id": {"$in": ids}}},
        {"$sort": {"_id": 1}},
        {"$set": {"seconds_silent": silent}},
        {"$unset": "_id"},
    ]
    return [report for document in reports.aggregate(pipeline) if (report := _read(document)) is not None]


def _read(document: Document) -> StepReport | None:
    """None if another version of the project wrote it in another form: it is only information."""
    try:
        return StepReport.model_validate(document)
    except ValidationError:
        return None


def _id(database: str, is_rehearsal: bool) -> str:
    return f"{database} rehearsal" if is_rehearsal else database
