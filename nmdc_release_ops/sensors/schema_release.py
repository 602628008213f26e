"""`schema_release_sensor`: launches a release when the schema project publishes one."""

from collections.abc import Mapping

import dagster as dg

from nmdc_release_ops.catalog import observe_schema_release
from nmdc_release_ops.mongo.state.history import read_history
from nmdc_release_ops.mongo.state.lease import current_lease, describe_holder
from nmdc_release_ops.resources.environment import OnNewRelease
from nmdc_release_ops.resources.github import GitHubResource, SchemaWatchResource
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.schema.packages.announced import Announced, read_announcements
from nmdc_release_ops.schema.packages.package import PackageIndexUnreachable, SchemaReleaseNotFound
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.sensors.schema_release_cursor import ReleaseCursor
from nmdc_release_ops.services.errors import GitHubRateLimited, GitHubUnreachable
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.transport import SHORT

_RUN_KEY_TAG = "dagster/run_key"
# Dagster gives a tick 60 seconds.
_INDEX_SECONDS = 20.0
_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
AssetEvent = dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _ENDED]


def build_schema_release_sensor(
    jobs: Mapping[OnNewRelease, dg.JobDefinition], watched: SchemaWatchResource
) -> dg.SensorDefinition:
    """Build the sensor `schema_release_sensor`.

    Args:
        jobs: what it requests, for each action but `notify`.
        watched: as configured when this process started: how often the sensor ticks, and its description.
    """

    @dg.sensor(
        jobs=list(jobs.values()),
        minimum_interval_seconds=watched.seconds_between_ticks,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=_describe(jobs, watched.action),
    )
    def schema_release_sensor(
        context: dg.SensorEvaluationContext,
        origin: OriginResource,
        schema: SchemaReleasesResource,
        github: GitHubResource,
        schema_watch: SchemaWatchResource,
        notices: NoticesResource,
    ) -> dg.SensorResult:
        """Requests one run when the schema project publishes a release on GitHub; a tick that requests none reports why.

        Off until you turn it on. Reset its cursor to request the newest release once more, for example after a failed run.
        """
        watch = schema_watch.settings
        action = watch.on_new_release
        repository = Repository(github.connect(SHORT), watch.repository)
        cursor = ReleaseCursor.read(
            context.cursor,
            f"{repository.github.api} {repository.name}",
            include_prereleases=watch.include_prereleases,
        )
        known = cursor.announcements.newest
        try:
            cursor = _look_up_releases(context, cursor, repository)
        except (GitHubRateLimited, GitHubUnreachable) as error:
            return dg.SensorResult(skip_reason=str(error), cursor=cursor.model_dump_json())
        newest = cursor.announcements.newest
        found = _observe(newest) if newest and newest != known else []
        reason = (
            f"{repository.name} has no release that the sensor accepts."
            if newest is None
            else _check_cursor(context, cursor, newest, action)
            or _check_version(origin, newest)
            or _check_other_releases(context, origin, jobs)
            or _check_package_index(schema, newest)
        )
        if newest is None or reason:
            return dg.SensorResult(skip_reason=reason, cursor=cursor.model_dump_json(), asset_events=found)
        if action is OnNewRelease.NOTIFY:
            return _notify(cursor, newest, notices)._replace(asset_events=found)
        context.log.info(f"Schema release {newest.tag} is new: requesting {jobs[action].name}.")
        return _request(cursor.record(newest, action), newest, jobs[action])._replace(asset_events=found)

    return schema_release_sensor


def _describe(jobs: Mapping[OnNewRelease, dg.JobDefinition], action: OnNewRelease | None) -> str:
    """What people read before they turn it on."""
    if action is None:
        will = "NMDC_ON_NEW_RELEASE is invalid: its ticks fail"
    elif action is OnNewRelease.NOTIFY:
        will = "When the schema project publishes a release, it sends a notice. It launches nothing"
    else:
        will = f"When the schema project publishes a release, it launches the job {jobs[action].name}"
    return (
        f"{will} (NMDC_ON_NEW_RELEASE when this code server started). If the newest release is newer than the database, that "
        "counts as published now. A tick that does nothing says why."
    )


def _observe(newest: Announced) -> list[AssetEvent]:
    """For the catalog: what the schema project has published."""
    shown = {"tag": newest.tag, "page": dg.MetadataValue.url(newest.url)}
    return [observe_schema_release(newest.version, shown)]


