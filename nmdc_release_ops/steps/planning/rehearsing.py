"""The end of a rehearsal: what a release would do, how long it would block writes, and what is kept."""

from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.catalog import REHEARSAL, Numbers, materialize
from nmdc_release_ops.mongo.delta.moment import oplog_reaches_back_to
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import server_time
from nmdc_release_ops.planning.blocked_time import Prediction, predict_rehearsed
from nmdc_release_ops.records.data_release import MigratedDatabase, ReleasePlan
from nmdc_release_ops.resources.environment import ConfigurationMissing
from nmdc_release_ops.resources.origin import OriginElsewhere, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.runs.step_times import measure_steps
from nmdc_release_ops.units import duration


@dataclass(frozen=True)
class Rehearsed:
    """The outcome of a rehearsal.

    Attributes:
        verdict: of the validation, for people.
        blocked: how long `data_release` would block writes.
        oplog: how far the origin's oplog reaches back, for people.
    """

    plan: ReleasePlan
    migrated: MigratedDatabase
    verdict: str
    blocked: Prediction
    oplog: str
    home: ReleaseHomeResource

    def describe(self) -> str:
        """A few sentences for people."""
        return (
            f"Schema {self.plan.from_version} -> {self.plan.to_version} was rehearsed: {self.migrated.changes.describe()}. "
            f"{self.verdict} Launch the job promote when it suits: it blocks writes for a few seconds. Or launch data_release "
            f"with target_version: {self.plan.to_version}, which starts over and blocks them for {self.blocked}."
        )

    def metadata(self) -> dict[str, "dg.RawMetadataValue"]:
        """The outcome as the run page and the asset's history show it."""
        changes = self.migrated.changes
        shown: dict[str, dg.RawMetadataValue] = {
            "rehearsed": self.describe(),
            "schema version": self.plan.to_version,
            "before": self.plan.from_version,
            "changes": changes.describe(),
            "changed": ", ".join(changes.changed) or "none",
            "documents changed": self.migrated.documents_changed,
            "data_release would block writes for (s)": round(self.blocked.seconds, 1),
            "the origin's oplog reaches back to": self.oplog,
            "release": self.plan.release_id,
        }
        if self.migrated.difference is not None:
            shown["difference"] = self.home.show(self.migrated.difference)
        return shown


def conclude_rehearsal(
    plan: ReleasePlan,
    migrated: MigratedDatabase,
    verdict: str,
    seconds: float,
    origin: OriginResource,
    home: ReleaseHomeResource,
) -> Rehearsed:
    """Find out what `data_release` would take.

    Args:
        verdict: of the validation, for people.
        seconds: that validation took.
    """
    staged = sum(migrated.documents[name] for name in migrated.changes.staged)
    return Rehearsed(
        plan=plan,
        migrated=migrated,
        verdict=verdict,
        blocked=predict_rehearsed(migrated.seconds + seconds, staged),
        oplog=_describe_oplog(plan, origin),
        home=home,
    )


def _describe_oplog(plan: ReleasePlan, origin: OriginResource) -> str:
    """How far the origin's oplog reaches back. An origin that does not answer now does not fail the rehearsal."""
    try:
        with origin.connect_planned(plan) as connected:
            oldest = oplog_reaches_back_to(connected.client)
            present = server_time(connected.client)
    except (MongoError, PyMongoError, ConfigurationMissing, OriginElsewhere) as error:
        return f"not known: {error}"
    if oldest is None:
        return "not known: the operator may not ask"
    since = datetime.fromtimestamp(oldest.seconds, UTC)
    return f"{since:%Y-%m-%d %H:%M:%S} UTC: {duration((present - since).total_seconds())}"


def record_rehearsal(context: dg.OpExecutionContext, rehearsed: Rehearsed, violations: int) -> None:
    """Add the rehearsal to the asset's history.

    Args:
        violations: that were found and do not stop the release.
    """
    plan, migrated = rehearsed.plan, rehearsed.migrated
    numbers = Numbers(
        documents=sum(migrated.documents.values()),
        bytes=plan.bytes,
        documents_changed=migrated.documents_changed,
        violations=violations,
        seconds_of=measure_steps(context),
    )
    what = f"What the release of schema {plan.to_version} would do to the database at {plan.from_version}"
    context.log_event(materialize(REHEARSAL, plan.to_version, what, numbers, rehearsed.metadata()))
