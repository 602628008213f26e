"""Making an archive: its folder gets its name only when it is complete and on disk."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nmdc_release_ops.files import MAKE_ROOM, sync
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Manifest, write_manifest
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import Collection


class DumpFailed(MongoError):
    """The archive could not be written, or the data changed during the dump."""


WriteFiles = Callable[[Mapping[str, Collection], Path], Iterable[ArchivedCollection]]
"""Writes the files of the collections into a folder and describes them, without their hashes."""


@contextmanager
def making_archive(folder: Path, database: str) -> Iterator[Path]:
    """A folder beside `folder`, for the files of an archive; it is removed at the end of the block, unless `complete` was called.

    Args:
        database: its name.

    Raises:
        DumpFailed: the disk is full, or cannot be written.
    """
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        (aside / database).mkdir(mode=0o700, parents=True)
        aside.chmod(0o700)
        yield aside
    except OSError as error:
        raise DumpFailed(
            f"The archive could not be written to {folder}: {error.strerror or error}. {MAKE_ROOM}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def complete(aside: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, and give the archive its name."""
    write_manifest(aside, manifest)
    for part in (aside / manifest.database, aside):
        sync(part)
    aside.rename(folder)
    sync(folder.parent)
    return manifest
