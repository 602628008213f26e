"""Selections of steps that can be re-executed, beside a user who writes: no write is lost, nothing goes out that was not
validated, and nobody stays locked out. With EVERY_SELECTION=1 in the environment, all of them.
"""

import os
from collections.abc import Iterator
from itertools import combinations
from random import Random

import dagster as dg
import pytest

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.jobs import data_release, list_steps
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.prepared_release import (
    AFTER,
    BEFORE,
    PreparedRelease,
    data_hashes,
    failures_of,
    prepared_release_fixture,
    put_back,
    recorded_version,
)
from nmdc_release_ops_tests.workplace import workplace_fixture

pytestmark = pytest.mark.faults

STEPS = list_steps(data_release)
SELECTIONS = [chosen for size in range(1, len(STEPS) + 1) for chosen in combinations(STEPS, size)]
# Those of few steps, of nearly all, and of the last ones are always tried; of the others a third, always the same.
_ALWAYS = [one for one in SELECTIONS if len(one) <= 2 or len(one) >= 6 or one == STEPS[-len(one) :]]
_OTHERS = [one for one in SELECTIONS if one not in _ALWAYS]
TRIED = (
    SELECTIONS
    if os.environ.get("EVERY_SELECTION")
    else [*_ALWAYS, *Random(20_261_129).sample(_OTHERS, len(_OTHERS) // 3)]
)
# Without these, `restore` would be handed what belongs to an earlier archive.
CHAIN = {"dump", "migrate", "validate"}


def makes_a_chain(steps: tuple[str, ...]) -> bool:
    """Whether `restore` may swap in what these steps made: all of them, and for one plan."""
    return set(steps) >= CHAIN and ("plan" not in steps or "freeze" in steps)


workplace = workplace_fixture(scale=200, warm="workers")
made = prepared_release_fixture(patience=5)


class Writer:
    """A user who wrote to the origin after the first run's dump."""

    def __init__(self, release: PreparedRelease) -> None:
        self.release = release
        database = release.client[DATABASE]
        # One that the release changes, and one that it leaves alone.
        self.before = {name: database[name].find_one({}) for name in ("biosample_set", "instrument_set")}
        for name, document in self.before.items():
            database[name].update_one({"_id": document["_id"]}, {"$set": {"name": "written in between"}})
        self.data = data_hashes(release.client)

    def assert_kept(self) -> None:
        database = self.release.client[DATABASE]
        for name, document in self.before.items():
            found = database[name].find_one({"_id": document["_id"]})
            assert found is not None and found["name"] == "written in between", name

    def undo(self) -> None:
        database = self.release.client[DATABASE]
        for name, document in self.before.items():
            database[name].replace_one({"_id": document["_id"]}, document)


@pytest.fixture
def writer(made: PreparedRelease) -> Iterator[Writer]:
    found = Writer(made)
    yield found
    put_back(made.client)
    found.undo()
    made.put_back()


def assert_sound(release: PreparedRelease, writer: Writer, result: dg.JobExecutionResult, *, released: bool) -> None:
    """Whatever became of the run: nobody is locked out, and the data are whole, of the one version or of the other."""
    if not result.success:
        failures_of(result)
    assert current_lease(release.client) is None and is_write_blocked(release.client) is False
    writer.assert_kept()
    assert recorded_version(release.client) == (AFTER if released else BEFORE)
    if released:
        generations = release.client[DATABASE].data_generation_set
        assert generations.count_documents({"principal_investigator": {"$exists": True}}) == 0
    else:
        assert data_hashes(release.client) == writer.data


@pytest.mark.parametrize("steps", TRIED, ids="-".join)
def test_whichever_steps_are_re_executed_nothing_is_lost(
    made: PreparedRelease, writer: Writer, steps: tuple[str, ...]
) -> None:
    released = makes_a_chain(steps) and "restore" in steps
    result = made.execute(steps)
    assert_sound(made, writer, result, released=released)
    if released:
        assert result.success
        return
    again = made.execute(("restore", "unfreeze"), of_run=result.run_id)
    # A run that stopped before it had validated has nothing new to restore; one that stopped at `unfreeze` has.
    succeeded = {event.step_key for event in result.all_events if event.is_step_success}
    assert_sound(made, writer, again, released=makes_a_chain(steps) and succeeded >= CHAIN)


@pytest.mark.parametrize(
    "steps", [chosen for chosen in TRIED if "restore" in chosen and "validate" not in chosen], ids="-".join
)
def test_no_selection_without_validate_releases_an_invalid_document(
    made: PreparedRelease, steps: tuple[str, ...]
) -> None:
    instruments = made.client[DATABASE].instrument_set
    instruments.insert_one({"_id": "invalid", "no_such_slot": 1})
    try:
        result = made.execute(steps)
        assert not result.success
        failures_of(result)
        assert recorded_version(made.client) == BEFORE
        assert current_lease(made.client) is None and is_write_blocked(made.client) is False
    finally:
        instruments.delete_one({"_id": "invalid"})
        made.put_back()
