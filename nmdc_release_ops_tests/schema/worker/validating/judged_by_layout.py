"""Runs in a schema release's environment: judges documents by layout that are built to fool it, and damaged ones.

Arguments: seed, number of damaged documents. Prints JSON: for each kind of documents how many were accepted, and those that
the judging document by document does not accept.
"""

import json
import random
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import bson
from bson import Code, Int64, ObjectId
from bson.errors import InvalidBSON
from worker.validating.archived_blocks import ArchivedBlock, ArchiveFileDamaged, Piece, find_documents
from worker.validating.compiled import CompiledSchema
from worker.validating.fast_pass import FastPass
from worker.validating.integrity.references import ReferenceRules, References
from worker.validating.judge_by_layout import JudgeByLayout

FLAT = {
    "type": "object",
    "properties": {
        "type": {"enum": ["x:Flat"]},
        "text": {"type": "string", "allOf": [{"format": "pattern:0"}]},
        "choice": {"enum": ["a", "b", "", 1]},
        "whole": {"type": "integer", "minimum": 0},
        "number": {"type": "number", "maximum": 1000},
        "flag": {"type": "boolean"},
        "nothing": {"type": "null"},
        "target": {"type": "string"},
        "anything": {},
    },
    "required": ["type", "text"],
    "additionalProperties": False,
}
ACROSS = {**FLAT, "properties": {**FLAT["properties"], "type": {"enum": ["x:Across"]}}, "if": {"required": ["flag"]}}
SCHEMA = {
    "dialect": "https://json-schema.org/draft/2019-09/schema",
    "collections": {"flat_set": {"types": {"x:Flat": "Flat", "x:Across": "Across"}, "otherwise": None}},
    "classes": {"Flat": FLAT, "Across": {**ACROSS, "then": {"required": ["number"]}}},
    "definitions": {},
    "patterns": ["^[a-zé]*$"],
    "formats": [],
    "rules": "compiled",
}
RULES = {"flat_set": {"types": {"x:Flat": {"target": ["some_set"]}}, "otherwise": None, "has_ids": False}}
BLOCK = ArchivedBlock("flat_set", 0, Path("file"), 0, 0, 0, 0, "")


def references() -> References:
    return References(
        ReferenceRules(RULES), lambda ids: {one: {"some_set"} for one in ids if str(one).startswith("ok")}
    )


def flat(**values: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "text": "abc", **values, "type": "x:Flat"}


def raw(elements: bytes) -> bytes:
    return struct.pack("<i", len(elements) + 5) + elements + b"\x00"


def text(name: bytes, content: bytes, length: int | None = None) -> bytes:
    return (
        b"\x02" + name + b"\x00" + struct.pack("<i", len(content) + 1 if length is None else length) + content + b"\x00"
    )


TYPE = text(b"type", b"x:Flat")
WHOLE = b"\x10whole\x00" + struct.pack("<i", 5)


def sound(count: int = 20) -> list[bytes]:
    return [bson.encode(flat(whole=number, target=f"ok{number % 3}")) for number in range(count)]


