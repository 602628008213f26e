"""Names of an archive's files: as `mongodump` names them, so that `mongorestore` can read them back.

Sources: `outputPath` in mongodump/prepare.go and `getInfoFromFile` in mongorestore/filepath.go of MongoDB's Database Tools.
"""

import hashlib
from base64 import urlsafe_b64encode
from pathlib import PurePath
from urllib.parse import quote_plus, unquote, unquote_plus

METADATA = "metadata.json"
DOCUMENTS = "bson"
# Longest file name without its ending, in bytes, and how much of a longer one is kept before its digest.
_LONGEST = 238
_KEPT = 208
_BEFORE_DIGEST = "%24"


def file_name(database: str, collection: str, ending: str) -> str:
    """Path within an archive of a collection's documents (`DOCUMENTS`) or options and indexes (`METADATA`).

    It is the path that `mongodump --gzip` chooses, with one exception. `mongodump` truncates a name that is too long, and
    `mongorestore` then takes the name from the metadata, where it reads a plus as a space and fails at a percent sign. So a
    long name with either is escaped as little as possible, which keeps it short enough for every collection that can be
    released.
    """
    escaped = quote_plus(collection, safe="")
    if len(escaped) > _LONGEST:
        sparing = collection.replace("%", "%25").replace("+", "%2B").replace("/", "%2F")
        is_misread = "%" in collection or "+" in collection
        escaped = sparing if is_misread and len(sparing.encode()) <= _LONGEST else _cut(escaped, collection)
    return f"{database}/{escaped}.{ending}.gz"


def collection_of(metadata_file: PurePath) -> str:
    """The collection that a metadata file is named after.

    For files without the name inside, as `mongodump` before 100.0 wrote them. Those versions did not escape a plus.
    """
    return unquote(_escaped_name(metadata_file))


def documents_beside(metadata_file: str) -> str:
    """Path of the documents that belong to a metadata file."""
    return f"{metadata_file.removesuffix(f'.{METADATA}.gz')}.{DOCUMENTS}.gz"


def reads_back(metadata_file: str, collection: str) -> bool:
    """Whether `mongorestore` derives the right collection from the file's name.

    It does not if an old `mongodump`, or an old version of this project, left a plus unescaped, or if `mongodump` truncated
    a name with a plus or a percent sign.
    """
    escaped = _escaped_name(PurePath(metadata_file))
    if len(escaped) == _LONGEST and _BEFORE_DIGEST in escaped:
        return "%" not in collection and "+" not in collection
    return unquote_plus(escaped) == collection


def _escaped_name(metadata_file: PurePath) -> str:
    return metadata_file.name.removesuffix(f".{METADATA}.gz")


def _cut(escaped: str, collection: str) -> str:
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    return f"{escaped[:_KEPT]}{_BEFORE_DIGEST}{urlsafe_b64encode(digest).decode().rstrip('=')}"
