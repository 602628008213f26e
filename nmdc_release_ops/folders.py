"""How folders and files of releases are named within `NMDC_RELEASE_HOME`."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from nmdc_release_ops.mongo.server.identity import ServerIdentity

ARCHIVE = "archive"
IDENTIFIERS = "identifiers.sqlite"
"""The ids of all documents of a rehearsal, beside its archive."""
REHEARSAL = "rehearsal"
"""An empty file in the folder of a rehearsal."""
_RELEASE_ID = re.compile(r"\d{8}T\d{6}Z-")
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_PART = 40


def releases_folder(home: Path, origin: ServerIdentity, database: str) -> Path:
    """The folder of all releases of an origin and a database."""
    return home / "origins" / origin_name(origin, database) / "releases"


def find_releases(home: Path) -> Iterator[Path]:
    """The folders of the releases and rehearsals of all origins, newest first, named after them."""
    folders = (path for path in (home / "origins").glob("*/releases/*") if is_release(path))
    return iter(sorted(folders, key=lambda path: path.name, reverse=True))


def find_rehearsals(home: Path, origin: ServerIdentity, database: str) -> list[Path]:
    """The folders of all rehearsals of an origin and a database, complete or not, newest first, named after them."""
    folders = releases_folder(home, origin, database).glob("*")
    return sorted((path for path in folders if is_rehearsal(path)), reverse=True)


def is_release(folder: Path) -> bool:
    """Whether a folder has the name of a release."""
    return _RELEASE_ID.match(folder.name) is not None


def is_rehearsal(folder: Path) -> bool:
    """Whether it is the folder of a rehearsal."""
    return is_release(folder) and (folder / REHEARSAL).exists()


def origin_name(origin: ServerIdentity, database: str) -> str:
    """Name of the folder of one database of one origin: readable and unique.

    If the id of the replica set is unknown, its members identify it: adding a member then starts a new
    folder, and the old one stays.
    """
    of_set = [origin.set_id] if origin.set_id else [origin.set_name, *origin.members]
    digest = hashlib.sha256("\n".join([*of_set, database]).encode()).hexdigest()
    parts = (_ODD.sub("_", part)[:_LONGEST_PART] for part in (database, origin.set_name))
    return "-".join([*(part for part in parts if part), digest[:12]])
