"""The commands that restore an archive by hand, with MongoDB's own tools."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.archive.oplog_file import OPLOG
from nmdc_release_ops.mongo.state.ledger import EVENTS, Event

CONFIG = "origin.yaml"
_WILD = ("\\", "*")
# Without the first, documents that are older than their collection's validator are lost; without the second, documents that the
# server refuses are skipped silently.
_ALWAYS = ("--gzip", "--bypassDocumentValidation", "--maintainInsertionOrder")


@dataclass(frozen=True)
class ArchivedRelease:
    """The release that an archive was dumped for.

    Attributes:
        from_version: of the schema, that the archived data conform to.
        to_version: that the release led to.
        added: names of collections that it created or renamed, and that are not in the archive; None where that is unknown.
    """

    from_version: str
    to_version: str
    added: Sequence[str] | None = None


def describe_restoring(
    folder: Path, manifest: Manifest, collection: str | None, release: ArchivedRelease | None = None
) -> Iterator[str]:
    """Lines of a shell script: comments, and the commands.

    The connection string stays in a file: every user of the machine can read a command's arguments.

    Args:
        collection: only this one; None for all.
        release: None where it is unknown.
    """
    yield "# The connection string, in a file that only you can read. Remove it afterwards."
    yield f"""(umask 077; printf 'uri: "%s"\\n' "$NMDC_ORIGIN_URI" > {CONFIG})"""
    database = manifest.database
    copy = f"{database}_copy"
    if collection is not None:
        yield ""
        yield f"# As a copy beside it: {copy}.{collection}."
        renamed = (f"--nsFrom={database}.{match_name(collection)}", f"--nsTo={copy}.{match_name(collection)}")
        yield restore_command(folder, f"--nsInclude={database}.{match_name(collection)}", *renamed)
        yield ""
        yield f"# In place of {database}.{collection}, which is dropped first, with everything written to it since the dump."
        yield restore_command(folder, f"--nsInclude={database}.{match_name(collection)}", "--drop")
        if release is not None:
            yield f"# Its documents then have the form of schema {release.from_version}, whatever the others have."
    else:
        yield ""
        yield f"# Everything, as a copy into the database {copy}, to look at it."
        yield restore_command(folder, f"--nsInclude={database}.*", f"--nsFrom={database}.*", f"--nsTo={copy}.*")
        yield ""
        yield "# Everything, in place of the live collections, which are dropped first, with everything written since the dump."
        # The tool refuses to replay the oplog of a part, or into other names.
        replay = ("--oplogReplay",) if OPLOG in manifest.other_files else ()
        yield restore_command(folder, "--drop", *replay)
        if release is not None:
            for purpose, commands in complete_restoring(database, release):
                yield ""
                yield f"# {purpose}"
                # For another program: not to be run by the shell.
                yield from (f"#   {command}" for command in commands)
    if OPLOG in manifest.other_files:
        yield ""
        yield f"# What is in {OPLOG} is also in the collections' files: a restore without --oplogReplay is complete."


def complete_restoring(database: str, release: ArchivedRelease) -> Iterator[tuple[str, list[str]]]:
    """What is left to do after everything was restored in place: what for, and the commands for `mongosh`.

    The ledger, the view of it and the journals are not in an archive, nor is what a release created or renamed.
    """
    at, back_to = release.to_version, release.from_version
    event = {
        "event": Event.COMPLETED,
        "from_schema_version": at,
        "to_schema_version": back_to,
        "migrator_module": "restored from an archive",
        "release_id": "restored by hand",
    }
    written = f"{{created_at: new Date().toISOString(), {json.dumps(event)[1:]}"
    yield (
        f"The ledger is not in the archive: if the release was swapped in, it goes on saying {at}, and programs rely on it. "
        f"Make it say {back_to}, in mongosh; the job rollback refuses from then on:",
        [f"db.getSiblingDB({json.dumps(database)}).getCollection({json.dumps(EVENTS)}).insertOne({written})"],
    )
    if release.added is None:
        yield "Collections that the release created or renamed, if any, stay beside what was restored: drop them.", []
    elif release.added:
        yield (
            "The release created these collections, or gave them these names: they stay beside what was restored. Drop them, in "
            "mongosh:",
            [
                f"db.getSiblingDB({json.dumps(database)}).getCollection({json.dumps(name)}).drop()"
                for name in release.added
            ],
        )


def restore_command(folder: Path, *options: str) -> str:
    """The command line that restores an archive; it reads the connection string from the file `CONFIG`."""
    return shlex.join(["mongorestore", f"--config={CONFIG}", *_ALWAYS, *options, str(folder)])


def match_name(name: str) -> str:
    """The name as a pattern of `mongorestore` that matches nothing else."""
    for character in _WILD:
        name = name.replace(character, f"\\{character}")
    return name
