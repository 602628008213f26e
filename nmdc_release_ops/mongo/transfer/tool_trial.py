"""Trying the Database Tools on a server, before a release depends on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.programs.database_tools import MONGODUMP, MONGORESTORE, Invocation, ToolFailed, run
from nmdc_release_ops.mongo.server.connection import nodes_of
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.transfer.mongorestore import EXACTLY

# No collection has this name: a release names its own collections `_release.`, staged, previous, intruder or aside.
_ABSENT = "_release.trial"


class ToolUnusable(MongoError):
    """A tool cannot work with a server that the driver works with."""


def try_tools(uri: str, database: str, *, whose: str, folder: Path, log: Log) -> None:
    """Run `mongodump` and `mongorestore` against a server: both connect and log in; nothing is read or written.

    Args:
        uri: of a server that the driver is connected to.
        whose: what to call the server in errors.
        folder: for the files with the connection string, while the tools run.
        log: receives what both log.

    Raises:
        ToolUnusable: with the tool's own message.
        AddressUnresolved: see `address_for_tools`.
    """
    with TemporaryDirectory(prefix=".trial-", dir=folder) as scratch:
        nothing, written = Path(scratch) / "empty", Path(scratch) / "dump"
        nothing.mkdir()
        for tool, arguments in (
            (MONGODUMP, [f"--db={database}", f"--collection={_ABSENT}", "--gzip", f"--out={written}"]),
            (MONGORESTORE, [*EXACTLY, "--dryRun", "--gzip", f"--dir={nothing}"]),
        ):
            with _naming(tool, uri, whose):
                run(Invocation(tool, arguments, uri), folder=folder, log=log)


@contextmanager
def _naming(tool: str, uri: str, whose: str) -> Iterator[None]:
    try:
        yield
    except ToolFailed as error:
        raise ToolUnusable(
            f"{tool} cannot work with the {whose} at {', '.join(nodes_of(uri))}, although the Python driver can: {error}\n"
            "Correct the connection string as the tool says, or launch with engine: native."
        ) from None
