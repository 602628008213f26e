"""A release that was made once, so that any of its steps can be broken, again and again, without the others' time.

Re-executing single steps of a run, as one may on the run page, takes the records of the others from it. Validation
takes most of a small release; what breaks in `restore` need not wait for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, read_journal
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.mongo.state.ledger import EVENTS, LATEST_VERSION
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.sensors.frozen_origin_watchdog import frozen_origin_watchdog
from nmdc_release_ops_tests.workplace import Workplace

BEFORE, AFTER = "11.23.0", "11.25.0"
CONFIG = {"ops": {"plan": {"config": {"target_version": "11.25"}}}}


def data_release() -> dg.JobDefinition:
    return defs.get_job_def("data_release")


def data_hashes(client: MongoClient[Any]) -> dict[str, str]:
    """The server's hash of every collection of the origin, but for the ledger's and what a release stages and keeps."""
    names = client[DATABASE].list_collection_names(filter={"type": "collection"})
    kept = [name for name in names if not name.startswith(("_release.", "system.")) and name != EVENTS]
    return collection_hashes(client[DATABASE], kept)


def recorded_version(client: MongoClient[Any]) -> Any:
    return client[DATABASE][LATEST_VERSION].find_one()["schema_version"]


def is_swap_under_way(client: MongoClient[Any], release_id: str) -> bool:
    journal = read_journal(client, release_id)
    return journal is not None and journal.is_under_way


def put_back(client: MongoClient[Any]) -> None:
    """Make the origin what it was before its release: thawed, at the old version, with no trace of the release."""
    client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    database = client[DATABASE]
    for name in database.list_collection_names(filter={"name": {"$regex": "^_release"}}):
        if name.startswith(PREVIOUS):
            database[name].rename(name.removeprefix(PREVIOUS), dropTarget=True)
        elif name.startswith(STAGED):
            database[name].drop()
    database[EVENTS].delete_many({"release_id": {"$ne": "demo"}})
    client.drop_database(STATE_DATABASE)


def tick(instance: dg.DagsterInstance) -> str | None:
    """One tick of the watchdog; None where it raised its alarm because of half a swap."""
    try:
        reason = frozen_origin_watchdog(
            dg.build_sensor_context(
                instance=instance, resources={"origin": OriginResource(), "notices": NoticesResource()}
            )
        )
    except SwapUnderWay:
        return None
    assert isinstance(reason, dg.SkipReason)
    return str(reason.skip_message)


class PreparedRelease:
    """A finished release of a workplace's origin, which has been put back since.

    Attributes:
        transformer: which holds what the release's migrators left there.
        run_id: of its run, whose steps can be re-executed.
        client: the administrator's, on the origin.
        before: hashes of the origin's data before the release.
        after: and after it.
    """

    def __init__(self, workplace: Workplace, transformer: PrivateMongod) -> None:
        self.workplace = workplace
        self.transformer = transformer
        self.client: MongoClient[Any] = MongoClient(workplace.origin.server.uri)
        self.before = data_hashes(self.client)
        made = dg.execute_job(dg.reconstructable(data_release), instance=workplace.instance, run_config=CONFIG)
        assert made.success
        self.run_id = made.run_id
        self.after = data_hashes(self.client)
        assert self.after != self.before
        self.put_back()

    def put_back(self) -> None:
        # On new connections: one that wrote to a primary of an earlier term fails when it becomes the primary again.
        self.client.close()
        self.client = MongoClient(self.workplace.origin.server.uri)
        put_back(self.client)
        assert data_hashes(self.client) == self.before

    def execute(
        self, steps: Sequence[str], *, of_run: str | None = None, config: Mapping[str, Any] = CONFIG
    ) -> dg.JobExecutionResult:
        """Execute these steps in a run of their own, whether they succeed or not.

        of_run: whose results the others' are; the release's own run where it is not given.
        """
        return self._reexecute(dg.ReexecutionOptions(of_run or self.run_id, step_selection=list(steps)), config)

    def execute_from_failure(self, run_id: str) -> dg.JobExecutionResult:
        return self._reexecute(dg.ReexecutionOptions.from_failure(run_id, self.workplace.instance))

    def _reexecute(self, options: dg.ReexecutionOptions, config: Mapping[str, Any] = CONFIG) -> dg.JobExecutionResult:
        return dg.execute_job(
            dg.reconstructable(data_release),
            instance=self.workplace.instance,
            run_config=config,
            reexecution_options=options,
            raise_on_error=False,
        )

    def assert_nothing_lost(self) -> None:
        """The data are those of the version that the ledger tells, and nobody holds the origin frozen; or a swap is under
        way, and the origin is frozen for it."""
        lease = current_lease(self.client)
        if lease is not None and is_swap_under_way(self.client, lease.release_id):
            assert is_write_blocked(self.client) is True
            return
        assert lease is None and is_write_blocked(self.client) is False
        assert data_hashes(self.client) == {BEFORE: self.before, AFTER: self.after}[recorded_version(self.client)]

    def assert_released(self) -> None:
        assert recorded_version(self.client) == AFTER
        self.assert_nothing_lost()

    def assert_recovers(self, result: dg.JobExecutionResult) -> None:
        """Whatever became of a run of one or more steps: the origin lost nothing and is not frozen by accident, and
        re-executing the run from failure goes on to the end."""
        if not result.success:
            failed_plainly(result)
            tick(self.workplace.instance)
            self.assert_nothing_lost()
            result = self.execute_from_failure(result.run_id)
        self.assert_finishes(result)

    def assert_finishes(self, result: dg.JobExecutionResult) -> None:
        """The steps succeeded, and with those after them the release is made."""
        assert result.success, failed_plainly(result)
        if recorded_version(self.client) != AFTER:
            rest = self.execute(["restore", "unfreeze"])
            assert rest.success, failed_plainly(rest)
        self.assert_released()


def failed_plainly(result: dg.JobExecutionResult) -> str:
    """What the run page says of the step that failed: an error that was foreseen, in words for an operator."""
    (description,) = failures_of(result)
    return description


def failures_of(result: dg.JobExecutionResult) -> list[str]:
    """What the run page says of each step that failed; at least one did. Steps that do not need each other may all fail."""
    failed = [event for event in result.all_events if event.is_step_failure]
    assert failed
    descriptions = []
    for event in failed:
        data = event.step_failure_data
        assert data.user_failure_data is not None, f"an unforeseen error: {data.error_display_string}"
        descriptions.append(str(data.user_failure_data.description))
        assert "Traceback" not in descriptions[-1]
    return descriptions


@contextmanager
def prepared(workplace: Workplace, folder: Path, *, patience: int) -> Iterator[PreparedRelease]:
    """A prepared release with a transformer of its own, which runs all the time: starting one takes as long as a step.

    patience: seconds after which a server that does not answer is given up.
    """
    transformer = PrivateMongod.start(folder / "transformer", authentication=False)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as ending:
        ending.callback(transformer.stop)
        patch.setenv("NMDC_TRANSFORMER_URI", transformer.uri)
        patch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", patience)
        release = PreparedRelease(workplace, transformer)
        ending.callback(lambda: (release.transformer.stop(), release.client.close()))
        yield release


def prepared_release_fixture(*, patience: int) -> Any:
    """The fixture `made` of a test module: a prepared release of its workplace, for all of its tests.

    Each test puts it back when it is done, as the fixture `release` of conftest.py does.
    """

    @pytest.fixture(scope="module")
    def made(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedRelease]:
        with prepared(workplace, tmp_path_factory.mktemp("prepared"), patience=patience) as release:
            yield release

    return made
