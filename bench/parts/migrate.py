"""`migrate`: our adapter compared with the release's own, on the same data, with the same result."""

import io
import json
import pstats
from collections.abc import Iterator
from pathlib import Path

from bench.data import Data, ResultsDiffer
from bench.environments import run_script
from bench.processes import Ran
from bench.report.table import Row, times_as_fast
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment

MIGRATOR = "migrator_from_11_23_0_to_11_24_0"
GOALS = {1_000_000: 10.0}
_PROFILED = 25


def measure(data: Data, environment: SchemaEnvironment) -> Iterator[Row]:
    """Rows of both adapters, one copy of the data each.

    Raises:
        ResultsDiffer: a collection differs after the two, or the migrator changed nothing.
    """
    with data.copy("bench_theirs") as theirs, data.copy("bench_ours") as ours, data.scratch("migrate") as folder:
        before = collection_hashes(ours, data.names)
        their_seconds, their_run, _ = _upgrade(data, environment, theirs.name, "theirs", folder)
        our_seconds, our_run, written = _upgrade(data, environment, ours.name, "ours", folder)
        their_hashes, our_hashes = (collection_hashes(database, data.names) for database in (theirs, ours))
    differing = sorted(name for name in data.names if their_hashes.get(name) != our_hashes.get(name))
    if differing:
        raise ResultsDiffer(f"After {MIGRATOR}, these collections differ: {', '.join(differing)}")
    changed = [name for name in data.names if before[name] != our_hashes[name]]
    if not changed:
        raise ResultsDiffer(f"{MIGRATOR} changed nothing")
    touched = sum(part.documents for part in data.manifest.collections if part.name in changed)
    yield Row(
        data.documents,
        "migrate.theirs",
        "the release's `MongoAdapter`",
        their_seconds,
        processed=0,
        memory=their_run.memory,
        notes=f"{touched:,} documents in the {len(changed)} collections that it changes; "
        f"plus {their_run.seconds - their_seconds:.1f} s to start the process",
    )
    yield Row(
        data.documents,
        "migrate.ours",
        "our adapter",
        our_seconds,
        processed=0,
        ratio=times_as_fast(their_seconds, our_seconds, data.documents, GOALS),
        memory=our_run.memory,
        notes=f"{written:,} writes; dbHash of all {len(data.names)} collections is the same after both; "
        f"plus {our_run.seconds - our_seconds:.1f} s to start the process",
    )


def profile(data: Data, environment: SchemaEnvironment) -> str:
    """A profile of our adapter, by own time and by cumulative time."""
    with data.copy("bench_ours") as ours, data.scratch("profile") as folder:
        stats = folder / "stats"
        _upgrade(data, environment, ours.name, "ours", folder, stats)
        text = io.StringIO()
        for order in ("tottime", "cumulative"):
            pstats.Stats(str(stats), stream=text).sort_stats(order).print_stats(_PROFILED)
    return text.getvalue()


def _upgrade(
    data: Data, environment: SchemaEnvironment, database: str, whose: str, folder: Path, stats: Path | None = None
) -> tuple[float, Ran, int]:
    """Seconds that `upgrade` took, the process that ran it, and the number of documents that it wrote."""
    arguments = [database, MIGRATOR, whose, *([str(stats)] if stats else [])]
    ran = run_script(environment, "one_migrator.py", data.uri, arguments, folder)
    printed = json.loads(ran.output.splitlines()[-1])
    return printed["seconds"], ran, printed["written"]
