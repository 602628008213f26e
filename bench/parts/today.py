"""`today`: a whole release by `nmdc-migration-cli`, where it, `mongodump` and `mongorestore` are installed.

It is part of the repository of nmdc-runtime (db/migrations/cli). It has to be installed together with the `nmdc-schema` of the
release; it is told to use that one, so that the seconds of an installation are not counted.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pymongo.uri_parser import parse_uri

from bench.data import DATABASE, Data, ResultsDiffer
from bench.parts.migrate import MIGRATOR
from bench.processes import ProgramFailed, run
from bench.report.table import Row
from nmdc_release_ops.mongo.server.collections import collection_hashes

COMMAND = "nmdc-migration-cli"
_TOOLS = (COMMAND, "mongodump", "mongorestore")
_WHAT = f"a release by `{COMMAND}`"
_STAMPED = Path(__file__).parent.parent / "scripts" / "stamped.py"
_BEGINS = "Revoked standard role privileges"
# The step of ours that does the same, and the line with which the command reports that it is done.
_STEPS = {
    "dump": "Dumped collections from origin",
    "load": "Restored collections into transformer",
    "migrate": "Migrated data within transformer",
    "validate": "Validated documents within transformer",
    "restore": "Restored collections into origin",
    "thaw": "Restored standard role privileges",
}


def measure(data: Data, released: bool) -> Iterator[Row]:
    """Rows of the whole and of each step; one without seconds where something is not installed, or the command fails.

    Args:
        released: whether `nmdc` is the same data after our release, so that the results can be compared.

    Raises:
        ResultsDiffer: the collections differ from those that our release made.
    """
    missing = [f"`{tool}`" for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        yield Row(data.documents, "today", _WHAT, notes=f"not installed here: {', '.join(missing)}")
        return
    with data.copy("bench_today") as database, data.scratch("today") as folder:
        try:
            ran = run(
                [sys.executable, str(_STAMPED), COMMAND, "migrate"],
                folder=folder,
                environment=_environment(data, database.name, folder),
            )
        except ProgramFailed as failure:
            yield Row(data.documents, "today", _WHAT, notes=f"it failed: {' '.join(str(failure).split())[-200:]}")
            return
        finally:
            data.client.drop_database("bench_transformer")
        if released and collection_hashes(database, data.names) != collection_hashes(data.client[DATABASE], data.names):
            raise ResultsDiffer(f"After {MIGRATOR}, {COMMAND} and our release made different collections")
    times = _read_times(ran.output)
    notes = "the same data as after our release; " if released else ""
    yield Row(data.documents, "today", _WHAT, ran.seconds, memory=ran.memory, notes=f"{notes}without refscan")
    yield Row(data.documents, "today.blocked", "&nbsp; writes blocked", times["thaw"] - times["begins"], processed=0)
    before = times["begins"]
    for step in _STEPS:
        yield Row(data.documents, f"today.{step}", f"&nbsp; {step}", times[step] - before, processed=0)
        before = times[step]


def _environment(data: Data, database: str, folder: Path) -> dict[str, str]:
    """The command's options, which it takes from variables too: others could read a password on the command line."""
    address = parse_uri(data.uri)
    host, port = address["nodelist"][0]
    options: dict[str, str] = {}
    for server, name in (("ORIGIN", database), ("TRANSFORMER", "bench_transformer")):
        options |= {
            f"{server}_MONGO_HOST": host,
            f"{server}_MONGO_PORT": str(port),
            f"{server}_MONGO_USERNAME": address["username"] or "",
            f"{server}_MONGO_PASSWORD": address["password"] or "",
            f"{server}_MONGO_DATABASE_NAME": name,
            f"{server}_DUMP_FOLDER_PATH": str(folder / server.lower()),
        }
    tools = {f"{tool.upper()}_PATH": shutil.which(tool) or "" for tool in _TOOLS[1:]}
    return {
        **os.environ,
        **options,
        **tools,
        "MIGRATOR_GIT_REF": "-INSTALLED",
        "MIGRATOR_MODULE_NAME": MIGRATOR,
        "COLLECTION_NAMES": " ".join(data.names),
        "PYTHONUNBUFFERED": "1",
        # Rich breaks lines at the terminal's width.
        "COLUMNS": "200",
    }


def _read_times(output: str) -> dict[str, float]:
    """When each step was done, in seconds since the command's start."""
    times: dict[str, float] = {}
    for line in output.splitlines():
        seconds, _, text = line.partition(" ")
        for step, words in {"begins": _BEGINS, **_STEPS}.items():
            if text.startswith(words):
                times[step] = float(seconds)
    return times
