"""`make bench`: dump and load, ours and, where they are installed, `mongodump` and `mongorestore`, on the same data in one run.

Prints a table and writes it to bench/results.md. Seconds depend on the machine and what else it does: compare ratios.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE, DemoOrigin
from nmdc_release_ops.mongo.clock import ClusterTime
from nmdc_release_ops.mongo.collections import list_collections
from nmdc_release_ops.mongo.dump import dump
from nmdc_release_ops.mongo.load import load

SCALES = [int(argument) for argument in sys.argv[1:]] or [20_000, 200_000, 1_000_000]
RESULTS = Path(__file__).parent / "results.md"


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def measure(scale: int, folder: Path) -> list[tuple[str, ...]]:
    """Rows of (documents, what, seconds, documents per second)."""
    origin = DemoOrigin.create(folder / "origin", scale=scale, tell=lambda _: None)
    rows: list[tuple[str, ...]] = []

    def row(what: str, took: float, documents: int) -> None:
        rows.append((f"{documents:,}", what, f"{took:.2f}", f"{documents / took:,.0f}"))

    try:
        with MongoClient[Any](origin.server.uri) as client:
            database, copy = client[DATABASE], client["copy"]
            names = [name for name, found in list_collections(database).items() if found.kind == "collection"]
            now = ClusterTime(seconds=1, increment=1)
            archive = folder / "archive"
            took, manifest = seconds(lambda: dump(database, names, archive, release_id="bench", cluster_time=now))
            row("native dump", took, manifest.documents)
            took, _ = seconds(lambda: load(archive, manifest, copy))
            row("native load, verified", took, manifest.documents)
            client.drop_database("copy")
            for what, command in tools(origin.server.uri, folder).items():
                took, _ = seconds(lambda command=command: subprocess.run(command, check=True, capture_output=True))
                row(what, took, manifest.documents)
    finally:
        origin.stop()
    return rows


def tools(uri: str, folder: Path) -> dict[str, list[str]]:
    """The commands of MongoDB's own tools, in the order in which they have to run; those that are installed."""
    out = str(folder / "tools")
    # Not on the command line, where every user of the machine could read the password.
    config = folder / "tools.yaml"
    config.touch(mode=0o600)
    config.write_text(f"uri: {uri}\n")
    renamed = [f"--nsFrom={DATABASE}.*", "--nsTo=copy.*", "--gzip", "--drop", f"--dir={out}"]
    commands = {
        "mongodump --gzip": ["mongodump", f"--config={config}", f"--db={DATABASE}", "--gzip", f"--out={out}"],
        "mongorestore": ["mongorestore", f"--config={config}", f"--nsInclude={DATABASE}.*", *renamed],
    }
    return {what: command for what, command in commands.items() if shutil.which(command[0])}


def main() -> None:
    lines = ["| documents | what | seconds | documents per second |", "|---|---|---|---|"]
    for scale in SCALES:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for row in measure(scale, Path(folder)):
                lines.append(f"| {' | '.join(row)} |")
                print(lines[-1], flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines.append(f"\nThe largest memory of this process was {peak:,.0f} MB, over all sizes.")
    if not shutil.which("mongodump"):
        lines.append("`mongodump` and `mongorestore` are not installed here, so that there is nothing to compare with.")
    print("\n".join(lines[-2:]))
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
