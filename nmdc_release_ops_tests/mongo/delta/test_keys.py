"""The key of a document is its `_id`, byte for byte, whatever that is and wherever it stands."""

import time
from contextlib import suppress
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from nmdc_release_ops.mongo.delta.keys import element_of, key_of
from nmdc_release_ops.mongo.server.raw import BrokenBson
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, VALUES, raw_documents

EVERYTHING = [
    *IDENTIFIERS,
    *(value for values in VALUES.values() for value in (values if isinstance(values, list) else [values])),
    Code("x", {"scope": 1}),
    Binary(b"old", 2),
]


@pytest.mark.parametrize("identifier", EVERYTHING, ids=lambda value: repr(value)[:30])
def test_the_key_is_the_id_alone(identifier: Any) -> None:
    alone = bson.encode({"_id": identifier})
    assert key_of(alone) == alone
    assert key_of(bson.encode({"_id": identifier, "a": 1, "_id2": 2})) == alone


@pytest.mark.parametrize("before", EVERYTHING, ids=lambda value: repr(value)[:30])
def test_an_id_that_is_not_first_is_found_behind_any_value(before: Any) -> None:
    encoded = bson.encode({"a": before, "b": {"_id": "not this one"}, "c": ["_id"], "x": 1, "y": 2})
    # The driver puts _id first.
    elsewhere = encoded.replace(b"\x10x\0\x01\0\0\0", b"\x10_id\0\x01\0\0\0")
    document = len(elsewhere).to_bytes(4, "little") + elsewhere[4:]
    assert bson.decode(document, bson.CodecOptions(datetime_conversion=3))["_id"] == 1
    assert key_of(document) == bson.encode({"_id": 1})


@pytest.mark.parametrize(
    "kind", [b"\x06", b"\x0e\4\0\0\0abc\0", b"\x0c\4\0\0\0abc\0" + bytes(12)], ids=["6", "14", "12"]
)
def test_deprecated_types_have_keys_too(kind: bytes) -> None:
    """Undefined, a symbol and a DBPointer, which this driver does not encode."""
    value = kind[:1] + b"%b\0" + kind[1:]
    alone = _document(value.replace(b"%b", b"_id"))
    assert key_of(_document(value.replace(b"%b", b"_id") + b"\x0aa\0")) == alone
    assert key_of(_document(value.replace(b"%b", b"a") + b"\x10_id\0\x01\0\0\0")) == bson.encode({"_id": 1})


def test_documents_that_no_dict_can_hold_have_keys() -> None:
    for document in raw_documents():
        identifier = bson.decode(document, bson.CodecOptions(unicode_decode_error_handler="replace"))["_id"]
        assert key_of(document) == bson.encode({"_id": identifier})


def test_equal_numbers_of_different_types_are_different_keys() -> None:
    numbers = [1, 1.0, Int64(1), Decimal128("1"), Decimal128("1.0"), True]
    assert len({key_of(bson.encode({"_id": number})) for number in numbers}) == len(numbers)


def test_bytes_that_are_no_document_are_refused() -> None:
    whole = bson.encode({"_id": "nmdc:1", "a": Regex("x"), "b": DBRef("c", MinKey()), "d": [MaxKey(), Timestamp(1, 1)]})
    without = bson.encode({"a": Regex("x", "i"), "b": ObjectId(), "c": "text"})
    with pytest.raises(BrokenBson, match="has no _id"):
        key_of(without)
    for document in (whole, without):
        for length in range(len(document)):
            # Cut within what follows the _id, the key is there all the same.
            with suppress(BrokenBson):
                assert key_of(document[:length]) == bson.encode({"_id": "nmdc:1"})


def test_a_key_can_be_an_element_of_another_document() -> None:
    for identifier in IDENTIFIERS:
        element = element_of(bson.encode({"_id": identifier}), b"17")
        assert _document(element) == bson.encode({"17": identifier})


def test_a_million_keys_take_a_second_or_two_of_a_processor() -> None:
    document = bson.encode({"_id": "nmdc:bsm-11-abcdefgh", "a": "x" * 200, "b": [1, 2, 3]})
    started = time.process_time()
    for _ in range(100_000):
        key_of(document)
    assert time.process_time() - started < 0.5


def _document(elements: bytes) -> bytes:
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"
