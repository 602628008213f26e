"""The engine `mongo-tools`: loading and staging with `mongorestore`."""

from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.mongo.archive import Manifest, verify
from nmdc_release_ops.mongo.collections import Collection
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.load import LoadFailed, prove
from nmdc_release_ops.mongo.staging import Staged, stage_with
from nmdc_release_ops.mongo.tools import MONGODUMP, MONGORESTORE, Invocation, Tell, ToolFailed, run

_EXACTLY = [
    # In the order in which they were dumped, as capped collections need it, and no further after the first error.
    "--maintainInsertionOrder",
    # What is written has been in such a collection before, whatever its rules say now.
    "--bypassDocumentValidation",
]


def load_with_mongorestore(
    folder: Path, manifest: Manifest, database: Database[Document], uri: str, *, tell: Tell
) -> None:
    """Load a whole archive into `database`, which is emptied first, with `mongorestore`, and prove that it is the same.

    A file that changes after it was verified and before `mongorestore` reads it shows in the counts and hashes.

    Args:
        uri: of the server that `database` is on.
        tell: gets what `mongorestore` logs.

    Raises:
        ArchiveDamaged: a file is not what was dumped; nothing of the archive has been loaded then.
        LoadFailed: `mongorestore` failed, or counts, hashes, options or indexes differ after loading.
    """
    verify(folder, manifest)
    database.client.drop_database(database.name)
    if manifest.collections:
        try:
            arguments = load_arguments(manifest.database, database.name, folder)
            run(Invocation(MONGORESTORE, arguments, uri), folder=folder.parent, tell=tell)
        except ToolFailed as error:
            raise LoadFailed(
                f"The archive {folder} could not be loaded: {error}\nCorrect the cause and re-execute the run from `migrate`."
            ) from error
    prove(folder, manifest, database)


def load_arguments(source: str, target: str, folder: Path) -> list[str]:
    """What to tell `mongorestore` to load the database `source` of an archive as the database `target`."""
    return [
        *_EXACTLY,
        f"--nsInclude={escaped(source)}.*",
        f"--nsFrom={escaped(source)}.*",
        f"--nsTo={escaped(target)}.*",
        "--gzip",
        f"--dir={folder}",
    ]


def stage_with_mongorestore(
    transformer: Database[Document],
    transformer_uri: str,
    origin: Database[Document],
    origin_uri: str,
    name: str,
    expected_hash: str,
    *,
    folder: Path,
    tell: Tell,
) -> Staged:
    """Copy the collection `name` of the transformer into the origin under its staged name, and verify it.

    `mongodump` writes to `mongorestore` through a pipe: nothing is kept on disk, and in memory no more than the two
    hold anyway. A temporary folder would take the room of the largest collection, and the time to write and read it.

    Args:
        expected_hash: `dbHash` of the collection that was validated.
        folder: where the files with the connection strings may be for as long as it lasts.
        tell: gets what both log.

    Raises:
        StagingFailed: a tool failed, or counts, hash, options or indexes differ.
    """

    def copy(source: Collection, staged_name: str) -> None:
        take, put = copy_arguments(transformer.name, source.name, origin.name, staged_name)
        run(
            Invocation(MONGODUMP, take, transformer_uri),
            Invocation(MONGORESTORE, put, origin_uri),
            folder=folder,
            tell=tell,
        )

    return stage_with(copy, transformer, origin, name, expected_hash)


def copy_arguments(source: str, name: str, target: str, new_name: str) -> tuple[list[str], list[str]]:
    """What to tell `mongodump` and `mongorestore` to copy one collection to another database under another name."""
    return (
        [f"--db={source}", f"--collection={name}", "--archive"],
        [
            *_EXACTLY,
            f"--nsInclude={escaped(source)}.{escaped(name)}",
            f"--nsFrom={escaped(source)}.{escaped(name)}",
            f"--nsTo={escaped(target)}.{escaped(new_name)}",
            "--archive",
        ],
    )


def escaped(name: str) -> str:
    """A name as it is written in a pattern of `mongorestore`, where an asterisk stands for anything."""
    return name.replace("\\", "\\\\").replace("*", "\\*")
