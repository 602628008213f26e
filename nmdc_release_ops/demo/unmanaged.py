"""The collections of NMDC's database that the schema does not describe. A release must not change them.

These are small versions of the Runtime's own collections, with the BSON types that a careless copy would change: dates,
64-bit integers, decimals, binaries, nested and empty documents.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from bson import Binary, Decimal128, Int64

from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.identifiers import object_id, object_id_prefix
from nmdc_release_ops.demo.lineage import STORIES
from nmdc_release_ops.demo.values import Document

_START = datetime(2025, 1, 1, 9, 30, tzinfo=UTC)
_CHUNK_BYTES = 4096
_FILES = 3
_CHUNKS = 2

VIEWS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "_biosamples_by_study": (
        "biosample_set",
        [
            {"$unwind": "$associated_studies"},
            {"$group": {"_id": "$associated_studies", "biosamples": {"$sum": 1}}},
            {"$sort": {"_id": 1}},
        ],
    ),
}
"""The views by name, each with its collection and pipeline."""


def _at(hours: int) -> datetime:
    return _START + timedelta(hours=hours)


def _workflows(_: int) -> Iterator[Document]:
    for name in ("mgasm-1.0", "mgann-1.1", "mags-1.3", "metadata-in-1.0.0"):
        yield {"id": name, "name": name.split("-")[0], "created_at": _at(0), "capability_ids": []}


def _sites(_: int) -> Iterator[Document]:
    for site in ("NERSC", "EMSL-RZR"):
        yield {"id": site, "clients": [{"id": f"{site.lower()}-client"}], "capability_ids": ["nmdc:mgann"]}


def _users(_: int) -> Iterator[Document]:
    for number in range(4):
        yield {
            "username": f"curator{number}",
            "email": f"curator{number}@example.org",
            "full_name": None,
            "disabled": number == 3,
            "site_admin": ["NERSC"] if number == 0 else [],
        }


def _jobs(seed: int) -> Iterator[Document]:
    blueprint = Blueprint.for_scale(0, seed)
    for number in range(40):
        yield {
            "id": f"nmdc:sys0{number:06d}",
            "workflow": {"id": "metadata-in-1.0.0"},
            "config": {"object_id": blueprint.data_object(0, 0), "attempt": Int64(number)},
            "created_at": _at(number),
            "claims": [{"op_id": f"nmdc:op{number:06d}", "site_id": "NERSC"}] if number % 2 else [],
        }


def _operations(_: int) -> Iterator[Document]:
    for number in range(1, 40, 2):
        yield {
            "id": f"nmdc:op{number:06d}",
            "done": number % 4 == 1,
            "expire_time": _at(number + 720),
            "result": {} if number % 4 == 1 else None,
            "metadata": {"job": {"id": f"nmdc:sys0{number:06d}"}, "cost": Decimal128(Decimal("0.10"))},
        }


def _objects(seed: int) -> Iterator[Document]:
    dice = Random(f"{seed}:objects")
    for number in range(12):
        yield {
            "id": f"nmdc:obj{number:06d}",
            "name": f"metadata-in-{number}.json",
            "size_bytes": Int64(2**33 + number),
            "checksums": [{"type": "sha256", "checksum": f"{dice.getrandbits(256):064x}"}],
            "types": ["metadata-in"],
            "created_time": _at(number),
        }


def _triggers(_: int) -> Iterator[Document]:
    yield {
        "id": "nmdc:trig000001",
        "object_type_id": "metadata-in",
        "workflow_id": "metadata-in-1.0.0",
        "created_at": _at(0),
    }


def _alldocs(seed: int) -> Iterator[Document]:
    blueprint = Blueprint.for_scale(0, seed)
    for number in range(len(STORIES)):
        yield {
            "id": blueprint.biosample(number),
            "type": "nmdc:Biosample",
            "_type_and_ancestors": ["Biosample", "Sample", "MaterialEntity", "NamedThing"],
            "_upstream_of": [],
        }


def _minted_ids(prefix: str) -> Callable[[int], Iterator[Document]]:
    def minted(seed: int) -> Iterator[Document]:
        for number in range(10):
            yield {
                "id": f"{prefix}{number:05d}",
                "who": "NERSC",
                "when": _at(number),
                "how": "runtime-api",
                "ns": f"demo {seed}",
            }

    return minted


def _healthchecks(_: int) -> Iterator[Document]:
    for number in range(3):
        yield {"status": "ok", "checked_at": _at(number), "milliseconds": 3.5}


def _allowances(_: int) -> Iterator[Document]:
    for number in range(4):
        yield {"username": f"curator{number}", "action": "/metadata/changesheets:submit"}


def _files(_: int) -> Iterator[Document]:
    for number in range(_FILES):
        yield {
            "filename": f"changesheet-{number}.tsv",
            "length": Int64(_CHUNKS * _CHUNK_BYTES),
            "chunkSize": _CHUNK_BYTES,
            "uploadDate": _at(number),
            "metadata": {"content_type": "text/tab-separated-values"},
        }


def _chunks(seed: int) -> Iterator[Document]:
    dice = Random(f"{seed}:fs.chunks")
    files = object_id_prefix("fs.files", seed)
    for number in range(_FILES):
        for place in range(_CHUNKS):
            yield {
                "files_id": object_id(files, number),
                "n": place,
                "data": Binary(dice.randbytes(_CHUNK_BYTES)),
            }


_COLLECTIONS: dict[str, Callable[[int], Iterator[Document]]] = {
    "jobs": _jobs,
    "operations": _operations,
    "objects": _objects,
    "users": _users,
    "sites": _sites,
    "workflows": _workflows,
    "triggers": _triggers,
    "alldocs": _alldocs,
    "ids_nmdc_fk1": _minted_ids("fk1"),
    "ids_nmdc_sys0": _minted_ids("sys0"),
    "_runtime.healthcheck": _healthchecks,
    "_runtime.api.allow": _allowances,
    "fs.files": _files,
    "fs.chunks": _chunks,
}


def _stream(name: str, seed: int) -> Iterator[dict[str, Any]]:
    prefix = object_id_prefix(name, seed)
    for ordinal, document in enumerate(_COLLECTIONS[name](seed)):
        yield {"_id": object_id(prefix, ordinal), **document}


def other_collections(seed: int = 0) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """The collections that the schema does not describe, each with a stream of its documents."""
    for name in _COLLECTIONS:
        yield name, _stream(name, seed)
