"""What people ask of the benchmark: today's tools beside this project, at each size, as short tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.results import Measured
from bench.report.table import table

AT_LEAST = "≥ "
_MEGA = 1_000_000
_PROCESSES = {
    "a process of a pool": "each process that validates documents",
    "bench.scripts.native": "dump alone",
    "dagster": "Dagster, in which the steps run",
    "nmdc_release_ops.mongo.programs.guard": "the guard of the transformer's mongod",
    "python": "Python's own helpers",
    "tail": "`tail`, which copies logs for Dagster",
    "worker.migrating.migrate": "the migrators",
    "worker.validating.validate": "the process that leads validation",
}
"""What each kind of process is, for people."""


@dataclass(frozen=True)
class Comparison:
    """A line of a table.

    Attributes:
        ours: keys of the rows that are added up.
        today: the same of today's tools; empty where there is nothing to compare with.
        parts: what can be had of `today` where a tool is not installed, so that it takes at least as long.
    """

    what: str
    ours: tuple[str, ...]
    today: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def their_seconds(self, measured: Measured) -> tuple[float | None, bool]:
        """Seconds of today's tools, and whether these are all."""
        whole = measured.seconds(*self.today) if self.today else None
        if whole is not None:
            return whole, True
        found = [seconds for key in self.parts if (seconds := measured.seconds(key)) is not None]
        return (sum(found), False) if found and measured.seconds(self.parts[0]) is not None else (None, False)

    def cells(self, measured: Measured) -> tuple[str, str, str]:
        """Today's seconds, ours and the ratio, for people."""
        ours = measured.seconds(*self.ours)
        theirs, whole = self.their_seconds(measured)
        sign = "" if whole else AT_LEAST
        return (
            "" if theirs is None else f"{sign}{show_seconds(theirs)}",
            "" if ours is None else show_seconds(ours),
            "" if theirs is None or not ours else f"**{sign}{_show_ratio(theirs / ours)}**",
        )


# The migration CLI does not look at references: refscan is a second program, run apart.
_CLI_PARTS = ("validate.theirs", "migrate.theirs", "archive.dump.theirs", "archive.load.theirs")
_NO_MIGRATOR = tuple(key for key in _CLI_PARTS if key != "migrate.theirs")
WHOLE = Comparison("a release that changes three collections", ("release.changing",), ("today",), _CLI_PARTS)
BLOCKED = Comparison(
    "&nbsp; of which writes are blocked", ("release.changing.blocked",), ("today.blocked",), _CLI_PARTS
)
UNCHANGED = Comparison("a release that changes nothing", ("release.unchanged",), parts=_NO_MIGRATOR)
UNCHANGED_BLOCKED = Comparison("&nbsp; of which writes are blocked", ("release.unchanged.blocked",), parts=_NO_MIGRATOR)
MIGRATE = Comparison("run the migrators of 11.24.0", ("migrate.ours",), ("migrate.theirs",))
VALIDATE = Comparison("validate: LinkML one by one", ("validate.ours",), ("validate.theirs",))
DAMAGED = Comparison("&nbsp; with damaged documents", ("validate.ours.damaged",), ("validate.theirs",))
REFSCAN = Comparison("validate: refscan", ("refscan.ours",), ("refscan.theirs",))
BOTH = Comparison("validate: both, one after the other", ("validate.ours",), ("validate.theirs", "refscan.theirs"))
DUMP = Comparison("dump everything", ("archive.dump.ours",), ("archive.dump.theirs",))
LOAD = Comparison("load everything, verified", ("archive.load.ours",), ("archive.load.theirs",))

SUMMARY = (
    *(WHOLE, BLOCKED, UNCHANGED, UNCHANGED_BLOCKED, MIGRATE),
    *(VALIDATE, DAMAGED, REFSCAN, BOTH, DUMP, LOAD),
)
STEPS = (
    Comparison("dump", ("release.changing.dump",), ("today.dump",), ("archive.dump.theirs",)),
    Comparison(
        "load what is touched, and migrate",
        ("release.changing.migrate",),
        ("today.load", "today.migrate"),
        ("migrate.theirs", "archive.load.theirs"),
    ),
    Comparison(
        "validate, references included",
        ("release.changing.validate",),
        ("today.validate", "refscan.theirs"),
        ("validate.theirs", "refscan.theirs"),
    ),
    Comparison("write back", ("release.changing.restore",), ("today.restore",)),
)


def summarize(results: Sequence[Measured]) -> list[str]:
    """The short table: today's tools, ours and the ratio at each size."""
    return _compare(SUMMARY, results)


