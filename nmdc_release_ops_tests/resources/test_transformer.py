"""The private transformer of a release: started once in a run, before the freeze, and stopped when the run ends."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

workplace = workplace_fixture(warm=True)


class Starts:
    """Every private mongod that was started, and whether writes to the origin were blocked then.

    Attributes:
        resources: keeps those that started them: one that is collected would close what it left open.
    """

    def __init__(self) -> None:
        self.servers: list[PrivateMongod] = []
        self.blocked: list[bool | None] = []
        self.resources: list[TransformerResource] = []

    def assert_stopped(self) -> None:
        assert self.servers and self.resources
        assert not any(server.is_running for server in self.servers)


@pytest.fixture
def starts(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Starts:
    monkeypatch.delenv("NMDC_TRANSFORMER_URI")
    seen = Starts()
    start = PrivateMongod.start.__func__  # type: ignore[attr-defined]

    def noted(cls: type[PrivateMongod], folder: Path, **options: Any) -> PrivateMongod:
        with MongoClient[Any](workplace.origin.server.uri) as client:
            seen.blocked.append(is_write_blocked(client))
        server: PrivateMongod = start(cls, folder, **options)
        seen.servers.append(server)
        with MongoClient[Any](server.uri) as transformer:
            removes_what_expires = transformer.admin.command("getParameter", ttlMonitorEnabled=1)["ttlMonitorEnabled"]
        assert not removes_what_expires
        return server

    before_the_freeze = TransformerResource.start

    def kept(resource: TransformerResource, plan: ReleasePlan) -> None:
        seen.resources.append(resource)
        before_the_freeze(resource, plan)

    monkeypatch.setattr(PrivateMongod, "start", classmethod(noted))
    monkeypatch.setattr(TransformerResource, "start", kept)
    return seen


def test_a_run_that_fails_stops_it(workplace: Workplace, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ArchiveDamaged("The archive is damaged.")

    monkeypatch.setattr("nmdc_release_ops.mongo.transfer.engine.begin_load", fails)
    step, _ = failure_of(workplace.release(target_version="11.25"))
    assert step == "migrate"
    assert len(starts.servers) == 1
    starts.assert_stopped()


def test_it_is_started_once_before_the_freeze_and_again_only_where_it_ended_between_two_steps(
    workplace: Workplace, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_after(step: str) -> dg.HookDefinition:
        @dg.success_hook(name="the_transformer_ends")
        def ends(context: dg.HookContext) -> None:
            if context.op.name == step:
                starts.servers[-1].stop()

        return ends

    remove = ReleaseHomeResource.remove_scratch

    def only_of_what_is_stopped(home: ReleaseHomeResource, plan: ReleasePlan) -> int:
        starts.assert_stopped()
        return remove(home, plan)

    monkeypatch.setattr(ReleaseHomeResource, "remove_scratch", only_of_what_is_stopped)
    job = defs.get_job_def("data_release").with_hooks({end_after("migrate")})
    result = job.execute_in_process(
        run_config={"ops": {"plan": {"config": {"target_version": "11.25"}}}}, instance=workplace.instance
    )
    assert result.success
    assert starts.blocked == [False, True]
    starts.assert_stopped()
