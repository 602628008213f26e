"""The commands that restore an archive by hand, with MongoDB's own tools."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.archive.oplog_file import OPLOG

CONFIG = "origin.yaml"
_WILD = ("\\", "*")
# Without the first, documents that are older than their collection's validator are lost; without the second, documents that the
# server refuses are skipped silently.
_ALWAYS = ("--gzip", "--bypassDocumentValidation", "--maintainInsertionOrder")


def describe_restoring(folder: Path, manifest: Manifest, collection: str | None) -> Iterator[str]:
    """Lines of a shell script: comments, and the commands.

    The connection string stays in a file: every user of the machine can read a command's arguments.

    Args:
        collection: only this one; None for all.
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
    else:
        yield ""
        yield f"# Everything, as a copy into the database {copy}, to look at it."
        yield restore_command(folder, f"--nsInclude={database}.*", f"--nsFrom={database}.*", f"--nsTo={copy}.*")
        yield ""
        yield "# Everything, in place of the live collections, which are dropped first, with everything written since the dump."
        # The tool refuses to replay the oplog of a part, or into other names.
        replay = ("--oplogReplay",) if OPLOG in manifest.other_files else ()
        yield restore_command(folder, "--drop", *replay)
    if OPLOG in manifest.other_files:
        yield ""
        yield f"# What is in {OPLOG} is also in the collections' files: a restore without --oplogReplay is complete."


def restore_command(folder: Path, *options: str) -> str:
    """The command line that restores an archive; it reads the connection string from the file `CONFIG`."""
    return shlex.join(["mongorestore", f"--config={CONFIG}", *_ALWAYS, *options, str(folder)])


def match_name(name: str) -> str:
    """The name as a pattern of `mongorestore` that matches nothing else."""
    for character in _WILD:
        name = name.replace(character, f"\\{character}")
    return name
