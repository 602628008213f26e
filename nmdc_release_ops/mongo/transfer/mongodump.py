"""The engine `mongo-tools`: dumping with `mongodump`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.files import MAKE_ROOM
from nmdc_release_ops.mongo.archive.adopt import Dumped, list_dumped, survey
from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Engine, Manifest
from nmdc_release_ops.mongo.archive.metadata import to_extended_json
from nmdc_release_ops.mongo.programs.database_tools import MONGODUMP, Invocation, ToolFailed, run
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import Collection
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.transfer.dump import write_archive


def dump_with_mongodump(
    database: Database[Document],
    uri: str,
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    cluster_time: ClusterTime,
    log: Log,
) -> Manifest:
    """Write the collections `names` of a frozen database to the new folder `folder`, with `mongodump`.

    Args:
        uri: of the server that `database` is on.
        log: receives what `mongodump` logs.
        cluster_time: a moment since which nothing has been written.

    Raises:
        DumpFailed: `mongodump` failed, or a collection changed during the dump.
        HashUnavailable: see `collection_hashes`.
    """

    def write(described: Mapping[str, Collection], aside: Path) -> list[ArchivedCollection]:
        others = sorted(set(database.list_collection_names()) - described.keys())
        try:
            run(
                Invocation(MONGODUMP, dump_arguments(database.name, others, aside), uri),
                folder=folder.parent,
                log=log,
            )
        except ToolFailed as error:
            raise DumpFailed(
                f"The archive could not be written to {folder}: {error}\nIf the disk is full: {MAKE_ROOM} Otherwise correct the "
                "cause and re-execute the run from this step, or launch with engine: native."
            ) from error
        for path in (aside, aside / database.name):
            path.chmod(0o700)
        dumped = list_dumped(aside, database.name)
        if missing := sorted(described.keys() - dumped.keys()):
            raise DumpFailed(
                f"mongodump wrote no files for {', '.join(missing)}, and reported no error. Re-execute the run from this "
                "step, or launch with engine: native."
            )
        wanted = [_with_listed_definition(dumped[name], collection) for name, collection in described.items()]
        _remove_other_files(wanted, aside)
        return [survey(aside, one) for one in wanted]

    return write_archive(
        database,
        names,
        folder,
        write,
        engine=Engine.MONGO_TOOLS,
        release_id=release_id,
        cluster_time=cluster_time,
    )


def dump_arguments(database: str, others: Iterable[str], folder: Path) -> list[str]:
    """Arguments of `mongodump` that dump a database without the collections `others`.

    `mongodump` accepts either a single collection or a list of exclusions.
    """
    return [
        f"--db={database}",
        *(f"--excludeCollection={name}" for name in others),
        "--gzip",
        f"--out={folder}",
    ]


def _with_listed_definition(dumped: Dumped, collection: Collection) -> Dumped:
    """What `mongodump` wrote, with options and indexes as the server listed them: these are compared later."""
    return replace(
        dumped,
        options=to_extended_json(dict(collection.options)),
        indexes=[to_extended_json(dict(index)) for index in collection.indexes],
    )


def _remove_other_files(wanted: Iterable[Dumped], folder: Path) -> None:
    """Newer versions of `mongodump` write a file about themselves, which this project does not need."""
    kept = {folder / file for one in wanted for file in (one.file, one.metadata_file)}
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()
