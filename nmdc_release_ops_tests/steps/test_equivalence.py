"""Promise 12: a promotion ends with exactly what a release, begun at the moment of the freeze, would have ended with."""

import os
import random
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS
from nmdc_release_ops.records.data_release import FreezeWindow
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.shared.failures import DocumentsInvalid
from nmdc_release_ops_tests.prepared_release import AFTER, recorded_version
from nmdc_release_ops_tests.steps.crashing_stores import Countdown, PowerCut, crashing_stores
from nmdc_release_ops_tests.steps.driven_promotion import (
    Driven,
    Expected,
    advance_as_expected,
    drive,
    staged_of,
    wrong_after_the_swap,
)
from nmdc_release_ops_tests.steps.equivalence_migrators import DELETED, DROP, LOOK, RENAMED_TO, make_hard_checkout
from nmdc_release_ops_tests.steps.random_writes import RandomWriter
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

workplace = workplace_fixture(scale=450, scope="function")
SEED = "EQUIVALENCE_SEED"
"""The variable of the seed of a history: a number, or `new` for one that nobody has tried."""
_USUAL_SEED = 20_261_129


def make_dice() -> tuple[int, random.Random]:
    """The seed of a history, and what follows from it."""
    wanted = os.environ.get(SEED) or _USUAL_SEED
    seed = random.randrange(2**32) if wanted == "new" else int(wanted)
    print(f"{SEED}={seed}")  # noqa: T201
    return seed, random.Random(seed)


def allow_duplicates(workplace: Workplace) -> None:
    """An index keeps people from giving an id to two documents of a collection; not in these."""
    with MongoClient[Any](workplace.origin.server.uri) as client:
        for name in ("biosample_set", "processed_sample_set", "study_set"):
            client[DATABASE][name].drop_index("id_1")


def test_whatever_people_write_a_promotion_ends_as_a_release_would(workplace: Workplace) -> None:
    _, rng = make_dice()
    allow_duplicates(workplace)
    rehearsed = workplace.rehearse(target_version="11.25", integrity="fail")
    assert rehearsed.success, failure_of(rehearsed)[1].description
    expected: list[Expected] = []
    with MongoClient[Any](workplace.origin.server.uri) as client:
        database = client[DATABASE]

        def body(driven: Driven) -> None:
            writer = RandomWriter(database, driven.plan.managed, rng)
            writer.write(rng.randrange(30))
            with driven.open() as promotion:
                promotion.advance(driven.context, driven.rehearsed)
                writer.write(rng.randrange(30))
                put_right = writer.break_something()
                advance_as_expected(driven, promotion, driven.expect(), writer)
                put_right()
            writer.write(rng.randrange(30))
            expected.append(driven.expect(validate=False))

        assert drive(workplace, body).success
        assert wrong_after_the_swap(expected[-1], database) == []
        assert recorded_version(client) == AFTER


class TooLong(Exception):
    """What is left of a round takes too long."""


class History:
    """A promotion of which each round is disturbed at random, and then has to be as a release would be."""

    def __init__(self, driven: Driven, database: Database[Any], rng: random.Random) -> None:
        self._driven = driven
        self._database = database
        self._rng = rng
        self._writer = RandomWriter(database, driven.plan.managed, rng)

    def go_on(self, rounds: int) -> None:
        for number in range(rounds):
            self._writer.log.append(f"-- round {number}")
            self._write()
            with ExitStack() as stack:
                promotion = stack.enter_context(self._driven.open())
                if self._rng.random() < 0.3:
                    self._run_out_of_time(promotion)
                    self._write()
                    if self._rng.random() < 0.5:
                        self._crash(promotion)
                        self._write()
                        stack.close()
                        promotion = stack.enter_context(self._driven.open())
                        # As `reconcile` does when it is executed again: nobody but the crashed round wrote to it.
                        promotion.refuse_staged_by_others()
                self._advance(promotion)
        self._write()

    def _write(self) -> None:
        self._writer.write(self._rng.randrange(20))
        if self._rng.random() < 0.5:
            study = {"_id": self._database["study_set"].find_one({}, sort=[("_id", 1)])["_id"]}
            said = self._rng.choice(["", LOOK, DROP, f"{LOOK}, {DROP}"])
            self._database["study_set"].update_one(study, {"$set": {"description": said or "nothing"}})
            self._writer.log.append(f"said {said!r}")

    def _advance(self, promotion: Promotion) -> None:
        """A round of what may be invalid, and another one if it is."""
        put_right = None
        if self._rng.random() < 0.4:
            put_right = self._writer.retire() if self._rng.random() < 0.5 else self._writer.break_something()
        expected = self._driven.expect()
        advance_as_expected(self._driven, promotion, expected, self._writer)
        if put_right is not None:
            put_right()
            if expected.violations:
                advance_as_expected(self._driven, promotion, self._driven.expect(), self._writer)

    def _run_out_of_time(self, promotion: Promotion) -> None:
        left = self._rng.randrange(1, 4)

        def limit(_seconds: float) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise TooLong

        before = staged_of(self._database)
        self._writer.log.append("-- ran out of time")
        with pytest.raises(TooLong):
            promotion.advance(self._driven.context, self._driven.rehearsed, limit)
        assert staged_of(self._database) == before

    def _crash(self, promotion: Promotion) -> None:
        countdown = Countdown(self._rng.randrange(1, 40))
        promotion.stores = crashing_stores(promotion.stores, countdown)
        with suppress(PowerCut, DocumentsInvalid):
            promotion.advance(self._driven.context, self._driven.rehearsed)
        self._writer.log.append(f"-- crashed at {countdown.last}")


@pytest.fixture(scope="module")
def candidate(schema_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of packages and environments, and the checkout of the release with the hard migrators."""
    folder = tmp_path_factory.mktemp("candidate")
    for name in ("packages", "environments"):
        (folder / "schema" / name).mkdir(parents=True)
        for there in (schema_cache / name).glob("11.2*"):
            (folder / "schema" / name / there.name).symlink_to(there)
    package = SchemaPackages(schema_cache).fetch(SchemaVersion.parse("11.25"))
    return folder / "schema", make_hard_checkout(package, folder / "checkout")


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("rounds", [4])
def test_whatever_disturbs_it_a_promotion_with_migrators_of_every_kind_ends_as_a_release_would(
    workplace: Workplace, candidate: tuple[Path, Path], rounds: int
) -> None:
    seed, rng = make_dice()
    schema = workplace.home / "schema"
    schema.unlink()
    schema.symlink_to(candidate[0])
    allow_duplicates(workplace)
    rehearsed = workplace.rehearse(schema_source=str(candidate[1]))
    assert rehearsed.success, failure_of(rehearsed)[1].description
    expected: list[Expected] = []
    with MongoClient[Any](workplace.origin.server.uri) as client:
        database = client[DATABASE]

        def body(driven: Driven) -> None:
            History(driven, database, rng).go_on(rounds)
            expected.append(driven.expect())
            assert expected[-1].violations == []

        result = drive(workplace, body)
        assert result.success, seed
        assert wrong_after_the_swap(expected[-1], database) == [], seed
        assert recorded_version(client) == "11.26.0"
    verification = FreezeWindow.model_validate(result.output_for_node("unfreeze_after_release")).verification
    assert verification is not None
    assert verification.not_compared == [], seed
    source = {one.collection for one in verification.source}
    assert source >= {"field_research_site_set", RENAMED_TO, PREVIOUS + DELETED, PREVIOUS + "biosample_set"}, seed
