"""The fast pass: lets through what conforms; whatever it does not let through, LinkML judges.

Its verdicts are LinkML's: the schema is compiled from LinkML's own, patterns and formats are checked by the same
functions. About documents with values that JSON has no word for (dates, ObjectIds, decimals, numbers that are not finite)
it says nothing.
"""

import math
from collections.abc import Callable
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry

from .compiled import Check, CompiledSchema, Document

Rules = Callable[[str, Document], bool]
"""Whether the release's own rules accept a document of a collection."""

_PLAIN: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class _PlainInteger(TypeDecoder):
    """Makes an int of bson's Int64, which jsonschema-rs does not know. It takes time, for every value of a document."""

    bson_type = bson.Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


_INTEGERS: CodecOptions[Document] = _PLAIN.with_options(type_registry=TypeRegistry([_PlainInteger()]))


class Screen:
    """Screens documents of one collection."""

    def __init__(self, schema: CompiledSchema, collection: str, rules: Rules | None) -> None:
        """Args:
        rules: those of the release that are not compiled; None where all are.
        """
        self._checks, self._otherwise = schema.checks(collection)
        self._collection = collection
        self._rules = rules
        self._codec = _PLAIN

    @property
    def codec(self) -> CodecOptions[Document]:
        """How documents are to be read."""
        return self._codec

    def not_let_through(self, run: bytes, documents: list[Document]) -> dict[int, bool | None]:
        """The places of documents that are not let through: False where they do not conform, None where only LinkML can tell.

        Args:
            run: BSON in which the documents are.
        """
        # Only this is looked for in what JSON knows: everything else that it does not know makes a check raise.
        odd = filter(lambda place: _holds_odd_number(documents[place]), range(len(documents)))
        refused: dict[int, bool | None] = dict.fromkeys(odd) if _may_hold_odd_numbers(run) else {}
        for said, places in _by_type(documents).items():
            check = self._otherwise if said is None else self._checks.get(said, self._otherwise)
            if check is None:
                for place in places:
                    # Code is text for Python, and so for LinkML.
                    is_code = isinstance(documents[place].get("type"), bson.Code)
                    refused[place] = None if is_code else refused.get(place, False)
                continue
            asked = [place for place in places if place not in refused]
            identifiers = [documents[place].pop("_id", None) for place in asked]
            try:
                self._screen(check, asked, documents, refused)
            finally:
                for place, identifier in zip(asked, identifiers, strict=True):
                    documents[place]["_id"] = identifier
        return refused

    def _screen(
        self, check: Check, places: list[int], documents: list[Document], refused: dict[int, bool | None]
    ) -> None:
        try:
            conform = check.all([documents[place] for place in places])
        except ValueError:
            conform = False
        if conform and self._rules is None:
            return
        for place in places:
            verdict = self._conforms(check, documents[place])
            if not verdict:
                refused[place] = verdict

    def _conforms(self, check: Check, document: Document) -> bool | None:
        try:
            conforms = check.one(document)
        except ValueError:
            # Most likely an Int64. From the next run on, the driver makes plain integers of them.
            self._codec = _INTEGERS
            try:
                conforms = check.one(_with_integers(document))
            except ValueError:
                return None
        return conforms and (self._rules is None or self._rules(self._collection, document))


def _by_type(documents: list[Document]) -> dict[str | None, list[int]]:
    """Places of documents by what they say in `type`; None where that is no text."""
    places: dict[str | None, list[int]] = {}
    for place, document in enumerate(documents):
        said = document.get("type")
        if said.__class__ is not str:
            said = None
        if said in places:
            places[said].append(place)
        else:
            places[said] = [place]
    return places


def _with_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_integers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_integers(part) for part in value]
    return int(value) if isinstance(value, bson.Int64) else value


def _may_hold_odd_numbers(run: bytes) -> bool:
    """Whether somewhere there may be a double that is not finite: it ends in F0 to FF and then 7F or FF, and its eight bytes
    follow the zero after a name.

    Few runs of others look so by chance. A look into each value of each document would take as long as everything else.
    """
    for last in (b"\x7f", b"\xff"):
        offset = run.find(last, 8)
        while offset > 0:
            if run[offset - 1] >= 0xF0 and run[offset - 8] == 0:
                return True
            offset = run.find(last, offset + 1)
    return False


def _holds_odd_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_holds_odd_number, value.values()))
    return isinstance(value, list) and any(map(_holds_odd_number, value))
