"""After a release: the Runtime is seen upgraded, what was written since the swap is judged, and whatever fails then, the data
release is complete and says so.
"""

import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE, OPERATOR
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import MomentGone
from nmdc_release_ops.mongo.delta.since import WritesSince
from nmdc_release_ops.mongo.delta.stream import OplogTooShort
from nmdc_release_ops.mongo.operator_role import OPERATOR_ROLE, operator_role
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import journals
from nmdc_release_ops.mongo.state.lease import LEASE, Strategy, current_lease, take_lease
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.records.follow_up import FollowedUp
from nmdc_release_ops.runtime.alldocs import rebuild_alldocs
from nmdc_release_ops.steps.following_up import following, judging
from nmdc_release_ops.steps.following_up.judging import Judged, Judging
from nmdc_release_ops_tests.prepared_release import data_hashes
from nmdc_release_ops_tests.services.loopback import Handler, Response
from nmdc_release_ops_tests.services.runtime_server import LoopbackRuntime, loopback_runtime
from nmdc_release_ops_tests.services.webhook_server import loopback_webhook
from nmdc_release_ops_tests.steps.wired_jobs import load_jobs, wire_job
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

workplace = workplace_fixture(scale=200, warm=True)

LAST = [("_id", -1)]
OLD, NEW = "11.23.0", "11.25.0"
FOLLOWED = {"NMDC_RUNTIME_URL": "https://runtime.example.org"}
"""Where it is wired; the address that is asked is another."""
COMPLETE = "The data release itself is complete. Only its follow-up is not: re-execute the run from `follow_up`"
POLL: dict[str, Any] = {"poll_seconds": 0.02, "runtime_minutes": 0.5, "alldocs_minutes": 0.005}


@cache
def wired() -> dg.JobDefinition:
    return wire_job("data_release", FOLLOWED)


def followed_release() -> dg.JobDefinition:
    """`data_release`, as it is where the Runtime's address is set. Dagster takes no function that is cached."""
    return wired()


def config(**follow_up: Any) -> dict[str, Any]:
    return {
        "ops": {
            "plan": {"config": {"target_version": NEW}},
            "follow_up": {"config": {**POLL, **follow_up}},
        }
    }


class Released:
    """A release that was followed up once, and can be again."""

    def __init__(self, workplace: Workplace, result: dg.ExecuteInProcessResult) -> None:
        self._workplace = workplace
        self.result = result
        self.release_id = result.output_for_node("plan").release_id

    @property
    def folder(self) -> Path:
        (folder,) = self._workplace.home.glob(f"origins/*/releases/{self.release_id}")
        return folder

    def follow_up(self, **options: Any) -> dg.JobExecutionResult:
        return dg.execute_job(
            dg.reconstructable(followed_release),
            instance=self._workplace.instance,
            run_config=config(**options),
            reexecution_options=dg.ReexecutionOptions(self.result.run_id, step_selection=["follow_up"]),
            raise_on_error=False,
        )

    def succeed(self) -> FollowedUp:
        with self.follow_up() as result:
            assert result.success, failure_of(result)[1].description
            found = result.output_for_node("follow_up")
        assert isinstance(found, FollowedUp)
        return found

    def fail(self, **options: Any) -> str:
        """What the run page says."""
        step, failure = failure_of(self.follow_up(**options))
        assert step == "follow_up"
        return str(failure.description)


@pytest.fixture(scope="module")
def upgraded() -> Iterator[LoopbackRuntime]:
    with loopback_runtime(NEW) as found:
        yield found


@pytest.fixture
def runtime(upgraded: LoopbackRuntime) -> Iterator[LoopbackRuntime]:
    """Says in the end what it said at the beginning."""
    yield upgraded
    upgraded.versions = [NEW]
    upgraded.faults.clear()


