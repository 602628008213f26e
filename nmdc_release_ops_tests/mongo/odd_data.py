"""A database of everything that BSON, collections and indexes can be, which an archive has to carry over exactly."""

import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, GEO2D, GEOSPHERE, HASHED, TEXT, IndexModel
from pymongo.database import Database

RAW = CodecOptions(document_class=RawBSONDocument)
LARGEST = 16 * 1024 * 1024

VALUES: dict[str, Any] = {
    "int32": [0, 1, -(2**31), 2**31 - 1],
    "int64": [Int64(1), Int64(-(2**63)), Int64(2**63 - 1)],
    "double": [1.0, 0.0, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan")],
    "decimal": [Decimal128(text) for text in ("1", "1.0", "1.00", "-0", "NaN", "-NaN", "sNaN", "Infinity", "1E-6176")],
    "binary": [Binary(b"\x00\xff", subtype) for subtype in (0, 1, 2, 3, 5, 6, 7, 8, 128, 255)],
    "uuid": Binary.from_uuid(UUID(int=1)),
    "empty binary": b"",
    "timestamp": [Timestamp(4, 2), Timestamp(2**32 - 1, 2**32 - 1), Timestamp(0, 0)],
    "date": [datetime(2026, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)],
    "before python": [DatetimeMS(-(2**63)), DatetimeMS(-62135596800001)],
    "after python": [DatetimeMS(2**63 - 1), DatetimeMS(253402300800000)],
    "regex": [Regex("^a", "im"), Regex("", ""), Regex("(?<=x)é", "msux")],
    "nested": [[], [[{}]], [None, [[]]], {"a": {"": [{"b": [1, Int64(1), 1.0]}]}}],
    "keys": [MinKey(), MaxKey()],
    "code": [Code("function () {}"), Code("x", {"x": Int64(1)})],
    "reference": [DBRef("biosample_set", "nmdc:1"), DBRef("a", ObjectId(bytes(12)), "other", extra=1)],
    "text": ["", "\x00", "µ\x00\U0001f9a0", "\ufeff", "e\u0301 is not é"],
    "bool": [True, False, None],
}
IDENTIFIERS: list[Any] = [
    None,
    True,
    2,
    Int64(3),
    4.5,
    Decimal128("5.50"),
    float("nan"),
    float("-inf"),
    Int64(2**63 - 1),
    "",
    "\x00",
    "x" * 20_000,
    "µ漢",
    b"\x00",
    Binary.from_uuid(UUID(int=2)),
    ObjectId(b"123456789012"),
    Timestamp(1, 1),
    Timestamp(0, 0),
    datetime(2026, 1, 1, tzinfo=UTC),
    DatetimeMS(2**62),
    MinKey(),
    MaxKey(),
    Code("x"),
    {},
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {"a": {"b": [1, [2], {}]}},
]
ODD_NAMES = [
    "percent%25_set",
    "with space",
    "µ漢\U0001f9a0",
    "dotted.name.set",
    "star*back\\slash",
    "--leading=dashes",
    "sla/sh;comma,colon:at@",
    "a+b",
    "a b",
    "equals=colon:at@",
    "a&b",
    "tilde~hat^(1)[2]{3}|!?#<>",
    "tab\tand\nline",
    " spaces at both ends ",
    "100%",
    "quotes\"'`",
    "UPPER",
    # As a file's name it is cut, because it takes three characters a byte there.
    "é" * 90,
]
LONG_MISREAD_NAMES = ["é+ " * 35, "é% " * 35, "%2B" * 60, "+" * 200]
"""So long that `mongodump` cuts them; what `mongorestore` then takes from the metadata it reads wrongly. Of the last two
nothing shorter can be made that it reads.
"""
NEVER_EXACT = ("empty_timestamps_set", "nested_empty_set")
"""Collections that `mongorestore` does not restore exactly on the server that the tests run."""


def raw_documents() -> list[bytes]:
    """Documents that no Python dict can hold, or that this driver would not encode."""
    twice = bson.encode({"_id": "the same key twice", "a": 1, "b": 2}).replace(b"\x10b\x00", b"\x10a\x00")
    payload = bson.encode({"_id": "NaN with a payload", "x": 1.5}).replace(
        struct.pack("<d", 1.5), b"\x01\x02\x03\x04\x05\x06\xf8\xff"
    )
    text = bson.encode({"_id": "not UTF-8", "x": "????"}).replace(b"????", b"\xff\xfe\x80\xc3")
    undefined = bson.encode({"_id": "undefined", "x": None}).replace(b"\x0ax\x00", b"\x06x\x00")
    symbol = bson.encode({"_id": "symbol", "x": "abc"}).replace(b"\x02x\x00", b"\x0ex\x00")
    return [twice, payload, text, undefined, symbol]


def empty_timestamps() -> list[bytes]:
    """Documents that a server changes when they are inserted: only an update can make them."""
    return [
        bson.encode({"_id": "empty timestamp", "t": Timestamp(0, 0), "u": {"t": Timestamp(0, 0)}}),
        bson.encode({"_id": {"a": Timestamp(0, 0)}, "a": 0.0, "t": Timestamp(0, 0), "z": 1}),
    ]


def largest_document() -> bytes:
    """One of exactly the size that a server takes at most."""
    empty = len(bson.encode({"_id": "largest", "text": ""}))
    document = bson.encode({"_id": "largest", "text": "x" * (LARGEST - empty)})
    assert len(document) == LARGEST
    return document


def fill(database: Database[Any]) -> None:
    """Make everything, except documents with empty timestamps at their top."""
    _documents(database)
    _options(database)
    _indexes(database)
    for name in ODD_NAMES:
        database[name].insert_one({"_id": name})
        database[name].create_index("a", name="index of " + name[:20])
    _empty_timestamps_that_a_server_leaves_alone(database)


def _empty_timestamps_that_a_server_leaves_alone(database: Database[Any]) -> None:
    """In the middle of others, so that their order shows; against a rule, so that bypassing it shows."""
    database.create_collection("nested_empty_set", validator={"n": {"$exists": True}})
    documents: list[dict[str, Any]] = [{"_id": n, "n": n} for n in range(30)]
    documents[10] = {"_id": 10, "t": {"inner": [Timestamp(0, 0)]}}
    documents[20] = {"_id": Timestamp(0, 0), "n": 20}
    database.command("insert", "nested_empty_set", documents=documents, bypassDocumentValidation=True)


def put_empty_timestamps(database: Database[Any]) -> None:
    collection = database.get_collection("empty_timestamps_set", codec_options=RAW)
    for document in map(RawBSONDocument, empty_timestamps()):
        collection.update_one(
            {"_id": {"$eq": document["_id"]}}, [{"$replaceWith": {"$literal": document}}], upsert=True
        )
    assert documents_of(database, "empty_timestamps_set") == empty_timestamps()


def documents_of(database: Database[Any], name: str) -> list[bytes]:
    """The documents of a collection as bytes, in their natural order."""
    return [document.raw for document in database.get_collection(name, codec_options=RAW).find({})]


def _documents(database: Database[Any]) -> None:
    values = [bson.encode({"_id": name, "value": value}) for name, value in VALUES.items()]
    values.append(bson.encode({"_id": "order of keys", "z": 1, "a": 2, "": "empty key", "dotted.key": 3, "$dollar": 4}))
    values += raw_documents()
    database.get_collection("values_set", codec_options=RAW).insert_many(map(RawBSONDocument, values))
    identifiers = [bson.encode({"_id": identifier, "n": n}) for n, identifier in enumerate(IDENTIFIERS)]
    database.get_collection("identifiers_set", codec_options=RAW).insert_many(map(RawBSONDocument, identifiers))
    database.get_collection("large_set", codec_options=RAW).insert_one(RawBSONDocument(largest_document()))
    database.plain_set.insert_many({"_id": n, "id": f"nmdc:{n}", "n": n} for n in range(5_000))


def _options(database: Database[Any]) -> None:
    database.create_collection("empty_set")
    collation = {"locale": "fr", "strength": 2, "numericOrdering": True}
    database.create_collection("collation_set", collation=collation)
    # Equal but for their case: by the collation the _id index would refuse both.
    database.collation_set.insert_many([{"_id": "a10", "b": "é"}, {"_id": "b9", "b": "E"}])
    database.collation_set.create_index("b")
    database.collation_set.create_index("b", name="by its bytes", collation={"locale": "simple"})
    database.create_collection(
        "validated_set",
        validator={"$jsonSchema": {"required": ["n"]}, "when": {"$lt": datetime(2030, 1, 1, tzinfo=UTC)}},
        validationLevel="moderate",
        validationAction="warn",
    )
    database.create_collection("strict_set", validator={"n": {"$type": "long", "$ne": Int64(1)}, "s": Regex("^a", "i")})
    database.get_collection("strict_set").database.command(
        "insert", "strict_set", documents=[{"_id": 1, "n": "against the rule"}], bypassDocumentValidation=True
    )
    database.create_collection("images_set", changeStreamPreAndPostImages={"enabled": True})
    database.create_collection("capped_set", capped=True, size=4096 * 4, max=50)
    # More than it holds, and not in the order of _id: what is left, and its order, is what counts.
    database.capped_set.insert_many({"_id": (n * 37) % 101} for n in range(80))
    database.create_collection(
        "clustered_set",
        clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "an index of its own name"},
        expireAfterSeconds=10**9,
    )
    database.clustered_set.insert_many({"_id": n, "n": -n} for n in (3, 1, 2))
    database.clustered_set.create_index("n")


