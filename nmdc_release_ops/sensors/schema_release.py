"""`schema_release_sensor`: launches a release when the schema project publishes one."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Self

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from nmdc_release_ops.mongo.state.bookkeeping import conforming_version
from nmdc_release_ops.mongo.state.lease import current_lease, describe_holder
from nmdc_release_ops.mongo.swapping.released import candidate_release
from nmdc_release_ops.resources.environment import ConfigurationInvalid, OnNewRelease
from nmdc_release_ops.resources.github import GitHubResource, SchemaWatch
from nmdc_release_ops.resources.notices import Notices
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.schema import SchemaReleases
from nmdc_release_ops.schema.packages.announced import Announced, Announcements, VersionText, read_announcements
from nmdc_release_ops.schema.packages.package import PackageIndexUnreachable, SchemaReleaseNotFound
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.errors import GitHubRateLimited, GitHubUnreachable
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.transport import SHORT

_RUN_KEY_TAG = "dagster/run_key"
# Dagster gives a tick 60 seconds.
_INDEX_SECONDS = 20.0
_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _ENDED]


class DealtWith(BaseModel):
    """The newest release that something was done about, and what."""

    model_config = ConfigDict(frozen=True)

    version: VersionText
    action: OnNewRelease
    run_key: str


class ReleaseCursor(BaseModel):
    """What `schema_release_sensor` knows from one tick to the next.

    Attributes:
        repository: what the rest is about.
        since: when it was begun. Part of the run keys, so that an operator who resets the cursor gets another run.
        etag: of the list of releases that `announcements` is about.
    """

    model_config = ConfigDict(frozen=True)

    repository: str
    include_prereleases: bool
    since: str
    etag: str | None = None
    announcements: Announcements = Announcements()
    dealt_with: DealtWith | None = None

    @classmethod
    def read(cls, text: str | None, repository: str, *, include_prereleases: bool) -> Self:
        """The cursor of the last tick; a new one where there is none, it cannot be read, or it is about something else."""
        since = datetime.now(UTC).isoformat(timespec="microseconds")
        new = cls(repository=repository, include_prereleases=include_prereleases, since=since)
        try:
            kept = cls.model_validate_json(text or "")
        except ValidationError:
            return new
        if kept.repository != repository:
            return new
        if kept.include_prereleases != include_prereleases:
            return kept.model_copy(update={"include_prereleases": include_prereleases, "etag": None})
        return kept

    def done(self, newest: Announced, action: OnNewRelease) -> Self:
        """The cursor after `action` was taken for `newest`."""
        run_key = f"{newest.version} {action} {self.since}"
        return self.model_copy(update={"dealt_with": DealtWith(version=newest.version, action=action, run_key=run_key)})


def watch_schema_releases(jobs: Mapping[OnNewRelease, dg.JobDefinition], seconds: int) -> dg.SensorDefinition:
    """The sensor `schema_release_sensor`.

    Args:
        jobs: what can be requested; "release" at least.
        seconds: between two ticks, at least.
    """

    alone = len(jobs) == 1

    @dg.sensor(
        # By name where that is possible: Dagster warns of an argument of its own where it copies a sensor with job objects.
        job_name=jobs[OnNewRelease.RELEASE].name if alone else None,
        jobs=None if alone else list(jobs.values()),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def schema_release_sensor(
        context: dg.SensorEvaluationContext,
        origin: OriginResource,
        schema: SchemaReleases,
        github: GitHubResource,
        schema_watch: SchemaWatch,
        notices: Notices,
    ) -> dg.SensorResult:
        """Requests one run when the schema project publishes a release on GitHub; each tick says why it did not.

        Off until it is turned on. Reset its cursor to have the newest release requested once more, after a failed run for
        example.
        """
        watch = schema_watch.settings
        action = watch.on_new_release
        if action is not OnNewRelease.NOTIFY and action not in jobs:
            raise ConfigurationInvalid(f"NMDC_ON_NEW_RELEASE is {action}, and there is no such job here yet.")
        repository = Repository(github.connect(SHORT), watch.repository)
        cursor = ReleaseCursor.read(
            context.cursor,
            f"{repository.github.api} {repository.name}",
            include_prereleases=watch.include_prereleases,
        )
        try:
            cursor = _look(context, cursor, repository)
        except (GitHubRateLimited, GitHubUnreachable) as error:
            return dg.SensorResult(skip_reason=str(error), cursor=cursor.model_dump_json())
        newest = cursor.announcements.newest
        reason = (
            f"{repository.name} has no release that counts."
            if newest is None
            else _settled(context, cursor, newest, action)
            or _conforms(origin, newest)
            or _held_up(context, origin, jobs)
            or _not_installable(schema, newest)
        )
        if newest is None or reason:
            return dg.SensorResult(skip_reason=reason, cursor=cursor.model_dump_json())
        if action is OnNewRelease.NOTIFY:
            return _notify(cursor, newest, notices)
        context.log.info(f"Schema release {newest.tag} is new: requesting {jobs[action].name}.")
        return _request(cursor.done(newest, action), newest, jobs[action])

    return schema_release_sensor


def _look(context: dg.SensorEvaluationContext, cursor: ReleaseCursor, repository: Repository) -> ReleaseCursor:
    listing = repository.releases(cursor.etag)
    if listing is None:
        return cursor
    found = read_announcements(listing.releases, include_prereleases=cursor.include_prereleases)
    if found.odd:
        context.log.info(f"Tags that were passed over: {'; '.join(found.odd)}.")
    return cursor.model_copy(update={"announcements": found, "etag": listing.etag})


def _settled(
    context: dg.SensorEvaluationContext, cursor: ReleaseCursor, newest: Announced, action: OnNewRelease
) -> str | None:
    """Why nothing more is done about a release that was dealt with, or one that is older."""
    last = cursor.dealt_with
    if last is None or last.action is not action or SchemaVersion.parse(last.version) < newest.schema_version:
        return None
    if action is OnNewRelease.NOTIFY:
        return f"{newest.tag} is the newest release, and its notice was sent."
    runs = context.instance.get_runs(dg.RunsFilter(tags={_RUN_KEY_TAG: last.run_key}), limit=1)
    run = f"run {runs[0].run_id} is {runs[0].status.value.lower()}" if runs else "its run is not known here any more"
    return (
        f"{newest.tag} is the newest release, and {last.version} was requested before: {run}. It is not requested again. If "
        "it failed, re-execute that run, or reset this sensor's cursor."
    )


def _conforms(origin: OriginResource, newest: Announced) -> str | None:
    with origin.connect() as connected:
        recorded = conforming_version(connected.database)
        has_newest = recorded is not None and SchemaVersion.parse(recorded) == newest.schema_version
        # Where a candidate of this version made the data, the official release still has to be validated and recorded.
        made_by = candidate_release(connected.database, newest.version) if has_newest else None
    if recorded is None:
        return (
            f"{newest.tag} is the newest release, but the ledger does not say which version the database conforms to. Launch "
            "data_release by hand: its plan says what to do."
        )
    if newest.schema_version <= SchemaVersion.parse(recorded) and made_by is None:
        return f"{newest.tag} is the newest release, and the database conforms to {recorded}: there is nothing to do."
    return None


def _held_up(
    context: dg.SensorEvaluationContext, origin: OriginResource, jobs: Mapping[OnNewRelease, dg.JobDefinition]
) -> str | None:
    tags = dict(jobs[OnNewRelease.RELEASE].tags)
    going_on = context.instance.get_runs(dg.RunsFilter(tags=tags, statuses=_UNFINISHED), limit=1)
    if going_on:
        run = going_on[0]
        return f"Waiting: {run.job_name} is {run.status.value.lower()} (run {run.run_id})."
    with origin.connect() as connected:
        lease = current_lease(connected.client)
    return f"Waiting: {describe_holder(lease)}" if lease else None


def _not_installable(schema: SchemaReleases, newest: Announced) -> str | None:
    try:
        schema.packages.require_published(newest.schema_version, _INDEX_SECONDS)
    except SchemaReleaseNotFound:
        return f"Waiting: {newest.tag} was published, and its package is not on the package index yet."
    except PackageIndexUnreachable as error:
        return f"Waiting: {newest.tag} was published, and whether its package is there cannot be found out. {error}"
    return None


def _notify(cursor: ReleaseCursor, newest: Announced, notices: Notices) -> dg.SensorResult:
    said = f"Schema release {newest.tag} was published ({newest.url}), and the database has not been released to it."
    problem = notices.send(f"{said} Launch data_release when it suits.")
    if problem:
        reason = f"{said} The notice was not sent, and is tried again: {problem}."
        return dg.SensorResult(skip_reason=reason, cursor=cursor.model_dump_json())
    sent = "The notice was sent." if notices.are_wanted else "NMDC_NOTICE_WEBHOOK is not set: only this tick says so."
    done = cursor.done(newest, OnNewRelease.NOTIFY)
    return dg.SensorResult(skip_reason=f"{said} {sent}", cursor=done.model_dump_json())


def _request(cursor: ReleaseCursor, newest: Announced, job: dg.JobDefinition) -> dg.SensorResult:
    request = dg.RunRequest(
        run_key=cursor.dealt_with.run_key if cursor.dealt_with else None,
        job_name=job.name,
        run_config={"ops": {"plan": {"config": {"target_version": newest.version}}}},
        tags={"nmdc_release_ops/schema_release": newest.tag},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor.model_dump_json())
