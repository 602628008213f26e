"""Some documents of a collection in a file of blocks, in the form of an archive's."""

from collections.abc import Iterable
from pathlib import Path

from nmdc_release_ops.mongo.archive.blocks import BLOCK_BYTES, compress_blocks, write_blocks
from nmdc_release_ops.mongo.archive.file_names import DOCUMENTS, file_name
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection


def write_documents(folder: Path, collection: str, documents: Iterable[bytes]) -> ArchivedCollection:
    """Write documents as BSON to a file in `folder` that is named after their collection. It describes neither options nor
    indexes.

    Raises:
        OSError: the disk is full, for example.
    """
    file = file_name("documents", collection, DOCUMENTS)
    (folder / file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = write_blocks(folder / file, compress_blocks(documents, BLOCK_BYTES))
    return ArchivedCollection(
        name=collection,
        file=file,
        metadata_file="",
        metadata_sha256="",
        hash="",
        options={},
        indexes=[],
        **written.describe(),
    )
