"""`archive`: dump and verified load of everything, ours against `mongodump` and `mongorestore` where those are installed.

`mongorestore` loads the very files that ours loads.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data import DATABASE, Data, ResultsDiffer
from bench.processes import Memory, run
from bench.report.table import Row, times_as_fast
from nmdc_release_ops.mongo.programs.tool_address import address_for_tools
from nmdc_release_ops.mongo.server.collections import collection_hashes

GOALS = {1_000_000: 1.0}
_COPIES = {"theirs": "bench_tools", "ours": "bench_native"}
_PROJECT = Path(__file__).parent.parent.parent


def measure(data: Data) -> Iterator[Row]:
    """Rows of dump and load; a tool that is not installed has one without seconds.

    Raises:
        ResultsDiffer: what was loaded is not what was dumped.
    """
    with data.scratch("archives") as folder:
        try:
            yield from _both(data, "dump", "mongodump", folder)
            yield from _both(data, "load", "mongorestore", folder)
        finally:
            for name in _COPIES.values():
                data.client.drop_database(name)


def _both(data: Data, work: str, tool: str, folder: Path) -> Iterator[Row]:
    seconds, memory = run_ours(data, work, folder / "ours")
    theirs = _run_tool(data, work, tool, folder)
    yield theirs
    yield Row(
        data.documents,
        f"archive.{work}.ours",
        {"dump": "our dump", "load": "our load of all collections, verified"}[work],
        seconds,
        ratio=times_as_fast(theirs.seconds, seconds, data.documents, GOALS) if theirs.seconds else "",
        memory=memory,
        notes="counts, sha256 and dbHash included",
    )


def run_ours(data: Data, work: str, folder: Path) -> tuple[float, Memory]:
    """Seconds and memory of a "dump" to `folder` or of a "load" from it.

    In a process of its own, whose start is not counted: a release's step has started already.
    """
    ran = run(
        [sys.executable, "-m", "bench.scripts.native", work, str(folder), DATABASE, _COPIES["ours"]],
        folder=_PROJECT,
        # Not on the command line, where every user of the machine could read the password.
        environment={**os.environ, "BENCH_URI": data.uri, "BENCH_COLLECTIONS": json.dumps(data.names)},
    )
    return float(ran.output), ran.memory


def _run_tool(data: Data, work: str, tool: str, folder: Path) -> Row:
    row: dict[str, Any] = {"documents": data.documents, "key": f"archive.{work}.theirs", "what": f"`{tool} --gzip`"}
    if not shutil.which(tool):
        return Row(**row, notes="not installed here")
    config = folder / "tools.yaml"
    config.touch(mode=0o600)
    # JSON is YAML.
    config.write_text(json.dumps({"uri": address_for_tools(data.uri)}))
    common = [tool, f"--config={config}", "--gzip"]
    if work == "dump":
        # What the release leaves alone is a few hundred documents.
        ran = run([*common, f"--db={DATABASE}", f"--out={folder / 'tools'}"], folder=folder)
        return Row(**row, seconds=ran.seconds, memory=ran.memory)
    copy = _COPIES["theirs"]
    chosen = [f"--nsInclude={DATABASE}.*", f"--nsFrom={DATABASE}.*", f"--nsTo={copy}.*"]
    ran = run([*common, *chosen, "--drop", f"--dir={folder / 'ours'}"], folder=folder)
    if collection_hashes(data.client[copy], data.names) != collection_hashes(data.client[DATABASE], data.names):
        raise ResultsDiffer(f"{tool} did not restore what was dumped")
    return Row(**row, seconds=ran.seconds, memory=ran.memory, notes="the same files as ours; it verifies nothing")
