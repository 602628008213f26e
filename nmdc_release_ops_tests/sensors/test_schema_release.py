"""A new schema release is requested once, when it can be released, and each tick says why not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.catalog import SCHEMA_RELEASE
from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.journal import Journal, State, journals, write_journal
from nmdc_release_ops.resources.environment import ConfigurationInvalid, OnNewRelease
from nmdc_release_ops.resources.github import SchemaWatchResource
from nmdc_release_ops.schema.packages.package import PackageIndexUnusable
from nmdc_release_ops.sensors import schema_release as schema_watch
from nmdc_release_ops.sensors.schema_release import build_schema_release_sensor
from nmdc_release_ops.services.errors import GitHubAccessRefused, GitHubNotFound
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
from nmdc_release_ops_tests.schema.packages.index_server import loopback_index
from nmdc_release_ops_tests.services.github_server import (
    SCHEMA,
    TOKEN,
    LoopbackGitHub,
    LoopbackRepository,
)
from nmdc_release_ops_tests.services.loopback import Response, breaks_off, trickles
from nmdc_release_ops_tests.services.webhook_server import SECRET, loopback_webhook
from nmdc_release_ops_tests.workplace import Workplace, make_workplace


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[Workplace]:
    """An origin at 11.23.0."""
    yield from make_workplace(tmp_path_factory.mktemp("schema-watch"), warm_schema, scale=500)


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found


@pytest.fixture
def github(github: LoopbackGitHub, monkeypatch: pytest.MonkeyPatch) -> LoopbackGitHub:
    monkeypatch.setenv("NMDC_GITHUB_API", github.api)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("NMDC_ON_NEW_RELEASE", "release")
    return github


@pytest.fixture
def project(github: LoopbackGitHub) -> LoopbackRepository:
    """The schema project, with the release that the origin is at."""
    found = github.repository(SCHEMA)
    found.publish("v11.23.0")
    return found


class Watch:
    """The sensor, ticked by hand; keeps the cursor as the daemon does."""

    def __init__(self, workplace: Workplace) -> None:
        self.instance = workplace.instance
        self.cursor: str | None = None
        # Of the runs that this test made no trace is left for the next one.
        for run in self.instance.get_runs():
            self.instance.delete_run(run.run_id)

    def tick(self) -> dg.SensorResult:
        repository = defs.get_repository_def()
        sensor = repository.get_sensor_def("schema_release_sensor")
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=repository, resources=defs.resources
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def skipped(self) -> str:
        result = self.tick()
        assert not result.run_requests
        return str(result.skip_reason and result.skip_reason.skip_message)

    def requested(self) -> dg.RunRequest:
        (request,) = self.tick().run_requests or []
        return request

    def run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
        """A run as the daemon would have made it for a request."""
        job = defs.get_job_def("data_release")
        tags = {**job.tags, "dagster/run_key": str(request.run_key)}
        return self.instance.create_run_for_job(job, status=status, tags=tags).run_id


@pytest.fixture
def watch(workplace: Workplace, project: LoopbackRepository) -> Watch:
    return Watch(workplace)


def version_of(request: dg.RunRequest) -> str:
    return str(request.run_config["ops"]["plan"]["config"]["target_version"])


def test_a_new_release_is_requested_once_however_often_the_daemon_ticks(
    watch: Watch, project: LoopbackRepository
) -> None:
    assert "the database conforms to 11.23.0: there is nothing to do" in watch.skipped()
    project.publish("v11.25")
    request = watch.requested()
    assert (request.job_name, version_of(request)) == ("data_release", "11.25.0")
    for _ in range(3):
        assert "It is not requested again" in watch.skipped()


def test_a_release_is_observed_for_the_catalog_when_it_is_new_and_not_again(
    watch: Watch, project: LoopbackRepository
) -> None:
    def observed() -> list[object]:
        events = [one for one in watch.tick().asset_events if isinstance(one, dg.AssetObservation)]
        assert {one.asset_key for one in events} <= {SCHEMA_RELEASE}
        return [one.metadata["schema version"].value for one in events]

    assert observed() == ["11.23.0"]
    assert observed() == []
    project.publish("v11.25")
    assert observed() == ["11.25.0"], "with the request"
    assert observed() == []


def test_the_list_of_releases_is_asked_for_without_cost_while_it_does_not_change(
    watch: Watch, github: LoopbackGitHub, project: LoopbackRepository
) -> None:
    watch.skipped()
    spent = github.remaining
    for _ in range(3):
        assert "there is nothing to do" in watch.skipped()
    assert github.remaining == spent
    assert len(github.requests) == 4


def test_back_to_back_releases_become_one_run_of_the_newest(watch: Watch, project: LoopbackRepository) -> None:
    project.publish("v11.24.0")
    first = watch.requested()
    run = watch.run(first, dg.DagsterRunStatus.STARTING)
    project.publish("v11.24.1")
    assert watch.skipped() == f"Waiting: data_release is starting (run {run})."
    project.publish("v11.25")
    assert "Waiting" in watch.skipped()
    watch.instance.report_run_canceled(watch.instance.get_run_by_id(run))
    assert version_of(watch.requested()) == "11.25.0"
    assert "11.25.0 was requested before" in watch.skipped()


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
)
def test_nothing_is_requested_while_a_release_goes_on(
    watch: Watch, project: LoopbackRepository, status: dg.DagsterRunStatus
) -> None:
    job = defs.get_job_def("rollback")
    by_hand = watch.instance.create_run_for_job(job, status=status, tags=job.tags)
    project.publish("v11.25")
    assert f"Waiting: rollback is {status.value.lower()} (run {by_hand.run_id})" in watch.skipped()
    watch.instance.delete_run(by_hand.run_id)
    assert version_of(watch.requested()) == "11.25.0"


def test_nothing_is_requested_while_somebody_else_holds_the_origin(
    watch: Watch, project: LoopbackRepository, client: MongoClient[Any]
) -> None:
    project.publish("v11.25")
    freeze_by_block(client, "a-release", "a-run-of-another-dagster")
    try:
        assert "Waiting: Release a-release" in watch.skipped()
    finally:
        thaw(client, "a-release", "the-test")
    assert version_of(watch.requested()) == "11.25.0"


def test_a_failed_run_is_not_requested_again_until_the_cursor_is_reset(
    watch: Watch, project: LoopbackRepository
) -> None:
    project.publish("v11.25")
    request = watch.requested()
    run = watch.run(request, dg.DagsterRunStatus.FAILURE)
    message = watch.skipped()
    assert f"run {run} is failure" in message and "reset this sensor's cursor" in message
    watch.cursor = None
    again = watch.requested()
    # With the same key, the daemon would take it for one that it has launched.
    assert again.run_key != request.run_key


def test_a_release_that_is_not_on_the_package_index_is_waited_for(watch: Watch, project: LoopbackRepository) -> None:
    project.publish("v11.999.0")
    assert watch.skipped() == "Waiting: v11.999.0 was published, and its package is not on the package index yet."
    assert "not on the package index yet" in watch.skipped()


def test_a_package_index_that_does_not_answer_is_waited_for(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.publish("v11.25")
    with monkeypatch.context() as patch:
        patch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        patch.setenv("UV_CACHE_DIR", str(tmp_path))
        assert "cannot be determined" in watch.skipped()
    assert version_of(watch.requested()) == "11.25.0"


@pytest.mark.faults
def test_a_package_index_that_hangs_is_not_waited_for_longer_than_a_tick_may_take(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.publish("v11.25")
    monkeypatch.setattr(schema_watch, "_INDEX_SECONDS", 2.0)
    with loopback_index() as index:
        index.fail("GET", "/simple/", trickles, times=99)
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.simple)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
        assert "did not finish with nmdc-schema==11.25.0 within 2 seconds" in watch.skipped()


@pytest.mark.parametrize("status", [401, 403])
def test_a_package_index_that_refuses_us_fails_the_tick(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    project.publish("v11.25")
    with loopback_index() as index:
        index.fail("GET", "/simple/", Response(status), times=99)
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.simple)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
        with pytest.raises(PackageIndexUnusable, match=str(status)):
            watch.tick()


def test_drafts_pre_releases_and_odd_tags_are_no_reason_to_release(watch: Watch, project: LoopbackRepository) -> None:
    project.publish("v11.25", draft=True)
    project.publish("v11.25.0-rc.1")
    project.publish("v11.24.0", prerelease=True)
    project.publish("nightly")
    assert "v11.23.0 is the newest release" in watch.skipped()


def test_pre_releases_count_where_they_are_wanted(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.publish("v11.25", prerelease=True)
    assert "v11.23.0 is the newest release" in watch.skipped()
    # The list did not change since, but the question did.
    monkeypatch.setenv("NMDC_INCLUDE_PRERELEASES", "true")
    assert version_of(watch.requested()) == "11.25.0"


def test_a_release_older_than_the_database_is_skipped(
    watch: Watch, project: LoopbackRepository, github: LoopbackGitHub
) -> None:
    project.releases.clear()
    project.publish("v11.22.0")
    assert "the database conforms to 11.23.0" in watch.skipped()


def test_a_ledger_that_does_not_say_the_version_is_left_to_a_person(
    watch: Watch, project: LoopbackRepository, client: MongoClient[Any]
) -> None:
    events = client[DATABASE][ledger.EVENTS]
    ledger.record(
        client[DATABASE],
        ledger.Event.STARTED,
        from_version="11.23.0",
        to_version="11.25.0",
        migrator_module="",
        release_id="half-done",
    )
    try:
        project.publish("v11.25")
        assert "the ledger does not say" in watch.skipped()
    finally:
        events.delete_one({"release_id": "half-done"})


def test_the_official_release_is_requested_where_a_candidate_of_its_version_made_the_data(
    watch: Watch, project: LoopbackRepository, client: MongoClient[Any]
) -> None:
    versions = {"from_version": "11.22.0", "to_version": "11.23.0", "migrator_module": ""}
    ledger.record(client[DATABASE], ledger.Event.COMPLETED, release_id="a-candidates", **versions)
    journal = Journal(
        release_id="a-candidates",
        database=DATABASE,
        candidate="candidate-0123456789ab",
        schema_source="/a/folder",
        state=State.SWAPPED,
        started_at=datetime.now(UTC),
        moves=[],
        hashes={},
        **versions,
    )
    write_journal(client, journal)
    try:
        assert version_of(watch.requested()) == "11.23.0"
        watch.cursor = None
        write_journal(client, journal.model_copy(update={"candidate": None, "schema_source": None}))
        assert "there is nothing to do" in watch.skipped()
        # A journal of a version of this project that did not note it.
        journals(client).update_one({"_id": "a-candidates"}, {"$unset": {"candidate": 1, "schema_source": 1}})
        assert "there is nothing to do" in watch.skipped()
        # Somebody else has made the data since.
        write_journal(client, journal)
        ledger.record(client[DATABASE], ledger.Event.COMPLETED, release_id="of-the-runtime", **versions)
        assert "there is nothing to do" in watch.skipped()
    finally:
        journals(client).delete_one({"_id": "a-candidates"})
        client[DATABASE][ledger.EVENTS].delete_many({"release_id": {"$in": ["a-candidates", "of-the-runtime"]}})


def test_a_release_that_was_withdrawn_is_not_followed_by_an_older_one(
    watch: Watch, project: LoopbackRepository
) -> None:
    project.publish("v11.24.0")
    withdrawn = project.publish("v11.25")
    watch.requested()
    withdrawn["draft"] = True
    assert "v11.24.0 is the newest release, and 11.25.0 was requested before" in watch.skipped()


def test_a_cursor_that_cannot_be_read_is_begun_anew(watch: Watch, project: LoopbackRepository) -> None:
    project.publish("v11.25")
    watch.cursor = "reset by hand"
    watch.requested()
    assert watch.cursor is not None and '"11.25.0"' in watch.cursor
    watch.cursor = watch.cursor.replace('"11.25.0"', '"the newest"')
    watch.requested()
    assert "It is not requested again" in watch.skipped()


def test_another_repository_is_another_question(
    watch: Watch, project: LoopbackRepository, github: LoopbackGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.publish("v11.25")
    watch.requested()
    github.repository("somebody/nmdc-schema").publish("v11.24.0")
    monkeypatch.setenv("NMDC_SCHEMA_REPOSITORY", "somebody/nmdc-schema")
    assert version_of(watch.requested()) == "11.24.0"


def test_a_rate_limit_and_a_github_that_is_down_skip_the_tick_and_keep_the_cursor(
    watch: Watch, project: LoopbackRepository, github: LoopbackGitHub
) -> None:
    project.publish("v11.25")
    watch.requested()
    limited = Response(403, {"message": "secondary rate limit"}, {"Retry-After": "1800"})
    github.fail("GET", "/releases", limited)
    assert "More requests are allowed at" in watch.skipped()
    github.fail("GET", "/releases", breaks_off, times=2)
    assert "did not answer GET" in watch.skipped()
    assert "It is not requested again" in watch.skipped()


def test_what_a_person_has_to_mend_fails_the_tick(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GITHUB_TOKEN", "an-old-token")
        with pytest.raises(GitHubAccessRefused, match="wrong, revoked or expired"):
            watch.tick()
    with monkeypatch.context() as patch:
        patch.setenv("NMDC_SCHEMA_REPOSITORY", "microbiomedata/nmdc-schemata")
        with pytest.raises(GitHubNotFound, match="Check the name's spelling"):
            watch.tick()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("NMDC_ON_NEW_RELEASE", "relase", "release, rehearsal, online_release or notify"),
        ("NMDC_INCLUDE_PRERELEASES", "perhaps", "true or false"),
        ("NMDC_SCHEMA_POLL_SECONDS", "soon", "a number of seconds"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_and_named(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    project.publish("v11.25")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationInvalid, match=says):
        watch.tick()


@pytest.mark.parametrize("job", ["rehearsal", "online_release"])
def test_another_job_is_requested_instead_of_a_release(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setenv("NMDC_ON_NEW_RELEASE", job)
    project.publish("v11.25")
    request = watch.requested()
    assert request.job_name == job
    assert version_of(request) == "11.25.0"
    assert "It is not requested again" in watch.skipped()
    # Whoever decides for releases afterwards gets this one.
    monkeypatch.setenv("NMDC_ON_NEW_RELEASE", "release")
    request = watch.requested()
    assert (request.job_name, version_of(request)) == ("data_release", "11.25.0")


def test_a_notice_is_sent_once_instead_of_a_run(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMDC_ON_NEW_RELEASE", "notify")
    project.publish("v11.25")
    with loopback_webhook() as webhook:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", webhook.address)
        webhook.fail("POST", "", Response(500))
        message = watch.skipped()
        assert "The notice was not sent, and will be retried: the webhook answered 500" in message
        assert "The notice was sent." in watch.skipped()
        assert "its notice was sent" in watch.skipped()
        (text,) = webhook.texts
    assert "Schema release v11.25 was published" in text
    assert SECRET not in message + str(watch.cursor)
    # Whoever decides for releases afterwards gets this one.
    monkeypatch.setenv("NMDC_ON_NEW_RELEASE", "release")
    assert version_of(watch.requested()) == "11.25.0"


def test_who_has_not_decided_gets_a_notice_and_no_release(
    watch: Watch, project: LoopbackRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NMDC_ON_NEW_RELEASE")
    project.publish("v11.25")
    assert "Schema release v11.25 was published" in watch.skipped()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (None, "it sends a notice. It launches nothing"),
        ("release", "it launches the job data_release"),
        ("rehearsal", "it launches the job rehearsal"),
        ("nonsense", "NMDC_ON_NEW_RELEASE is invalid: its ticks fail"),
    ],
)
def test_what_the_sensor_will_do_can_be_read_before_it_is_turned_on(
    monkeypatch: pytest.MonkeyPatch, action: str | None, says: str
) -> None:
    monkeypatch.setenv("NMDC_ON_NEW_RELEASE", action or "")
    jobs = {
        OnNewRelease.RELEASE: defs.get_job_def("data_release"),
        OnNewRelease.REHEARSAL: defs.get_job_def("rehearsal"),
    }
    description = build_schema_release_sensor(jobs, SchemaWatchResource()).description
    assert description is not None and says in description


def test_every_sensor_has_a_description() -> None:
    for sensor in defs.get_repository_def().sensor_defs:
        assert sensor.description, sensor.name


def test_the_sensor_is_off_until_it_is_turned_on() -> None:
    sensor = defs.get_repository_def().get_sensor_def("schema_release_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.minimum_interval_seconds == 300