def _look_up_releases(
    context: dg.SensorEvaluationContext, cursor: ReleaseCursor, repository: Repository
) -> ReleaseCursor:
    listing = repository.releases(cursor.etag)
    if listing is None:
        return cursor
    announcements = read_announcements(listing.releases, include_prereleases=cursor.include_prereleases)
    if announcements.odd:
        context.log.info(f"Tags that were ignored: {'; '.join(announcements.odd)}.")
    return cursor.model_copy(update={"announcements": announcements, "etag": listing.etag})


def _check_cursor(
    context: dg.SensorEvaluationContext, cursor: ReleaseCursor, newest: Announced, action: OnNewRelease
) -> str | None:
    """A reason to request nothing: this release, or a later one, was already dealt with. None if there is none."""
    last = cursor.dealt_with
    if last is None or last.action is not action or SchemaVersion.parse(last.version) < newest.schema_version:
        return None
    if action is OnNewRelease.NOTIFY:
        return f"{newest.tag} is the newest release, and its notice was sent."
    runs = context.instance.get_runs(dg.RunsFilter(tags={_RUN_KEY_TAG: last.run_key}), limit=1)
    run = f"run {runs[0].run_id} is {runs[0].status.value.lower()}" if runs else "this Dagster no longer has its run"
    return (
        f"{newest.tag} is the newest release, and {last.version} was requested before: {run}. It is not requested again. If "
        "it failed, re-execute that run, or reset this sensor's cursor."
    )


def _check_version(origin: OriginResource, newest: Announced) -> str | None:
    """A reason to request nothing: the database's version. None if there is none."""
    with origin.connect() as connected:
        history = read_history(connected.database)
    recorded = history.version
    has_newest = recorded is not None and SchemaVersion.parse(recorded) == newest.schema_version
    # Where a candidate of this version made the data, the official release still has to be validated and recorded.
    made_by = history.candidate_release(newest.version) if has_newest else None
    if recorded is None:
        return (
            f"{newest.tag} is the newest release, but the ledger does not say which version the database conforms to. Launch "
            "data_release yourself: its plan reports what to do."
        )
    if newest.schema_version <= SchemaVersion.parse(recorded) and made_by is None:
        return f"{newest.tag} is the newest release, and the database conforms to {recorded}: there is nothing to do."
    return None


def _check_other_releases(
    context: dg.SensorEvaluationContext, origin: OriginResource, jobs: Mapping[OnNewRelease, dg.JobDefinition]
) -> str | None:
    """A reason to wait: a release or a rehearsal that is queued or running, or a release that holds the origin. None if there
    is none.
    """
    for job in jobs.values():
        for run in context.instance.get_runs(dg.RunsFilter(tags=dict(job.tags), statuses=_UNFINISHED), limit=1):
            return f"Waiting: {run.job_name} is {run.status.value.lower()} (run {run.run_id})."
    with origin.connect() as connected:
        lease = current_lease(connected.client)
    return f"Waiting: {describe_holder(lease)}" if lease else None


def _check_package_index(schema: SchemaReleasesResource, newest: Announced) -> str | None:
    """A reason to wait: the package cannot be installed yet. None if there is none."""
    try:
        schema.packages.require_published(newest.schema_version, _INDEX_SECONDS)
    except SchemaReleaseNotFound:
        return f"Waiting: {newest.tag} was published, and its package is not on the package index yet."
    except PackageIndexUnreachable as error:
        return (
            f"Waiting: {newest.tag} was published, but it cannot be determined whether its package is on the package index. "
            f"{error}"
        )
    return None


def _notify(cursor: ReleaseCursor, newest: Announced, notices: NoticesResource) -> dg.SensorResult:
    news = f"Schema release {newest.tag} was published ({newest.url}), and the database has not been released to it."
    problem = notices.send(
        f"{news} Launch rehearsal, and promote when it has succeeded; or data_release at a convenient time."
    )
    if problem:
        reason = f"{news} The notice was not sent, and will be retried: {problem}."
        return dg.SensorResult(skip_reason=reason, cursor=cursor.model_dump_json())
    sent = (
        "The notice was sent." if notices.are_wanted else "NMDC_NOTICE_WEBHOOK is not set: only this tick reports it."
    )
    done = cursor.record(newest, OnNewRelease.NOTIFY)
    return dg.SensorResult(skip_reason=f"{news} {sent}", cursor=done.model_dump_json())


def _request(cursor: ReleaseCursor, newest: Announced, job: dg.JobDefinition) -> dg.SensorResult:
    request = dg.RunRequest(
        run_key=cursor.dealt_with.run_key if cursor.dealt_with else None,
        job_name=job.name,
        run_config={"ops": {"plan": {"config": {"target_version": newest.version}}}},
        tags={"nmdc_release_ops/schema_release": newest.tag},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor.model_dump_json())