def kinds() -> dict[str, list[Any]]:
    """Documents, or their BSON, by what is odd about them."""
    within = text(b"text", b"x" + text(b"text", b"abc") + TYPE)
    inner = raw(text(b"text", b"abc") + TYPE)
    return {
        "sound": [],
        "BSON of a field in a text": [raw(within + TYPE), raw(text(b"text", b"x" + WHOLE) + WHOLE + TYPE)],
        "a whole document in a text": [
            raw(text(b"text", inner) + TYPE),
            raw(text(b"text", b"abc" + inner[:-1]) + TYPE),
        ],
        "a whole document in binary data": [flat(anything=inner), flat(anything=inner * 3)],
        "zero in a text": [flat(text="ab\0c"), flat(target="ok\0"), flat(text="a", choice="\0")],
        "no UTF-8": [
            raw(text(b"text", b"a\xff") + TYPE),
            raw(text(b"text", b"\xc3") + TYPE),
            raw(text(b"text", b"\xed\xa0\x80") + TYPE),
        ],
        "no UTF-8 in an _id": [
            raw(text(b"_id", b"\xc3") + text(b"text", b"abc") + TYPE),
            raw(text(b"_id", b"\xa9") + text(b"text", b"abc") + TYPE),
        ],
        "wrong length of a text": [raw(text(b"text", b"abc", n) + TYPE) for n in (-1, 0, 1, 3, 5, 6, 2**31 - 1)],
        "wrong length of an _id": [raw(text(b"_id", b"abc", n) + text(b"text", b"abc") + TYPE) for n in (3, 5)],
        "integers of two sizes beside numbers": [
            flat(whole=n) for n in (1, Int64(1), 1.0, 1.5, Int64(2**40), -1, Int64(-1), True)
        ],
        "numbers": [
            flat(number=n)
            for n in (1, Int64(1), 1.0, -0.0, 1e308, float("nan"), float("inf"), float("-inf"), 1001, 1001.5)
        ],
        "the same key twice": [
            raw(text(b"text", b"abc") + text(b"text", b"ABC") + TYPE),
            raw(text(b"text", b"ABC") + text(b"text", b"abc") + TYPE),
        ],
        "the type twice": [
            raw(text(b"text", b"abc") + TYPE + text(b"type", b"x:Other")),
            raw(TYPE + text(b"text", b"abc") + TYPE),
        ],
        "keys in another order": [{"type": "x:Flat", "text": one, "_id": 1} for one in ("abc", "ABC")],
        "empty texts": [flat(text="", choice=""), flat(target=""), flat(choice="", target="ok")],
        "a layout that appears once": [flat(flag=True, nothing=None, number=1.5, choice="a")],
        "Code instead of a text": [
            flat(text=Code("abc")),
            flat(target=Code("ok")),
            {"text": "abc", "type": Code("x:Flat")},
        ],
        "a symbol instead of a text": [raw(b"\x0e" + text(b"text", b"abc")[1:] + TYPE)],
        "a very long text": [flat(text="a" * 500_000), flat(text="a" * 500_000 + "B")],
        "dates and ObjectIds": [
            flat(anything=ObjectId()),
            raw(text(b"text", b"abc") + b"\x09anything\x00" + bytes(8) + TYPE),
        ],
        "a date as _id": [raw(b"\x09_id\x00" + b"\xff" * 8 + text(b"text", one) + TYPE) for one in (b"abc", b"ABC")],
        "NaN as _id": [{"_id": float("nan"), "text": one, "type": "x:Flat"} for one in ("abc", "ABC")],
        "a required field is missing": [{"_id": 1, "choice": "a", "type": "x:Flat"}] * 3,
        "no type": [{"_id": 1, "text": "abc"}] * 3,
        "an additional field": [flat(more=number) for number in range(5)],
        "a text that does not match": [flat(text=one) for one in ("ABC", "a b", "é", "É", "abc\n", "abc\n\n")],
        "a value that is none of the choices": [flat(choice=one) for one in ("a", "c", "A", 1, 2, 1.0, True, None)],
        "a boolean that is none": [
            raw(text(b"text", b"abc") + b"\x08flag\x00" + bytes([n]) + TYPE) for n in (0, 1, 2, 255)
        ],
        "references": [flat(target=one) for one in ("ok", "nobody", "", 5, None, ["ok"], ["nobody"])],
        "a rule across fields": [
            {**flat(flag=True), "type": "x:Across"},
            {**flat(flag=True, number=1), "type": "x:Across"},
        ],
        "lists and documents": [flat(anything=[1]), flat(anything={"a": 1}), flat(anything=[float("nan")])],
        "a thousand layouts": [flat(**{f"more{number}": number}) for number in range(1_000)],
        "a name with signs": [flat(**{"(a|b)*": 1}), flat(**{".": 1}), flat(**{"": 1}), flat(**{"é": 1})],
    }


def judge_one(fast_pass: FastPass, document: bytes) -> tuple[bool, int]:
    """Whether a document is valid, and the number of its references."""
    try:
        decoded = bson.decode(document, fast_pass.codec)
    except InvalidBSON:
        return False, 0
    found = references()
    invalid = fast_pass.find_rejected(document, [decoded]) or list(found.find_violations("flat_set", [decoded]))
    return not invalid, found.checked


