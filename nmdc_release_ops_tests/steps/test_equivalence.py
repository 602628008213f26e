"""Promise 12: a promotion ends with exactly what a release, begun at the moment of the freeze, would have ended with.

`EQUIVALENCE_HISTORIES` is the number of histories of each kind, `EQUIVALENCE_SEED` that of the first one: a number, or `new`
for one that nobody has tried. Each history follows from its seed alone.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state.generations import PREVIOUS
from nmdc_release_ops.records.data_release import FreezeWindow
from nmdc_release_ops.schema.packages.candidate import fetch_candidate
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.prepared_release import AFTER, recorded_version
from nmdc_release_ops_tests.schema.forking.environments import forking_schema_folder
from nmdc_release_ops_tests.steps.driven_promotion import (
    Driven,
    Expected,
    advance_as_expected,
    drive,
    wrong_after_the_swap,
)
from nmdc_release_ops_tests.steps.equivalence_migrators import DELETED, RENAMED_TO, make_hard_checkout
from nmdc_release_ops_tests.steps.random_history import History
from nmdc_release_ops_tests.steps.random_writes import RandomWriter
from nmdc_release_ops_tests.steps.same_origin import SameOrigin, same_origin
from nmdc_release_ops_tests.workplace import failure_of

SEED = "EQUIVALENCE_SEED"
HISTORIES = int(os.environ.get("EQUIVALENCE_HISTORIES", 0))
_USUAL_SEED = 20_261_129
_USUAL_HISTORIES = 6
"""With NMDC's own migrators; the first two belong to `make test`."""
_USUAL_HARD_HISTORIES = 2
MOST_ROUNDS = 4
PUBLISHED = [SchemaVersion.parse(version) for version in ("11.24.0", "11.25.0")]


@pytest.fixture(scope="module")
def first_seed() -> int:
    wanted = os.environ.get(SEED) or _USUAL_SEED
    return random.randrange(2**32) if wanted == "new" else int(wanted)


@pytest.fixture
def rng(first_seed: int, number: int) -> random.Random:
    """What a history follows from."""
    print(f"{SEED}={first_seed + number}")  # noqa: T201
    return random.Random(first_seed + number)


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, warm_schema: Path, warm_transformer: PrivateMongod
) -> Iterator[SameOrigin]:
    with same_origin(tmp_path_factory.mktemp("published"), warm_schema, warm_transformer) as made:
        yield made


@pytest.mark.parametrize(
    "number", [0, 1, *(pytest.param(n, marks=pytest.mark.faults) for n in range(2, HISTORIES or _USUAL_HISTORIES))]
)
def test_whatever_people_write_a_promotion_ends_as_a_release_would(published: SameOrigin, rng: random.Random) -> None:
    published.put_back()
    rehearsed = published.workplace.rehearse(target_version="11.25", integrity="fail")
    assert rehearsed.success, failure_of(rehearsed)[1].description
    expected: list[Expected] = []

    def body(driven: Driven) -> None:
        writer = RandomWriter(published.database, driven.plan.managed, rng)
        writer.write(rng.randrange(30))
        with driven.open() as promotion:
            promotion.advance(driven.context, driven.rehearsed)
            writer.write(rng.randrange(30))
            put_right = writer.break_something()
            advance_as_expected(driven, promotion, driven.expect(), writer)
            put_right()
        writer.write(rng.randrange(30))
        expected.append(driven.expect(validate=False))

    assert drive(published.workplace, body).success
    assert wrong_after_the_swap(expected[-1], published.database) == []
    assert recorded_version(published.database.client) == AFTER


@pytest.fixture(scope="module")
def hard(
    tmp_path_factory: pytest.TempPathFactory, schema_cache: Path, warm_transformer: PrivateMongod
) -> Iterator[tuple[SameOrigin, Path]]:
    """With the release whose migrators are hard, and its checkout."""
    folder = tmp_path_factory.mktemp("hard")
    for name in ("packages", "environments"):
        (folder / "schema" / name).mkdir(parents=True)
        for there in (schema_cache / name).glob("11.2*"):
            (folder / "schema" / name / there.name).symlink_to(there)
    package = SchemaPackages(schema_cache).fetch(SchemaVersion.parse("11.25"))
    checkout = make_hard_checkout(package, folder / "checkout")
    candidate, _ = fetch_candidate(folder / "schema", str(checkout))
    releases = [*PUBLISHED, candidate]
    with (
        forking_schema_folder(folder / "forking", folder / "schema", releases, [candidate]) as schema,
        same_origin(folder, schema, warm_transformer) as made,
    ):
        yield made, checkout


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("number", range(HISTORIES or _USUAL_HARD_HISTORIES))
def test_whatever_disturbs_it_a_promotion_with_migrators_of_every_kind_ends_as_a_release_would(
    hard: tuple[SameOrigin, Path], rng: random.Random
) -> None:
    origin, checkout = hard
    origin.put_back()
    rehearsed = origin.workplace.rehearse(schema_source=str(checkout))
    assert rehearsed.success, failure_of(rehearsed)[1].description
    expected: list[Expected] = []

    def body(driven: Driven) -> None:
        History(driven, origin.database, rng).go_on(rng.randrange(1, MOST_ROUNDS + 1))
        expected.append(driven.expect())
        assert expected[-1].violations == []

    result = drive(origin.workplace, body)
    assert result.success
    assert wrong_after_the_swap(expected[-1], origin.database) == []
    assert recorded_version(origin.database.client) == "11.26.0"
    verification = FreezeWindow.model_validate(result.output_for_node("unfreeze_after_release")).verification
    assert verification is not None
    assert verification.not_compared == []
    source = {one.collection for one in verification.source}
    assert source >= {"field_research_site_set", RENAMED_TO, PREVIOUS + DELETED, PREVIOUS + "biosample_set"}
