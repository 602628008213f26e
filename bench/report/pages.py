"""The pages that show the results: docs/performance.md between its markers, docs/benchmarks.md, and the plot."""

from collections.abc import Sequence
from pathlib import Path

from bench.report.growth import tabulate_growth
from bench.report.plot import plot
from bench.report.results import Measured, describe_origin
from bench.report.summary import (
    summarize,
    tabulate_floors,
    tabulate_promotions,
    tabulate_room,
    tabulate_steps,
    tabulate_unchanged,
)
from bench.report.table import COLUMNS, table

PAGE = "performance.md"
LONG = "benchmarks.md"
PLOT = "performance.svg"
_MEGA = 1_000_000
_TABLES = {
    "summary": summarize,
    "steps": tabulate_steps,
    "unchanged": tabulate_unchanged,
    "promotions": tabulate_promotions,
    "floors": tabulate_floors,
    "growth": tabulate_growth,
    "room": tabulate_room,
}
_BEGIN, _END = "<!-- bench: {} -->", "<!-- end of bench: {} -->"


class MarkerMissing(Exception):
    """The page does not say where a table belongs."""


def publish(docs: Path, results: Sequence[Measured]) -> list[Path]:
    """Write everything that the results say into the folder `docs`; return the files.

    A table that the results do not suffice for stays as it is.

    Raises:
        MarkerMissing.
    """
    page, long, picture = docs / PAGE, docs / LONG, docs / PLOT
    page.write_text(fill_in(page.read_text(), results))
    long.write_text("\n".join(make_long_page(results)) + "\n")
    drawn = plot(results)
    if drawn is not None:
        picture.write_text(drawn)
    return [page, long, *([picture] if drawn is not None else [])]


def fill_in(page: str, results: Sequence[Measured]) -> str:
    """The text of a page with the tables between its markers, each with where and when it was measured.

    Raises:
        MarkerMissing.
    """
    origin = describe_origin(results)
    for name, tabulate in _TABLES.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        if begin not in page or end not in page:
            raise MarkerMissing(f"{PAGE} needs the lines {begin} and {end}, between which the table is written")
        if lines := tabulate(results):
            content = "\n".join((begin, "", *lines, "", f"<sub>{origin}</sub>", "", end))
            before, _, rest = page.partition(begin)
            page = before + content + rest.partition(end)[2]
    return page


def make_long_page(results: Sequence[Measured]) -> list[str]:
    """The page with every row."""
    lines = [
        "# Benchmarks, row by row",
        "",
        "`make bench` writes this page; [performance.md](performance.md) says what the rows mean. Compare ratios, not seconds: "
        "these depend on the machine and its load.",
        "",
        *(f"- [{one.documents:,} documents](#{one.documents}-documents)" for one in results),
    ]
    for one in results:
        lines += [
            "",
            f"## {one.documents:,} documents",
            "",
            f"{one.aggregates:,} of them are aggregates. {describe_origin([one])} The run took {one.minutes:.0f} minutes. The "
            f"mongod with the data and all their copies used at most {one.server / _MEGA:,.0f} MB.",
            "",
            *table(COLUMNS, (row.cells() for row in one.rows)),
        ]
    return lines
