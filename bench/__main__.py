"""`make bench`: what this project does, side by side with today's tools, on the same data in one run.

Prints a table and a summary of it, and writes both to bench/results.md, and a plot to bench/results.svg.
docs/performance.md describes the rows.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import archive, migrate, refscan, unchanged, validate
from bench.data import Data, demo_data
from bench.summary import plot, summarize
from bench.table import Row, heading, line_of, machine
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion

PARTS = ("migrate", "archive", "validate", "refscan", "unchanged")
SIZES = (20_000, 200_000, 1_000_000)
BASELINE_DOCUMENTS = 200_000
RESULTS = Path(__file__).parent / "results.md"
PLOT = Path(__file__).parent / "results.svg"


def main() -> None:
    # Servers are stopped and folders removed also on SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = _parse()
    home = ReleaseHomeResource()
    lines: list[str] = []
    rows: list[Row] = []

    def report(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    versions: set[str] = set()
    notes: list[str] = []
    for line in heading():
        report(line)
    for scale in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for row in _measure(scale, Path(folder), home, arguments, versions, notes):
                rows.append(row)
                report(line_of(row))
    report("")
    for line in summarize(rows):
        report(line)
    report("")
    for note in (*notes, machine(", ".join(sorted(versions)) or "of the origin")):
        report(f"{note}\n")
    RESULTS.write_text("\n".join(lines))
    if (drawn := plot(rows)) is not None:
        PLOT.write_text(drawn)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="approximate numbers of documents")
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
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    arguments.parts = arguments.parts or list(PARTS)
    return arguments


def _measure(
    scale: int,
    folder: Path,
    home: ReleaseHomeResource,
    arguments: argparse.Namespace,
    versions: set[str],
    notes: list[str],
) -> Iterator[Row]:
    if set(arguments.parts) - {"unchanged"}:
        with demo_data(folder, scale, SchemaPackages(home.schema_folder)) as data:
            versions.add(data.mongod_version)
            yield from _on_copies(data, home, arguments)
            notes.append(
                f"The mongod with {data.documents:,} documents and all their copies used at most "
                f"{data.mongod_memory / 1_000_000:,.0f} MB."
            )
    if "unchanged" in arguments.parts:
        (folder / "release").mkdir()
        yield from unchanged.measure(folder / "release", scale, home)


def _on_copies(data: Data, home: ReleaseHomeResource, arguments: argparse.Namespace) -> Iterator[Row]:
    environments = SchemaEnvironments(home.schema_folder)
    migrating, target = (environments.prepare(SchemaVersion.parse(version)) for version in unchanged.RELEASES)
    compiled = CompiledSchemas(home.schema_folder).prepare(target)
    if "migrate" in arguments.parts:
        yield from migrate.measure(data, migrating)
        if arguments.profile:
            print(migrate.profile(data, migrating), flush=True)
    if "archive" in arguments.parts:
        yield from archive.measure(data)
    if "validate" in arguments.parts:
        cap = arguments.baseline_documents
        # Slightly more documents than the limit do not need a sample.
        yield from validate.measure(
            data, migrating, target, compiled, cap if cap and data.documents > 1.2 * cap else None
        )
    if "refscan" in arguments.parts:
        yield from refscan.measure(data, migrating, target, compiled, home.path, arguments.skip_aggregates)


if __name__ == "__main__":
    main()
