"""How cost grows, from the sizes that were measured to NMDC's database.

A measurement is taken for `fixed + a x aggregates + b x other documents`, with none of the three below zero, and fitted so
that the relative error is least. It needs three sizes of one run: another day's machine may be twice as fast.
"""

from collections.abc import Sequence
from itertools import combinations

from bench.report.results import Measured, group_runs
from bench.report.summary import show_seconds
from bench.report.table import table

NMDC_AGGREGATES = 54_800_000
NMDC_OTHERS = 365_000
"""NMDC's database, from its public repositories: aggregates, and all other documents that the schema describes."""
LEAST = 500_000
"""From fewer documents nothing is said about NMDC's: fixed costs and other programs would decide."""

_GROWING = (
    ("LinkML one by one", "validate.theirs"),
    ("refscan", "refscan.theirs"),
    ("the release's own adapter", "migrate.theirs"),
    ("**our release**: dump", "release.changing.dump"),
    ("&nbsp; migrate", "release.changing.migrate"),
    ("&nbsp; validate", "release.changing.validate"),
    ("&nbsp; restore", "release.changing.restore"),
    ("&nbsp; writes blocked", "release.changing.blocked"),
    ("a release that changes nothing: writes blocked", "release.unchanged.blocked"),
    ("reading everything from mongod, undecoded", "floors.read"),
    ("uncompressing the archive, verified", "floors.uncompress"),
)
_UNITS = (1.0, 1e-6, 1e-5)
"""Of the three terms: one, a million aggregates, a hundred thousand others."""

Terms = tuple[float, float, float]


def fit(points: Sequence[tuple[int, int, float]]) -> Terms | None:
    """Seconds that are fixed, per million aggregates and per hundred thousand others; None with fewer than three sizes.

    Args:
        points: aggregates, other documents and seconds.
    """
    if len(points) < len(_UNITS):
        return None
    rows = [
        [value / seconds for value in (1.0, aggregates * _UNITS[1], others * _UNITS[2])]
        for aggregates, others, seconds in points
        if seconds > 0
    ]
    # With three unknowns, trying which of them are zero is the simplest way not to get negative ones.
    best: tuple[float, Terms] | None = None
    for count in (1, 2, 3):
        for chosen in combinations(range(3), count):
            solved = _solve([[row[index] for index in chosen] for row in rows])
            if solved is None or min(solved) < 0:
                continue
            terms = [0.0, 0.0, 0.0]
            for index, value in zip(chosen, solved, strict=True):
                terms[index] = value
            error = sum((sum(a * b for a, b in zip(row, terms, strict=True)) - 1) ** 2 for row in rows)
            if best is None or error < best[0]:
                best = error, (terms[0], terms[1], terms[2])
    return best[1] if best else None


def predict(terms: Terms, aggregates: int, others: int) -> float:
    """Seconds at a size."""
    return terms[0] + terms[1] * aggregates * _UNITS[1] + terms[2] * others * _UNITS[2]


def tabulate_growth(results: Sequence[Measured]) -> list[str]:
    """What each costs, fixed and by what it grows with, and computed for NMDC's database; a sentence if that is not possible."""
    results = max(group_runs(results).values(), key=len, default=[])
    if len(results) < len(_UNITS) or max(one.documents for one in results) < LEAST:
        return [
            f"Not computed: this needs measurements of three sizes in one run, the largest of {LEAST:,} documents or more."
        ]
    rows = []
    for what, key in _GROWING:
        points = [(one.aggregates, one.others, seconds) for one in results if (seconds := one.seconds(key))]
        if (terms := fit(points)) is not None:
            at_nmdc = show_seconds(predict(terms, NMDC_AGGREGATES, NMDC_OTHERS))
            rows.append((what, *(f"{term:.2f}" for term in terms), at_nmdc))
    columns = ("", "fixed, s", "s per million aggregates", "s per 100,000 others", "55.2 million documents")
    return table(columns, rows)


def _solve(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """The least squares solution of `rows x = 1`, by the normal equations; None where it is not unique."""
    size = len(rows[0])
    matrix = [
        [sum(row[i] * row[j] for row in rows) for j in range(size)] + [sum(row[i] for row in rows)] for i in range(size)
    ]
    for column in range(size):
        pivot = max(range(column, size), key=lambda index: abs(matrix[index][column]))
        if abs(matrix[pivot][column]) < 1e-12:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        for index in range(size):
            if index != column:
                factor = matrix[index][column] / matrix[column][column]
                matrix[index] = [a - factor * b for a, b in zip(matrix[index], matrix[column], strict=True)]
    return [matrix[index][size] / matrix[index][index] for index in range(size)]