def _indexes(database: Database[Any]) -> None:
    database.indexed_set.insert_many(
        {
            "_id": n,
            "id": f"nmdc:{n}",
            "n": n,
            "text": "soil and water",
            "place": {"type": "Point", "coordinates": [n, n]},
            "flat": [n, n],
        }
        for n in range(20)
    )
    database.indexed_set.create_indexes(
        [
            IndexModel([("id", ASCENDING)], unique=True),
            IndexModel([("n", ASCENDING), ("id", DESCENDING), ("a.b", ASCENDING)], name="compound"),
            IndexModel([("n", DESCENDING)], name="descending"),
            IndexModel(
                [("n", ASCENDING)],
                name="partial",
                partialFilterExpression={"n": {"$gt": Int64(5)}, "when": {"$gt": datetime(2020, 1, 1, tzinfo=UTC)}},
            ),
            IndexModel([("absent", ASCENDING)], name="sparse", sparse=True, unique=True),
            IndexModel([("n", ASCENDING)], name="hidden", hidden=True, sparse=True),
            IndexModel([("when", ASCENDING)], expireAfterSeconds=10**9),
            IndexModel([("never", ASCENDING)], expireAfterSeconds=0),
            IndexModel([("text", TEXT), ("id", ASCENDING)], weights={"text": 3}, default_language="french"),
            IndexModel([("n", HASHED)]),
            IndexModel([("n", ASCENDING), ("id", HASHED)]),
            IndexModel([("$**", ASCENDING)], name="wildcard", wildcardProjection={"n": 0, "id": 0}),
            IndexModel([("place.$**", ASCENDING)]),
            IndexModel([("place", GEOSPHERE), ("n", ASCENDING)]),
            IndexModel([("flat", GEO2D)], bits=20, min=-200.0, max=200.0),
            IndexModel([("text", ASCENDING)], name="collation", collation={"locale": "de", "caseFirst": "upper"}),
        ]
    )
