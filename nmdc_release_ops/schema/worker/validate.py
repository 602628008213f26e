"""Judges every document of the transformer by the release's own schema, and collects all violations.

Parameters: `database`, `schema_version`, `collections`, `violations_path` (a file to write, JSON lines).
Messages: `validated` per collection, `violation` for the first few, and one `summary` at the end. Without a summary,
or with an exit code other than 0, nothing has been proved.
"""

import json
import multiprocessing
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes
from pymongo.database import Database

from .lots import Verdict, judge_lot, lots
from .parent import die_with_parent
from .release import require_version, transformer
from .telling import telling

SHOWN = 50
"""Violations that are reported as messages; all of them are in the file."""
SECONDS_BETWEEN_LINES = 5.0
MOST_PROCESSES = 8
"""Each holds the schema, some 200 MB."""
LOTS_AHEAD = 2
"""How many lots per process are handed out before the verdict on the first of them has been read."""


def main() -> int:
    die_with_parent(os.getppid())
    with open_dagster_pipes() as pipes, telling(pipes):
        require_version(pipes.extras["schema_version"])
        with transformer(pipes.extras["database"]) as database:
            _validate(pipes, database)
    return 0


def _validate(pipes: PipesContext, database: Database[dict[str, Any]]) -> None:
    names: list[str] = pipes.extras["collections"]
    totals = {name: database[name].count_documents({}) for name in names}
    done: Counter[str] = Counter()
    by_collection: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    shown = 0
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES
    with Path(pipes.extras["violations_path"]).open("w", encoding="utf-8") as file:
        for verdict in verdicts(database, names):
            done[verdict.collection] += verdict.documents
            for violation in verdict.violations:
                file.write(json.dumps(violation, ensure_ascii=False, default=str) + "\n")
                by_collection[verdict.collection] += 1
                by_kind[violation["violation"]] += 1
                if shown < SHOWN:
                    shown += 1
                    pipes.report_custom_message({"kind": "violation", **violation})
            if time.monotonic() > next_line:
                next_line = time.monotonic() + SECONDS_BETWEEN_LINES
                pipes.log.info(
                    f"judged {sum(done.values()):,} of {sum(totals.values()):,} documents "
                    f"({verdict.collection}: {done[verdict.collection]:,} of {totals[verdict.collection]:,})"
                )
    for name in names:
        pipes.report_custom_message(
            {"kind": "validated", "collection": name, "documents": done[name], "violations": by_collection[name]}
        )
    pipes.report_custom_message(
        {
            "kind": "summary",
            "documents": sum(done.values()),
            "violations": sum(by_kind.values()),
            "by_kind": dict(by_kind),
        }
    )


def verdicts(database: Database[dict[str, Any]], collections: list[str]) -> Iterator[Verdict]:
    """The verdict on each lot, in order. Only a few are under way, or waiting to be read, at any time."""
    # Linux tells which cores are ours; elsewhere it is all that there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(cores, MOST_PROCESSES)
    # Spawned, so that no process inherits another's connections. One that dies ends the work with BrokenProcessPool.
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=die_with_parent, initargs=(os.getpid(),)
    )
    under_way: deque[Future[Verdict]] = deque()
    with pool:
        for lot in lots(database, collections):
            under_way.append(pool.submit(judge_lot, lot))
            if len(under_way) > LOTS_AHEAD * processes:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


if __name__ == "__main__":
    sys.exit(main())
