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
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from dagster_pipes import PipesContext, open_dagster_pipes

from .lots import die_with_parent, judge_lot, lots
from .release import require_version, transformer
from .telling import telling

SHOWN = 50
"""Violations that are reported as messages; all of them are in the file."""
SECONDS_BETWEEN_LINES = 5.0
MOST_PROCESSES = 8


def main() -> int:
    with open_dagster_pipes() as pipes, telling(pipes):
        require_version(pipes.extras["schema_version"])
        _validate(pipes)
    return 0


def _validate(pipes: PipesContext) -> None:
    names: list[str] = pipes.extras["collections"]
    database = transformer(pipes.extras["database"])
    totals = {name: database[name].count_documents({}) for name in names}
    done: Counter[str] = Counter()
    by_collection: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    shown = 0
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES
    # Spawned, so that no process inherits another's connections. One that dies ends the work with BrokenProcessPool.
    processes = ProcessPoolExecutor(
        min(len(os.sched_getaffinity(0)), MOST_PROCESSES),
        multiprocessing.get_context("spawn"),
        initializer=die_with_parent,
        initargs=(os.getpid(),),
    )
    with (
        Path(pipes.extras["violations_path"]).open("w", encoding="utf-8") as file,
        processes as pool,
    ):
        for verdict in pool.map(judge_lot, lots(pipes.extras["database"], names)):
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


if __name__ == "__main__":
    sys.exit(main())
