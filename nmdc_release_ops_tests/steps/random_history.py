"""A promotion of which each round is disturbed at random: people write, time runs out, the power fails, data become invalid."""

import random
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from pymongo.database import Database

from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.shared.failures import DocumentsInvalid
from nmdc_release_ops_tests.steps.crashing_stores import Countdown, PowerCut, crashing_stores
from nmdc_release_ops_tests.steps.driven_promotion import Driven, advance_as_expected, staged_of
from nmdc_release_ops_tests.steps.equivalence_migrators import DROP, LOOK
from nmdc_release_ops_tests.steps.random_writes import RandomWriter


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
