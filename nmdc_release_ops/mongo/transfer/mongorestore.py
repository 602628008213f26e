"""The engine `mongo-tools`: loading and staging with `mongorestore`."""

from collections.abc import Iterable
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.mongo.archive.file_names import reads_back
from nmdc_release_ops.mongo.archive.manifest import Manifest, verify
from nmdc_release_ops.mongo.programs.database_tools import MONGODUMP, MONGORESTORE, Invocation, ToolFailed, run
from nmdc_release_ops.mongo.server.collections import Collection
from nmdc_release_ops.mongo.server.connection import Connected, Document
from nmdc_release_ops.mongo.server.progress import Log, Report, silent
from nmdc_release_ops.mongo.server.raw import may_hold_empty_timestamp, read_raw
from nmdc_release_ops.mongo.transfer.load import LoadFailed, load, load_collection, may_hold_empty_timestamps, prove
from nmdc_release_ops.mongo.transfer.stage import Staged, stage, stage_with

EXACTLY = [
    # In the dumped order, which capped collections need; stops at the first error.
    "--maintainInsertionOrder",
    # Every document was in such a collection before, whatever its rules say now.
    "--bypassDocumentValidation",
]
"""Options that restore exactly what was dumped, or fail."""


def load_with_mongorestore(
    folder: Path, manifest: Manifest, database: Database[Document], uri: str, *, report: Report = silent, log: Log
) -> None:
    """Load a whole archive into `database`, which is emptied first, with `mongorestore`, and verify the result.

    The driver loads what `mongorestore` would not restore exactly. If a file changes after it was verified and before
    `mongorestore` reads it, counts and hashes differ.

    Args:
        uri: of the server that `database` is on.
        report: receives the driver's progress.
        log: receives what `mongorestore` logs.

    Raises:
        ArchiveDamaged: a file is not what was dumped. Nothing was loaded.
        LoadFailed: `mongorestore` failed, or counts, hashes, options or indexes differ after loading.
    """
    if misread := [one.name for one in manifest.collections if not reads_back(one.metadata_file, one.name)]:
        log(
            f"The archive is loaded with the driver: mongorestore would restore {', '.join(misread)} under other names, because "
            "of their file names."
        )
        load(folder, manifest, database, report=report)
        return
    verify(folder, manifest)
    for_driver = [one for one in manifest.collections if may_hold_empty_timestamps(folder, one)]
    database.client.drop_database(database.name)
    if len(for_driver) < len(manifest.collections):
        arguments = load_arguments(manifest.database, database.name, [one.name for one in for_driver], folder)
        try:
            run(Invocation(MONGORESTORE, arguments, uri), folder=folder.parent, log=log)
        except ToolFailed as error:
            raise LoadFailed(
                f"The archive {folder} could not be loaded: {error}\nCorrect the cause and re-execute the run from "
                "`migrate`."
            ) from error
    for one in for_driver:
        log(f"{one.name} is loaded with the driver: {_EMPTY_TIMESTAMP}.")
        load_collection(folder, one, database, report=report)
    prove(folder, manifest, database)


# Servers before 6.0.17, 7.0.13 and 8.0 have no option to keep them. There `mongorestore` inserts each such document
# separately, out of order and without bypassing validation, and updates it afterwards. Versions of `mongorestore` before
# 100.12 let the server replace them with the present moment.
_EMPTY_TIMESTAMP = "it holds an empty timestamp, Timestamp(0, 0), which mongorestore does not restore exactly"


def load_arguments(source: str, target: str, without: Iterable[str], folder: Path) -> list[str]:
    """Arguments of `mongorestore` that load the database `source` of an archive as the database `target`.

    Args:
        without: collections that it does not load.
    """
    return [
        *EXACTLY,
        f"--nsInclude={escape(source)}.*",
        f"--nsFrom={escape(source)}.*",
        f"--nsTo={escape(target)}.*",
        *(f"--nsExclude={escape(source)}.{escape(name)}" for name in without),
        "--gzip",
        f"--dir={folder}",
    ]


def stage_with_mongorestore(
    transformer: Connected,
    origin: Connected,
    name: str,
    expected_hash: str,
    *,
    folder: Path,
    report: Report,
    log: Log,
) -> Staged:
    """Copy the collection `name` of the transformer into the origin under its staged name, and verify it.

    `mongodump` writes to `mongorestore` through a pipe: nothing is kept on disk, and no more memory is used than the two
    need anyway. A temporary folder would need space for the largest collection, and time to write and read it. The driver
    copies a collection that `mongorestore` would not restore exactly.

    Args:
        expected_hash: `dbHash` of the collection that was validated.
        folder: for the files with the connection strings, while the tools run.
        report: receives the driver's progress.
        log: receives what both log.

    Raises:
        StagingFailed: a tool failed, or counts, hash, options or indexes differ.
    """
    if any(may_hold_empty_timestamp(run) for run in read_raw(transformer.database[name])):
        log(f"{name} is staged with the driver: {_EMPTY_TIMESTAMP}.")
        return stage(transformer.database, origin.database, name, expected_hash, report=report)

    def copy(source: Collection, staged_name: str) -> None:
        take, put = copy_arguments(transformer.database.name, source.name, origin.database.name, staged_name)
        run(
            Invocation(MONGODUMP, take, transformer.uri),
            Invocation(MONGORESTORE, put, origin.uri),
            folder=folder,
            log=log,
        )

    return stage_with(copy, transformer.database, origin.database, name, expected_hash)


def copy_arguments(source: str, name: str, target: str, new_name: str) -> tuple[list[str], list[str]]:
    """Arguments of `mongodump` and `mongorestore` that copy one collection to another database under another name."""
    return (
        [f"--db={source}", f"--collection={name}", "--archive"],
        [
            *EXACTLY,
            f"--nsInclude={escape(source)}.{escape(name)}",
            f"--nsFrom={escape(source)}.{escape(name)}",
            f"--nsTo={escape(target)}.{escape(new_name)}",
            "--archive",
        ],
    )


def escape(name: str) -> str:
    """A name as a pattern of `mongorestore` that matches only it: there an asterisk matches anything."""
    return name.replace("\\", "\\\\").replace("*", "\\*")