@pytest.fixture(scope="module")
def released(workplace: Workplace, upgraded: LoopbackRuntime) -> Iterator[Released]:
    # `plan` asks too.
    upgraded.versions = [OLD, OLD, NEW]
    with MongoClient[Any](workplace.origin.server.uri) as client:
        # The data have it before the release, which tolerates it.
        dangles = {"part_of": ["nmdc:sty-11-missing0"]}
        client[DATABASE].study_set.find_one_and_update({}, {"$set": dangles}, sort=LAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMDC_RUNTIME_URL", upgraded.url)
        result = followed_release().execute_in_process(
            run_config=config(), instance=workplace.instance, raise_on_error=False
        )
        assert result.success, failure_of(result)[1].description
        yield Released(workplace, result)


@pytest.fixture
def studies(client: MongoClient[Any], released: Released) -> Iterator[Any]:
    """The origin's studies, put back after the test, and the swap just over: what other tests wrote came before."""
    found = client[DATABASE].study_set
    before = list(found.find())
    moment = {"swapped_cluster_time": cluster_time(client).model_dump()}
    journals(client).update_one({"_id": released.release_id}, {"$set": moment})
    yield found
    found.delete_many({})
    found.insert_many(before)


def test_it_is_wired_where_the_runtimes_address_is_set_and_after_the_deployment_if_there_is_one() -> None:
    for name in ("data_release", "promote", "online_release"):
        assert "follow_up" not in getattr(load_jobs({}), name).graph.node_names()
        both = getattr(load_jobs({**FOLLOWED, "NMDC_DEPLOY_WORKFLOWS": "[]"}), name)
        assert both.graph.dependency_structure.input_to_upstream_outputs_for_node("follow_up")
        assert [node.name for node in both.graph.nodes_in_topological_order][-2:] == ["deploy", "follow_up"]
        alone = getattr(load_jobs(FOLLOWED), name)
        assert [node.name for node in alone.graph.nodes_in_topological_order][-2:] == ["unfreeze", "follow_up"]
    assert "follow_up" not in load_jobs(FOLLOWED).rehearsal.graph.node_names()


def test_plan_warns_of_a_runtime_or_a_dagster_that_would_not_do(
    workplace: Workplace, runtime: LoopbackRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the release of the other tests: there is something to plan."""
    monkeypatch.setenv("NMDC_RUNTIME_URL", runtime.url)
    monkeypatch.setenv("NMDC_RUNTIME_DAGSTER_URL", runtime.url)
    runtime.fail("GET", "/version", Response(404))
    plan = workplace.plan(target_version=NEW)
    assert plan.success, failure_of(plan)[1].description
    warned = [one for one in plan.output_for_node("plan").warnings if "`follow_up` fails after the release" in one]
    assert [one.partition(". ")[0] for one in warned] == [
        f"The Runtime ({runtime.url}) answers 404",
        f"{runtime.url}/graphql answered the question for the list of its jobs with 404",
    ]


def test_a_release_ends_when_the_runtime_runs_on_its_version_and_its_page_says_so(
    released: Released, workplace: Workplace
) -> None:
    found: FollowedUp = released.result.output_for_node("follow_up")
    assert (found.runtime, found.requests, found.written, found.not_judged) == (f"runs on schema {NEW}", 4, (), [])
    assert found.verdict == "Nothing was written to the collections of the release since its swap."
    assert f"The Runtime runs on schema {NEW} (after " in (released.folder / "release.html").read_text()
    assert not list(released.folder.glob("follow-up.*"))
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(released.result.run_id))
    assert log.index(f"The Runtime runs on schema {OLD}.") < log.index(f"The Runtime runs on schema {NEW}.")


@pytest.mark.usefixtures("runtime")
def test_what_was_written_since_the_swap_is_judged_and_nothing_is_written(
    released: Released, studies: Any, client: MongoClient[Any]
) -> None:
    study = studies.find_one({})
    studies.insert_one({**study, "_id": ObjectId(), "id": "nmdc:sty-11-new00001"})
    studies.update_one({"_id": study["_id"]}, {"$set": {"description": "Corrected since."}})
    gone = studies.insert_one({**study, "_id": ObjectId(), "id": "nmdc:sty-11-gone0001"}).inserted_id
    studies.delete_one({"_id": gone})
    before = data_hashes(client)
    found = released.succeed()
    assert [(one.collection, one.judged, one.gone) for one in found.written] == [("study_set", 2, 1)]
    assert found.verdict.startswith(f"What was written since the swap: 2 documents conform to schema {NEW}, and ")
    assert found.not_judged == []
    assert data_hashes(client) == before
    assert current_lease(client) is None and is_write_blocked(client) is False


@pytest.mark.usefixtures("runtime")
def test_what_the_earlier_runtime_left_is_named_and_the_next_attempt_finds_it_corrected(
    released: Released, studies: Any
) -> None:
    study = studies.find_one({})
    studies.update_one({"_id": study["_id"]}, {"$set": {"study_category": "no such category"}})
    said = released.fail()
    assert f"What was written since the swap is invalid: 1 violation of schema {NEW} in 1 document" in said
    assert f"The first: study_set {study['id']}, at /study_category: 'no such category' is not one of" in said
    assert COMPLETE in said and "Correct these documents in the origin" in said
    page = max(released.folder.glob("attempts/*/follow-up/validation.html"))
    assert "no such category" in page.read_text()
    assert {path.name for path in page.parent.iterdir()} == {
        "validation.html",
        "validation.json",
        "violations.jsonl",
    }
    # The page of the release does not mistake them for those of the release itself.
    assert "failed in follow_up" in (released.folder / "release.html").read_text()
    studies.replace_one({"_id": study["_id"]}, study)
    assert released.succeed().judged == 1


@pytest.mark.usefixtures("runtime")
def test_a_reference_to_nothing_and_an_id_that_another_document_has_are_found(
    released: Released, studies: Any, client: MongoClient[Any]
) -> None:
    biosamples = client[DATABASE].biosample_set
    study, biosample = studies.find_one({}), biosamples.find_one({})
    # Within a collection, an index keeps ids apart.
    twice = {**biosample, "_id": ObjectId(), "id": study["id"]}
    studies.update_one({"_id": study["_id"]}, {"$set": {"part_of": ["nmdc:sty-11-missing1"]}})
    biosamples.insert_one(twice)
    try:
        said = released.fail()
    finally:
        biosamples.delete_one({"_id": twice["_id"]})
    assert "1 dangling reference" in said and "1 duplicate id" in said and COMPLETE in said


@pytest.mark.usefixtures("runtime")
def test_a_violation_between_documents_that_the_data_had_before_the_release_is_tolerated(
    released: Released, studies: Any
) -> None:
    studies.find_one_and_update({}, {"$set": {"description": "Corrected since."}}, sort=LAST)
    found = released.succeed()
    assert (found.judged, found.tolerated) == (1, 1)
    assert "1 violations between documents do not stop the release (the data already had them)" in found.verdict


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("reason", ["promotion", "archive"])
def test_a_violation_between_documents_is_no_failure_where_it_is_not_known_whether_the_data_had_it_before(
    released: Released, studies: Any, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """A promotion tolerates what people wrote between the rehearsal and the freeze, and the archive does not have it."""
    if reason == "promotion":
        monkeypatch.setattr(ReleasePlan, "catches_up", property(lambda _plan: True))
    else:
        monkeypatch.setattr(judging, "read_manifest", refuse_archive)
    studies.find_one_and_update({}, {"$set": {"part_of": ["nmdc:sty-11-missing2"]}})
    found = released.succeed()
    (missing,) = found.not_judged
    assert missing.startswith(
        "1 violation between documents was found in what was written since the swap, and it is not known"
    )
    assert "Launch the job `audit`" in missing and "/follow-up/validation.html" in missing
    assert found.tolerated == 1
    studies.find_one_and_update({}, {"$set": {"study_category": "no such category"}})
    assert "no such category" in released.fail()


def refuse_archive(_folder: Path) -> Any:
    raise ArchiveDamaged("It was removed.")


@pytest.mark.usefixtures("runtime")
def test_people_are_told_when_it_is_done(released: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_webhook() as chat:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", chat.address)
        released.succeed()
        (text,) = chat.texts
    assert text.startswith(f"After the release of the NMDC database: The Runtime runs on schema {NEW} (after ")


@pytest.mark.usefixtures("runtime")
def test_a_collection_that_was_renamed_into_place_is_judged_as_a_whole(
    released: Released, client: MongoClient[Any]
) -> None:
    database = client[DATABASE]
    before = list(database.study_set.find())
    database.other.insert_many([*before[1:], {**before[0], "study_category": "no such category"}])
    try:
        database.other.rename("study_set", dropTarget=True)
        assert f"1 violation of schema {NEW} in {len(before)} documents" in released.fail()
    finally:
        database.study_set.replace_one({"_id": before[0]["_id"]}, before[0])


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        (
            [OLD],
            f"did not say within 0.005 minutes that it runs on schema {NEW}. The last time, it runs on schema {OLD}",
        ),
        (["11.26.0"], f"runs on schema 11.26.0, and the database conforms to {NEW}"),
    ],
)
def test_a_runtime_of_another_version_ends_it_and_the_data_release_is_complete(
    released: Released, runtime: LoopbackRuntime, versions: list[str], says: str
) -> None:
    runtime.versions = versions
    said = released.fail(runtime_minutes=0.005)
    assert says in said and COMPLETE in said
    assert "The origin is not frozen" in said


def test_a_runtime_that_answers_errors_ends_it_when_the_time_is_over(
    released: Released, runtime: LoopbackRuntime
) -> None:
    runtime.fail("GET", "/version", Response(502), times=10**6)
    said = released.fail(runtime_minutes=0.005)
    assert "The last time, it answers 502" in said and COMPLETE in said


@pytest.mark.usefixtures("runtime")
def test_a_dagster_that_does_not_answer_is_named_beside_what_was_found(
    released: Released, studies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMDC_RUNTIME_DAGSTER_URL", "http://127.0.0.1:9")
    said = released.fail()
    assert "The Runtime's Dagster (http://127.0.0.1:9) did not answer" in said and COMPLETE in said
    studies.update_one({}, {"$set": {"study_category": "no such category"}})
    said = released.fail()
    assert "1 violation" in said and "Besides, alldocs was not rebuilt. The Runtime's Dagster" in said


@pytest.mark.usefixtures("runtime")
def test_what_the_oplog_does_not_hold_any_more_is_said_and_the_rest_is_judged(
    released: Released, studies: Any, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real oplog takes a minute to overrun: mongo/delta/test_follow_faults.py does it."""
    studies.update_one({}, {"$set": {"description": "Lost."}})
    begins = present_moment(client).next()
    read_until, lost = Follower.read_until, [OplogTooShort(ClusterTime(seconds=1_000_000_000, increment=1), begins)]

    def follow(follower: Follower, moment: ClusterTime) -> int:
        if lost:
            raise lost.pop()
        return read_until(follower, moment)

    monkeypatch.setattr(Follower, "read_until", follow)
    client[DATABASE].biosample_set.update_one({}, {"$set": {"description": "Corrected since."}})
    found = released.succeed()
    (missing,) = found.not_judged
    assert missing.startswith("What was written between 2001-09-09 01:46:40 UTC and ")
    assert missing.endswith(
        "is not known: the oplog no longer reached back to it. Launch the job `audit`: it judges the whole database."
    )
    assert [one.collection for one in found.written] == ["biosample_set"]
    assert missing in (released.folder / "release.html").read_text().replace("&#x27;", "'")


@pytest.mark.usefixtures("runtime")
def test_a_collection_that_takes_longer_to_read_than_the_server_keeps_a_moment_is_left_out_and_not_read_again_and_again(
    released: Released, studies: Any, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server keeps one for 300 seconds: the driver's side says here what it would say then."""
    studies.update_one({}, {"$set": {"description": "Corrected since."}})
    client[DATABASE].biosample_set.update_one({}, {"$set": {"description": "Read too slowly."}})
    read, asked = WritesSince.read, list[str]()

    def read_slowly(since: WritesSince, name: str, moment: ClusterTime) -> Iterator[bytes | None]:
        asked.append(name)
        if name == "biosample_set":
            time.sleep(1)
            raise MomentGone(name, moment, redefined=False)
        yield from read(since, name, moment)

    monkeypatch.setattr(WritesSince, "read", read_slowly)
    found = released.succeed()
    assert [one.collection for one in found.written] == ["study_set"]
    assert asked == ["biosample_set", "study_set"]
    (missing,) = found.not_judged
    assert missing.startswith("What was written to biosample_set was not judged: ")
    assert missing.endswith("Launch the job `audit`: it judges the whole database.")


@pytest.mark.usefixtures("runtime")
def test_a_swap_whose_moment_is_not_on_record_is_said(released: Released, client: MongoClient[Any]) -> None:
    journal = journals(client).find_one({"_id": released.release_id})
    journals(client).update_one({"_id": released.release_id}, {"$unset": {"swapped_cluster_time": ""}})
    try:
        (missing,) = released.succeed().not_judged
    finally:
        journals(client).replace_one({"_id": released.release_id}, journal)
    assert missing.startswith("What was written since the swap is not known: The moment of the swap is not on record.")


@pytest.mark.usefixtures("runtime")
def test_an_operator_who_may_not_follow_the_database_is_told_what_is_not_known(
    released: Released, client: MongoClient[Any]
) -> None:
    privileges = operator_role(DATABASE)["privileges"]
    without = [{**one, "actions": [name for name in one["actions"] if name != "changeStream"]} for one in privileges]
    client.admin.command("updateRole", OPERATOR_ROLE, privileges=without)
    try:
        (missing,) = released.succeed().not_judged
    finally:
        client.admin.command("updateRole", OPERATOR_ROLE, privileges=privileges)
    assert "since the swap is not known: The server offers this user no change stream" in missing
    assert "Launch the job `audit`" in missing


def test_an_address_that_is_wrong_is_found_by_plan_before_anything_is_frozen(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variables in (
        {"NMDC_RUNTIME_URL": "runtime"},
        {"NMDC_RUNTIME_URL": "https://runtime.example.org", "NMDC_RUNTIME_DAGSTER_URL": "dagster"},
        {"NMDC_RUNTIME_URL": "", "NMDC_RUNTIME_DAGSTER_URL": "https://dagster.example.org"},
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        step, failure = failure_of(workplace.plan(target_version=NEW))
        assert step == "plan" and "NMDC_RUNTIME_" in str(failure.description)


@pytest.mark.usefixtures("runtime")
def test_a_release_that_was_rolled_back_is_not_followed_up(released: Released, client: MongoClient[Any]) -> None:
    journals(client).update_one({"_id": released.release_id}, {"$set": {"state": "rolled back"}})
    try:
        said = released.fail()
    finally:
        journals(client).update_one({"_id": released.release_id}, {"$set": {"state": "swapped"}})
    assert "Nothing was followed up." in said
    assert COMPLETE not in said
    assert OPERATOR not in said


@pytest.mark.usefixtures("runtime")
class TestWhatHappensMeanwhile:
    """The follow-up may take two hours."""

    @pytest.fixture(autouse=True)
    def journal(self, client: MongoClient[Any], released: Released) -> Iterator[dict[str, Any]]:
        before = journals(client).find_one({"_id": released.release_id})
        assert before is not None
        yield before
        journals(client).replace_one({"_id": released.release_id}, before)

    @pytest.mark.parametrize("state", ["rolling back", "rolled back"])
    def test_a_rollback_ends_the_waiting(
        self, released: Released, runtime: LoopbackRuntime, client: MongoClient[Any], state: str
    ) -> None:
        def roll_back(handler: Handler, response: Response) -> None:
            journals(client).update_one({"_id": released.release_id}, {"$set": {"state": state}})
            handler.send(response)

        runtime.fail("GET", "/version", roll_back)
        said = released.fail()
        assert f"Release {released.release_id} was rolled back while it was followed up." in said
        assert COMPLETE not in said

    def test_data_that_were_rolled_back_while_they_were_judged_are_blamed_on_nobody(
        self, released: Released, studies: Any, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judge = Judging.judge

        def roll_back(judging: Judging) -> Judged:
            found = judge(judging)
            assert found.fault
            journals(client).update_one({"_id": released.release_id}, {"$set": {"state": "rolled back"}})
            return found

        monkeypatch.setattr(Judging, "judge", roll_back)
        studies.update_one({}, {"$set": {"study_category": "no such category"}})
        said = released.fail()
        assert "was rolled back while it was followed up" in said
        assert "no such category" not in said and "Correct these documents" not in said and COMPLETE not in said

    def test_a_rollback_that_has_only_frozen_the_origin_ends_it(
        self, released: Released, runtime: LoopbackRuntime, client: MongoClient[Any]
    ) -> None:
        def freeze(handler: Handler, response: Response) -> None:
            take_lease(client, released.release_id, "a-rollback", Strategy.WRITE_BLOCK)
            handler.send(response)

        runtime.fail("GET", "/version", freeze)
        try:
            said = released.fail()
        finally:
            client[STATE_DATABASE][LEASE].delete_many({})
        assert "run a-rollback is rolling it back" in said and COMPLETE not in said
        assert "Launch the job `unfreeze`, then" not in said

    def test_another_release_to_the_same_version_ends_it(
        self, released: Released, runtime: LoopbackRuntime, client: MongoClient[Any], journal: dict[str, Any]
    ) -> None:
        def release(handler: Handler, response: Response) -> None:
            journals(client).insert_one({**journal, "_id": "another", "number": 99})
            handler.send(response)

        runtime.fail("GET", "/version", release)
        try:
            said = released.fail()
        finally:
            journals(client).delete_one({"_id": "another"})
        assert "Release another was swapped in while" in said and COMPLETE not in said

    def test_it_makes_way_for_a_rollback_that_was_launched_because_the_runtime_does_not_come_up(
        self, released: Released, runtime: LoopbackRuntime, workplace: Workplace
    ) -> None:
        queued: list[str] = []

        def launch(handler: Handler, response: Response) -> None:
            queued.append(queue_rollback(workplace))
            handler.send(response)

        runtime.versions = [OLD]
        runtime.fail("GET", "/version", launch)
        said = released.fail(runtime_minutes=1)
        workplace.instance.delete_run(queued[0])
        assert f"Run {queued[0]} (job rollback) was queued until this run ends, so this one made way for it" in said
        assert COMPLETE in said

    def test_what_it_found_is_said_also_when_it_makes_way(
        self, released: Released, studies: Any, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queued: list[str] = []

        def rebuild(*arguments: Any) -> str:
            queued.append(queue_rollback(workplace))
            return rebuild_alldocs(*arguments)

        monkeypatch.setattr(following, "rebuild_alldocs", rebuild)
        monkeypatch.setenv("NMDC_RUNTIME_DAGSTER_URL", "http://127.0.0.1:9")
        studies.update_one({}, {"$set": {"study_category": "no such category"}})
        said = released.fail(alldocs_minutes=1)
        workplace.instance.delete_run(queued[0])
        assert (
            "no such category" in said and f"Besides, alldocs was not rebuilt. Run {queued[0]} (job rollback)" in said
        )


def queue_rollback(workplace: Workplace) -> str:
    """As the UI does where a run with the same tag is under way; the run's id."""
    job = load_jobs({}).rollback
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("releases"), "repository")
    return workplace.instance.create_run_for_job(
        job,
        tags=job.tags,
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=RemoteJobOrigin(repository, job.name),
    ).run_id