def compare(judge: JudgeByLayout, checked: References, documents: list[bytes]) -> list[Any]:
    """How many documents were accepted of how many, and the wrongly accepted ones."""
    fast_pass = FastPass(CompiledSchema(SCHEMA), "flat_set", None)
    piece = Piece(BLOCK, b"".join(documents))
    accepted_before, checked_before = judge.accepted, checked.checked
    left = judge.find_undecided(piece)
    undecided = Counter(left)
    following = iter(documents)
    assert all(one in following for one in left), "in their order"
    accepted = Counter(documents) - undecided
    assert undecided + accepted == Counter(documents), "each is accepted or undecided"
    assert (piece.count, judge.accepted - accepted_before) == (len(documents), accepted.total())
    verdicts = {document: judge_one(fast_pass, document) for document in accepted}
    wrong = [document.hex()[:1000] for document, (valid, _) in verdicts.items() if not valid]
    count = sum(verdicts[document][1] * times for document, times in accepted.items())
    assert checked.checked - checked_before == count, "all references of the accepted ones"
    return [accepted.total(), len(documents), wrong]


def encode(document: Any) -> bytes:
    return document if isinstance(document, bytes) else bson.encode(document)


def arrange(odd: list[bytes], chance: random.Random) -> Iterator[list[bytes]]:
    """The documents alone, and in all sorts of places among sound ones."""
    yield odd
    yield [*odd, *sound()]
    yield [*sound(), *odd]
    yield [one for each in odd for one in (*sound(3), each)]
    mixed = [*odd, *odd, *sound()]
    chance.shuffle(mixed)
    yield mixed


def damage(document: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, put in, left out or exchanged; mostly the length is put right."""
    changed = bytearray(document)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(4, len(changed))
        how = chance.randrange(5)
        if how == 0:
            changed[place] = chance.choice((0, 1, 2, 16, 18, 255, chance.randrange(256)))
        elif how == 1:
            changed[place:place] = chance.choice((b"\x00", b"\xff", b"a", WHOLE, TYPE, text(b"text", b"ABC")))
        elif how == 2:
            del changed[place : place + chance.choice((1, 4, 13))]
        elif how == 3:
            other = chance.randrange(4, len(changed))
            changed[place : place + 4] = changed[other : other + 4]
        else:
            changed[place] ^= 1 << chance.randrange(8)
        if len(changed) < 6:
            return document
    if chance.random() < 0.95:
        changed[:4] = struct.pack("<i", len(changed))
    return bytes(changed)


def compare_damaged(chance: random.Random, count: int) -> list[Any]:
    accepted = documents = 0
    wrong: list[Any] = []
    sources = [encode(one) for group in kinds().values() for one in group if not isinstance(one, bytes)]
    sources = [one for one in sources if len(one) < 500]
    while documents < count:
        checked = references()
        judge = JudgeByLayout(CompiledSchema(SCHEMA), "flat_set", checked)
        for _ in range(20):
            some = [
                damage(one, chance) if chance.random() < 0.3 else one
                for one in chance.choices(sources, k=30) + sound(30)
            ]
            chance.shuffle(some)
            whole = b"".join(some)
            bounds = find_documents(whole)
            if bounds[-1] != len(whole):
                try:
                    judge.find_undecided(Piece(BLOCK, whole))
                except ArchiveFileDamaged:
                    continue
                raise AssertionError("these are not whole documents")
            found = compare(judge, checked, [whole[a:b] for a, b in pairwise(bounds)])
            accepted, documents, wrong = accepted + found[0], documents + found[1], wrong + found[2]
    return [accepted, documents, wrong[:10]]


def main() -> None:
    chance = random.Random(int(sys.argv[1]))
    results: dict[str, list[list[Any]]] = {}
    for kind, odd in kinds().items():
        for documents in arrange([encode(one) for one in odd], chance):
            checked = references()
            judge = JudgeByLayout(CompiledSchema(SCHEMA), "flat_set", checked)
            for _ in range(3):
                results.setdefault(kind, []).append(compare(judge, checked, documents))
    json.dump({**results, "damaged": [compare_damaged(chance, int(sys.argv[2]))]}, sys.stdout)


main()
