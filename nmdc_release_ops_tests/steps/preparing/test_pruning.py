"""What a release removes of earlier ones of its origin, by the journals and the lease on that origin."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.archive.links import link_files
from nmdc_release_ops.mongo.archive.manifest import files_of
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.identity import identify_server
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import Journal, State, write_journal
from nmdc_release_ops.mongo.state.lease import Strategy, take_lease
from nmdc_release_ops.records.data_release import Purpose, ReleasePlan
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.steps.preparing.pruning import _remove_archives
from nmdc_release_ops_tests.resources.attempts import attempt, plan

DATABASE = "pruned"


class OriginConnection:
    """An origin with a home and journals, without any data: attempts are numbered by day, and each is swapped at its number."""

    def __init__(self, client: MongoClient[Any], uri: str) -> None:
        self.client = client
        self.identity = identify_server(client, uri).to_keep()
        self.home = ReleaseHomeResource()

    def plan(self, day: int) -> ReleasePlan:
        return plan(day, self.identity, DATABASE)

    def attempt(self, day: int, state: State | None = State.SWAPPED) -> Path:
        """An attempt with a journal in that state, None for none; returns its archive."""
        planned = self.plan(day)
        release_id = attempt(self.home, planned, dumped=day * 10)
        if state is not None:
            journal = Journal(
                release_id=release_id,
                database=DATABASE,
                from_version="1.0.0",
                to_version="1.1.0",
                migrator_module="",
                state=state,
                # Two of them may begin in the same millisecond.
                number=day,
                started_at=now(),
                swapped_at=now(),
                swapped_cluster_time=ClusterTime(seconds=day * 10 + 1, increment=1),
                moves=[],
                hashes={},
            )
            write_journal(self.client, journal)
        return self.home.archive(planned)

    def remove(self, day: int, **planned: Any) -> None:
        """What the release of that day removes when it is complete, keeping one archive.

        planned: of its plan.
        """
        resource = OriginResource()
        transformer = TransformerResource(home=self.home, origin=resource)
        plan = self.plan(day).model_copy(update=planned)
        with dg.build_op_context() as context:
            _remove_archives(context, plan, resource, self.home, transformer)  # type: ignore[arg-type]


@pytest.fixture
def origin(
    guarded_mongod: PrivateMongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OriginConnection]:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path))
    monkeypatch.setenv("NMDC_ORIGIN_URI", guarded_mongod.uri)
    monkeypatch.setenv("NMDC_ORIGIN_DB", DATABASE)
    monkeypatch.delenv("NMDC_TRANSFORMER_URI", raising=False)
    with MongoClient[Any](guarded_mongod.uri) as client:
        client.drop_database(STATE_DATABASE)
        yield OriginConnection(client, guarded_mongod.uri)
        client.drop_database(STATE_DATABASE)


def test_releases_that_swapped_are_counted_and_failed_attempts_are_not(origin: OriginConnection) -> None:
    old, failed, new = origin.attempt(1), origin.attempt(2, None), origin.attempt(3)
    origin.remove(3)
    assert [archive.is_dir() for archive in (old, failed, new)] == [False, False, True]


def test_the_archive_of_the_release_that_holds_the_origin_stays(origin: OriginConnection) -> None:
    held, _ = origin.attempt(1, None), origin.attempt(2)
    take_lease(origin.client, origin.plan(1).release_id, "run", Strategy.WRITE_BLOCK)
    origin.remove(2)
    assert held.is_dir()
    origin.client[STATE_DATABASE].freeze_lease.delete_many({})
    origin.remove(2)
    assert not held.exists()


def test_the_archive_of_the_last_release_stays_though_it_was_rolled_back(origin: OriginConnection) -> None:
    before, rolled_back = origin.attempt(1), origin.attempt(2, State.ROLLED_BACK)
    origin.remove(1)
    assert before.is_dir() and rolled_back.is_dir()


def test_the_archive_of_an_attempt_whose_step_works_stays(origin: OriginConnection) -> None:
    used, _ = origin.attempt(1, None), origin.attempt(2)
    with origin.home.use(origin.plan(1)):
        origin.remove(2)
        assert used.is_dir()
    origin.remove(2)
    assert not used.exists()


def test_a_rehearsal_goes_when_it_was_promoted_and_the_release_has_its_archive(
    origin: OriginConnection, capfd: pytest.CaptureFixture[str]
) -> None:
    rehearsal = origin.plan(1).model_copy(update={"purpose": Purpose.REHEARSAL})
    attempt(origin.home, rehearsal, dumped=10)
    origin.home.identifiers(rehearsal).write_bytes(b"ids")
    promoted = origin.attempt(2)
    # Its archive is that of the rehearsal, of before the swap.
    shutil.rmtree(promoted)
    promoted.mkdir()
    link_files(origin.home.archive(rehearsal), files_of(origin.home.archive(rehearsal)), promoted)
    origin.remove(2, purpose=Purpose.PROMOTION, rehearsal=rehearsal.release_id)
    assert not origin.home.archive(rehearsal).exists()
    assert not origin.home.identifiers(rehearsal).exists()
    assert (promoted / "large.bson.gz").stat().st_size == 100_000
    assert "this release promoted it, and has its archive" in "".join(capfd.readouterr())
    origin.remove(2, purpose=Purpose.PROMOTION, rehearsal=rehearsal.release_id)
    assert "Removed" not in "".join(capfd.readouterr())


def test_nothing_is_removed_where_the_address_leads_to_another_origin_than_when_it_was_planned(
    origin: OriginConnection, scratch_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = origin.attempt(1), origin.attempt(2)
    monkeypatch.setenv("NMDC_ORIGIN_URI", scratch_mongod.uri)
    origin.remove(2)
    assert old.is_dir()


def test_databases_on_a_transformer_go_but_for_those_that_are_needed_or_unknown(
    origin: OriginConnection, scratch_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", scratch_mongod.uri)
    for day, state in ((1, State.SWAPPED), (2, None), (3, State.SWAPPED)):
        origin.attempt(day, state)
    names = {day: transformer_database(origin.plan(day).release_id, "run") for day in (1, 2, 3, 4)}
    with MongoClient[Any](scratch_mongod.uri) as client:
        for name in names.values():
            client[name].kept.insert_one({})
        # The fourth is of a release of which this home knows nothing.
        origin.remove(3)
        left = set(client.list_database_names()) & set(names.values())
        for name in names.values():
            client.drop_database(name)
    assert left == {names[3], names[4]}
