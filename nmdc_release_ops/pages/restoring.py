"""The exact commands that restore an archive with MongoDB's own `mongorestore`. None holds an address or a password."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.mongo.archive.restoring import (
    CONFIG,
    ArchivedRelease,
    complete_restoring,
    match_name,
    restore_command,
)
from nmdc_release_ops.mongo.difference.difference import CollectionCounts


@dataclass(frozen=True)
class Command:
    """A command line, and what it is for."""

    purpose: str
    line: str


def list_commands(
    archive: Path,
    database: str,
    counts: Sequence[CollectionCounts],
    *,
    has_oplog: bool,
    release: ArchivedRelease | None = None,
) -> list[Command]:
    """The commands that restore an archive: beside the live database, one collection of it, and all of it.

    Args:
        counts: the collections that the release changed, of which one is the example.
        has_oplog: whether the archive holds what was written during the dump as `oplog.bson`.
        release: None where what is left to do after all of it was restored is not to be said.
    """
    example = next((one.before for one in counts if one.before), "NAME")
    commands = [
        Command(
            f"First put the connection string into a file {CONFIG} that only you can read (chmod 600):",
            'uri: "mongodb://USER:PASSWORD@HOST:27017/?authSource=admin&replicaSet=NAME"',
        ),
        Command(
            f"All of it beside the live database, as {database}_copy, to look at it:",
            restore_command(archive, f"--nsFrom={database}.*", f"--nsTo={database}_copy.*"),
        ),
        Command(
            f"One collection in place of the live one, such as {example}. What was written there since the dump is lost:",
            restore_command(archive, f"--nsInclude={database}.{match_name(example)}", "--drop"),
        ),
        Command(
            "All of them in place of the live ones. What was written since is lost:",
            restore_command(archive, "--drop"),
        ),
    ]
    if has_oplog:
        commands.append(
            Command(
                "The same, with what was written during the dump replayed once more. It is in the collections already, so the "
                "result is the same; the user needs the privilege to replay (anyAction on anyResource):",
                restore_command(archive, "--drop", "--oplogReplay"),
            )
        )
    if release is not None:
        commands += [
            Command(f"After all of them: {purpose}", "\n".join(lines))
            for purpose, lines in complete_restoring(database, release)
        ]
    return commands
