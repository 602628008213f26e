"""`make bench`: what this project does, side by side with today's tools, on the same data in one run.

Prints each row as it is measured, then the tables. A run of everything keeps what it measured in bench/results.json, and
rewrites docs/benchmarks.md, the plot, and the tables of docs/performance.md, which describes the rows; a run of some of it does
so only if told to (--publish).
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.data import Data, demo_data
from bench.machine import Neighbours, describe_machine, describe_versions
from bench.parts import archive, floors, migrate, promotion, refscan, release, today, validate
from bench.report.growth import tabulate_growth
from bench.report.pages import publish
from bench.report.results import Measured, describe_origin, merge, read_results, write_results
from bench.report.summary import (
    summarize,
    tabulate_floors,
    tabulate_promotions,
    tabulate_room,
    tabulate_steps,
    tabulate_unchanged,
)
from bench.report.table import COLUMNS, Row, line
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion

PARTS = ("floors", "migrate", "archive", "validate", "refscan", "promotion", "release", "today")
SIZES = (20_000, 200_000, 1_000_000)
BASELINE_DOCUMENTS = 200_000
KEPT = Path(__file__).parent / "results.json"
DOCS = Path(__file__).parent.parent / "docs"
_TABLES = (
    summarize,
    tabulate_steps,
    tabulate_unchanged,
    tabulate_promotions,
    tabulate_floors,
    tabulate_growth,
    tabulate_room,
)


def main() -> None:
    # Servers are stopped and folders removed also on SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = _parse()
    if arguments.pages:
        _publish(read_results(KEPT))
        return
    home = ReleaseHomeResource()
    # A whole run begins anew: results of other sizes could be of another machine, or of an earlier version.
    kept = [] if arguments.whole else read_results(KEPT)
    results: list[Measured] = []
    for scale in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results.append(_measure_size(scale, Path(folder), home, arguments))
        # Also where a later size fails.
        if arguments.publish:
            write_results(KEPT, merge(kept, results))
    for tabulate in _TABLES:
        print("\n".join(["", *tabulate(results)]))
    print(f"\n{describe_origin(results)}")
    if arguments.publish:
        _publish(merge(kept, results))
    else:
        print("\nNothing was written. --publish (PUBLISH=1) keeps the results and rewrites the tables in docs/.")


def _publish(results: list[Measured]) -> None:
    for file in publish(DOCS, results):
        print(f"wrote {file}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--sizes", nargs="+", type=int, help="approximate numbers of documents")
    parser.add_argument(
        "--baseline-documents",
        type=int,
        default=BASELINE_DOCUMENTS,
        help="approximate size of the sample that LinkML's validator validates if there are more documents; 0: all",
    )
    parser.add_argument(
        "--skip-aggregates", action="store_true", help="let refscan leave out functional_annotation_agg"
    )
    parser.add_argument("--profile", action="store_true", help="also print a profile of our adapter")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="keep the results beside those of other sizes, and rewrite the tables in docs/; a run of all parts at the usual "
        "sizes always does, and replaces all earlier results",
    )
    parser.add_argument("--pages", action="store_true", help="measure nothing: write the pages from what was kept")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    arguments.whole = not arguments.parts and not arguments.sizes
    arguments.publish = arguments.publish or arguments.whole
    arguments.parts = arguments.parts or list(PARTS)
    arguments.sizes = arguments.sizes or list(SIZES)
    return arguments


def _measure_size(scale: int, folder: Path, home: ReleaseHomeResource, arguments: argparse.Namespace) -> Measured:
    """Measure what was asked for at one size, and print each row."""
    environments = SchemaEnvironments(home.schema_folder)
    migrating, target = (environments.prepare(SchemaVersion.parse(version)) for version in release.RELEASES)
    compiled = CompiledSchemas(home.schema_folder).prepare(target)
    started, neighbours = time.monotonic(), Neighbours()
    print("\n".join(["", line(COLUMNS), line("---" for _ in COLUMNS)]), flush=True)
    rows = []
    with demo_data(folder, scale, SchemaPackages(home.schema_folder)) as data:
        for row in _measure(data, migrating, target, compiled, home, arguments):
            rows.append(row)
            print(line(row.cells()), flush=True)
        documents, aggregates = data.documents, data.aggregates
        versions = describe_versions(data.mongod_version, target.packages)
        server = data.mongod_memory
    return Measured(
        scale,
        documents,
        aggregates,
        machine=describe_machine(),
        versions=versions,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        minutes=(time.monotonic() - started) / 60,
        neighbours=neighbours.cores(),
        server=server,
        rows=rows,
    )


def _measure(
    data: Data,
    migrating: SchemaEnvironment,
    target: SchemaEnvironment,
    compiled: Path,
    home: ReleaseHomeResource,
    arguments: argparse.Namespace,
) -> Iterator[Row]:
    chosen = arguments.parts
    if "floors" in chosen:
        yield from floors.measure(data)
    if "migrate" in chosen:
        yield from migrate.measure(data, migrating)
        if arguments.profile:
            print(migrate.profile(data, migrating), flush=True)
    if "archive" in chosen:
        yield from archive.measure(data)
    if "validate" in chosen:
        cap = arguments.baseline_documents
        # Slightly more documents than the limit do not need a sample.
        sampled = cap if cap and data.documents > 1.2 * cap else None
        yield from validate.measure(data, migrating, target, compiled, sampled)
    if "refscan" in chosen:
        yield from refscan.measure(data, migrating, target, compiled, home.path, arguments.skip_aggregates)
    # These change the data themselves, and come last.
    if "promotion" in chosen:
        yield from promotion.measure(data, home)
    if "release" in chosen:
        yield from release.measure(data, target, compiled, home)
    if "today" in chosen:
        yield from today.measure(data, released="release" in chosen)


if __name__ == "__main__":
    main()