def tabulate_steps(results: Sequence[Measured]) -> list[str]:
    """A release that changes three collections, step by step, beside what does the same today."""
    return _compare((*STEPS, WHOLE, BLOCKED), results)


def tabulate_unchanged(results: Sequence[Measured]) -> list[str]:
    """A release that changes nothing, beside dumping and validating alone."""
    rows = []
    for one in results:
        blocked, alone = (one.seconds(f"release.unchanged.{key}") for key in ("blocked", "alone"))
        if blocked is None or not alone:
            continue
        parts = [one.seconds(f"release.unchanged.alone.{key}") or 0.0 for key in ("dump", "validate")]
        rows.append((f"{one.documents:,}", *map(show_seconds, (blocked, *parts)), f"**{blocked / alone:.2f}**"))
    return table(("documents", "writes blocked", "dump alone", "validate alone", "ratio"), rows) if rows else []


def tabulate_promotions(results: Sequence[Measured]) -> list[str]:
    """How long writes are blocked by a promotion, as a writer sees it, beside a release of the same."""
    measured = [one for one in results if one.find("promotion.nothing")]
    rows = [
        (what, *(_seconds(one, f"promotion.{key}.blocked") for one in measured))
        for key, what in (
            ("nothing", "`promote`, nothing written since the last round"),
            ("untouched", "`promote`, 500 writes a second to a collection that no migrator uses"),
            ("touched", "`promote`, 50 writes a second to one that a migrator changes"),
        )
    ]
    rows.append(("`data_release`", *(_seconds(one, "release.changing.blocked") for one in measured)))
    rows.append(
        ("99 of 100 writes during the rehearsal took at most", *(_milliseconds(one) for one in measured)),
    )
    return table(("writes blocked", *(f"{one.documents:,}" for one in measured)), rows) if measured else []


def _seconds(measured: Measured, key: str) -> str:
    seconds = measured.seconds(key)
    return "" if seconds is None else f"{seconds:.2f} s" if seconds < 10 else show_seconds(seconds)


def _milliseconds(measured: Measured) -> str:
    seconds = measured.seconds("promotion.untouched.latency")
    return "" if seconds is None else f"{1000 * seconds:.1f} ms"


def tabulate_floors(results: Sequence[Measured]) -> list[str]:
    """What the machine and its mongod can do, in documents a second, at the largest size."""
    measured = [one for one in results if one.find("floors.read")]
    if not measured:
        return []
    rows = [
        (row.what, show_seconds(row.seconds), f"{(row.processed or 0) / row.seconds:,.0f}")
        for row in measured[-1].rows
        if row.part == "floors" and row.seconds
    ]
    return table((f"at {measured[-1].documents:,} documents", "time", "documents / s"), rows)


def tabulate_room(results: Sequence[Measured]) -> list[str]:
    """Memory of the largest process of each kind, and the transformer's disk beside what was loaded."""
    released = [one for one in results if one.find("release.changing")]
    memories = [
        (number, row.memory)
        for number, one in enumerate(released)
        for row in one.rows
        if row.memory and row.part in ("release", "validate", "refscan") and "theirs" not in row.key
    ]
    kinds: dict[str, list[int]] = {}
    for number, memory in memories:
        for kind, held in memory.by_kind.items():
            largest = kinds.setdefault(kind, [0] * len(released))
            largest[number] = max(largest[number], held)
    rows: list[tuple[str, ...]] = [
        (
            f"memory: {_PROCESSES.get(kind, f'`{kind}`')}",
            *(f"{held / _MEGA:,.0f} MB" if held else "" for held in largest),
        )
        for kind, largest in sorted(kinds.items())
    ]
    for what, key in (("documents loaded", "loaded"), ("the transformer's files", "disk")):
        for kind, changes in (("changing", "three collections change"), ("unchanged", "nothing changes")):
            cells = [_megabytes(one, f"release.{kind}.{key}") for one in released]
            rows.append((f"disk: {what}, {changes}", *cells))
    return table(("", *(f"{one.documents:,}" for one in released)), rows) if released else []


def show_seconds(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min"


def _show_ratio(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _megabytes(measured: Measured, key: str) -> str:
    row = measured.find(key)
    return "" if row is None or row.megabytes is None else f"{row.megabytes:,.1f} MB"


def _compare(comparisons: Sequence[Comparison], results: Sequence[Measured]) -> list[str]:
    columns = [""]
    for one in results:
        columns += [f"{one.documents:,}: today", "ours", "ratio"]
    rows = []
    for comparison in comparisons:
        if any(one.seconds(*comparison.ours) for one in results):
            rows.append((comparison.what, *(cell for one in results for cell in comparison.cells(one))))
    return table(columns, rows) if rows else []
