"""A workplace: an origin, a release home and a Dagster instance, with the environment pointing at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE, Content, DemoOrigin
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.resources.transformer import TRANSFORMER_DATABASE
from nmdc_release_ops_tests.origin_copies import demo_origin
from nmdc_release_ops_tests.replica_set import ReplicaSet

PROJECT = Path(__file__).parent.parent


class Workplace:
    """A demo origin, a release home and a Dagster instance of their own, with the environment pointing at them."""

    def __init__(self, folder: Path, origin: DemoOrigin, instance: dg.DagsterInstance) -> None:
        self.folder = folder
        self.origin = origin
        self.instance = instance

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def dagster_home(self) -> Path:
        return self.folder / "dagster"

    def environment(self) -> dict[str, str]:
        """The variables that the project reads."""
        return {
            "NMDC_ORIGIN_URI": self.origin.uri(),
            "NMDC_ORIGIN_DB": DATABASE,
            "NMDC_RELEASE_HOME": str(self.home),
            "DAGSTER_HOME": str(self.dagster_home),
        }

    def release(self, **config: Any) -> dg.ExecuteInProcessResult:
        """Run `data_release` to its end in this process, whether it succeeds or not."""
        return self._execute(config)

    def plan(self, **config: Any) -> dg.ExecuteInProcessResult:
        """Run only the first step of `data_release`, whether it succeeds or not."""
        return self._execute(config, op_selection=["plan"])

    def rehearse(self, **config: Any) -> dg.ExecuteInProcessResult:
        """Run `rehearsal` to its end in this process, whether it succeeds or not."""
        return self._execute(config, job="rehearsal")

    def _execute(
        self, config: dict[str, Any], op_selection: list[str] | None = None, job: str = "data_release"
    ) -> dg.ExecuteInProcessResult:
        return defs.get_job_def(job).execute_in_process(
            run_config={"ops": {"plan": {"config": config}}},
            instance=self.instance,
            raise_on_error=False,
            op_selection=op_selection,
        )


def failure_of(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> tuple[str, Any]:
    """The one step that failed, and what the run page says of it: an error that was foreseen."""
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data
    assert data.user_failure_data is not None, f"an unforeseen error: {data.error}"
    return str(failed.step_key), data.user_failure_data


@contextmanager
def untouched(client: MongoClient[Any]) -> Iterator[None]:
    """The origin's data are the same after the block, and nobody holds it frozen."""
    database = client[DATABASE]
    before = collection_hashes(database, database.list_collection_names())
    yield
    assert collection_hashes(database, database.list_collection_names()) == before
    assert is_write_blocked(client) is False
    assert current_lease(client) is None


def make_workplace(
    folder: Path,
    schema_cache: Path,
    scale: int,
    content: Content | None = None,
    transformer: PrivateMongod | None = None,
) -> Iterator[Workplace]:
    """A workplace for as long as the generator is not closed.

    Args:
        content: what to put into the origin instead of about `scale` documents of the demo.
        transformer: None for a private one of each release. What releases leave there is dropped in the end.
    """
    if content is None:
        origin = demo_origin(folder / "origin", scale)
    else:
        origin = DemoOrigin.create(folder / "origin", scale=scale, log=lambda line: None, content=content)
    yield from workplace_around(origin, folder, schema_cache, transformer)


def workplace_fixture(
    *,
    scale: int = 500,
    scope: Literal["module", "function"] = "module",
    warm: bool | Literal["workers"] = False,
) -> Any:
    """The fixture `workplace` of a test module: one for all of its tests, or one for each.

    Args:
        warm: whether its workers are forked from processes that have imported what they need. Not for tests of how they start
            and end. With True its transformer runs already, too, and its Dagster instance is in memory: not for tests of
            how a transformer starts and ends, or of other processes' runs.
    """
    if warm is True:

        @pytest.fixture(scope=scope)
        def warm_one(
            tmp_path_factory: pytest.TempPathFactory, warm_schema: Path, warm_transformer: PrivateMongod
        ) -> Iterator[Workplace]:
            folder = tmp_path_factory.mktemp("workplace")
            yield from make_workplace(folder, warm_schema, scale, transformer=warm_transformer)

        return warm_one

    @pytest.fixture(scope=scope)
    def cold_one(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Workplace]:
        schema = request.getfixturevalue("warm_schema" if warm else "schema_cache")
        yield from make_workplace(tmp_path_factory.mktemp("workplace"), schema, scale)

    return cold_one


def replicated_workplace_fixture() -> Any:
    """The fixture `workplace` of a test module: with an origin of the replica set `members`, and workers that are forked."""

    @pytest.fixture(scope="module")
    def of_module(
        members: ReplicaSet, tmp_path_factory: pytest.TempPathFactory, warm_schema: Path
    ) -> Iterator[Workplace]:
        origin = DemoOrigin.fill(members, scale=500, log=lambda line: None)
        yield from workplace_around(origin, tmp_path_factory.mktemp("replicated"), warm_schema)

    return of_module


def workplace_around(
    origin: DemoOrigin, folder: Path, schema_cache: Path, transformer: PrivateMongod | None = None
) -> Iterator[Workplace]:
    """A workplace with an origin that runs already; the one it has in the end is stopped."""
    for name in ("home", "dagster"):
        (folder / name).mkdir(parents=True)
    (folder / "home" / "schema").symlink_to(schema_cache)
    (folder / "dagster" / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    # In memory, a run takes a quarter less; other processes do not see it there.
    made = dg.DagsterInstance.ephemeral() if transformer else dg.DagsterInstance.from_config(str(folder / "dagster"))
    with pytest.MonkeyPatch.context() as patch, made as instance:
        workplace = Workplace(folder, origin, instance)
        for name, value in workplace.environment().items():
            patch.setenv(name, value)
        patch.delenv("NMDC_TRANSFORMER_URI", raising=False)
        if transformer is not None:
            patch.setenv("NMDC_TRANSFORMER_URI", transformer.uri)
        try:
            yield workplace
        finally:
            workplace.origin.stop()
            if transformer is not None:
                drop_transformed(transformer)


def drop_transformed(transformer: PrivateMongod) -> None:
    """Drop what releases left on a transformer."""
    with MongoClient[Any](transformer.uri) as client:
        for name in client.list_database_names():
            if name.startswith(TRANSFORMER_DATABASE):
                client.drop_database(name)
