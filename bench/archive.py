"""`archive`: dump and verified load, ours against `mongodump --gzip` and `mongorestore` where those are installed."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.data import DATABASE, Data
from bench.processes import Memory, run
from bench.table import Row, times_as_fast
from nmdc_release_ops.mongo.programs.tool_address import address_for_tools

DUMP_GOAL = 1
LOAD_GOAL = 2
_THEIRS = {"dump": "mongodump", "load": "mongorestore"}
_OURS = {"dump": "native dump", "load": "native load, verified"}


def measure(data: Data) -> Iterator[Row]:
    """Rows of dump and load; a tool that is not installed has one without seconds."""
    with data.scratch("archives") as folder:
        try:
            for work, goal in (("dump", DUMP_GOAL), ("load", LOAD_GOAL)):
                theirs = _theirs(data, work, folder)
                yield theirs
                seconds, memory = _ours(data, work, folder)
                yield Row(
                    data.documents,
                    "archive",
                    _OURS[work],
                    seconds,
                    ratio=times_as_fast(theirs.seconds, seconds, goal) if theirs.seconds else "",
                    memory=memory,
                    notes={"dump": "counts, sha256 and dbHash included", "load": "sha256, counts and dbHash included"}[
                        work
                    ],
                )
        finally:
            for name in ("bench_native", "bench_tools"):
                data.client.drop_database(name)


def _ours(data: Data, work: str, folder: Path) -> tuple[float, Memory]:
    """In a process of its own, whose start is not counted: a release's step has started already."""
    ran = run(
        [sys.executable, "-m", "bench.scripts.native", work, str(folder / "native"), DATABASE, "bench_native"],
        folder=Path(__file__).parent.parent,
        # Not on the command line, where every user of the machine could read the password.
        environment={**os.environ, "BENCH_URI": data.uri, "BENCH_COLLECTIONS": json.dumps(data.names)},
    )
    return float(ran.output), ran.memory


def _theirs(data: Data, work: str, folder: Path) -> Row:
    tool = _THEIRS[work]
    what = f"`{tool} --gzip`"
    if not shutil.which(tool):
        return Row(data.documents, "archive", what, notes="not installed here")
    config = folder / "tools.yaml"
    config.touch(mode=0o600)
    # JSON is YAML.
    config.write_text(json.dumps({"uri": address_for_tools(data.uri)}))
    out = str(folder / "tools")
    if work == "dump":
        # What the release leaves alone is a few hundred documents.
        command = [tool, f"--config={config}", f"--db={DATABASE}", "--gzip", f"--out={out}"]
    else:
        renamed = [f"--nsFrom={DATABASE}.*", "--nsTo=bench_tools.*"]
        chosen = [f"--nsInclude={DATABASE}.*"]
        command = [tool, f"--config={config}", *chosen, *renamed, "--gzip", "--drop", f"--dir={out}"]
    ran = run(command, folder=folder)
    return Row(data.documents, "archive", what, ran.seconds, memory=ran.memory)
