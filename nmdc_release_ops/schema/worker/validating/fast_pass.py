"""The fast pass: accepts documents that conform, and rejects others. LinkML validates the rejected ones.

Its verdicts are LinkML's: the schema is compiled from LinkML's own, and the same functions check patterns and formats. It
rejects documents with values that JSON cannot represent (dates, ObjectIds, decimals, numbers that are not finite) without a
verdict.
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
    """Decodes bson's Int64, which jsonschema-rs does not know, as an int. It slows down the decoding of every value."""

    bson_type = bson.Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


_INTEGERS: CodecOptions[Document] = _PLAIN.with_options(type_registry=TypeRegistry([_PlainInteger()]))


class FastPass:
    """Checks documents of one collection."""

    def __init__(self, schema: CompiledSchema, collection: str, rules: Rules | None) -> None:
        """Args:
        rules: the release's own rules if they are not compiled, else None.
        """
        self._checks, self._otherwise = schema.checks(collection)
        self._collection = collection
        self._rules = rules
        self._codec = _PLAIN

    @property
    def codec(self) -> CodecOptions[Document]:
        """The options for decoding documents."""
        return self._codec

    def find_rejected(self, raw: bytes, documents: list[Document]) -> dict[int, bool | None]:
        """The indexes of the rejected documents: False if they do not conform, None if only LinkML can decide.

        Args:
            raw: BSON that contains the documents.
        """
        # Searched for first, because a check takes them for null. It raises for other values that JSON cannot represent.
        not_finite = filter(lambda index: _holds_non_finite_number(documents[index]), range(len(documents)))
        rejected: dict[int, bool | None] = dict.fromkeys(not_finite) if _may_hold_non_finite_number(raw) else {}
        for type_, indexes in _by_type(documents).items():
            check = self._otherwise if type_ is None else self._checks.get(type_, self._otherwise)
            if check is None:
                for index in indexes:
                    # bson's Code is a str for Python, and so for LinkML.
                    is_code = isinstance(documents[index].get("type"), bson.Code)
                    rejected[index] = None if is_code else rejected.get(index, False)
                continue
            undecided = [index for index in indexes if index not in rejected]
            identifiers = [documents[index].pop("_id", None) for index in undecided]
            try:
                self._check_all(check, undecided, documents, rejected)
            finally:
                for index, identifier in zip(undecided, identifiers, strict=True):
                    documents[index]["_id"] = identifier
        return rejected

    def _check_all(
        self, check: Check, indexes: list[int], documents: list[Document], rejected: dict[int, bool | None]
    ) -> None:
        try:
            are_valid = check.are_valid([documents[index] for index in indexes])
        except ValueError:
            are_valid = False
        if are_valid and self._rules is None:
            return
        for index in indexes:
            verdict = self._conforms(check, documents[index])
            if not verdict:
                rejected[index] = verdict

    def _conforms(self, check: Check, document: Document) -> bool | None:
        try:
            # A check takes an Int64 for no number in some places, instead of raising.
            conforms = check.is_valid(document) or check.is_valid(_with_integers(document))
        except ValueError:
            # Most likely an Int64. From the next batch on, the driver decodes them as plain integers.
            self._codec = _INTEGERS
            try:
                conforms = check.is_valid(_with_integers(document))
            except ValueError:
                return None
        return conforms and (self._rules is None or self._rules(self._collection, document))


def _by_type(documents: list[Document]) -> dict[str | None, list[int]]:
    """The indexes of documents by their `type`; None if that is not a str."""
    indexes: dict[str | None, list[int]] = {}
    for index, document in enumerate(documents):
        type_ = document.get("type")
        if type_.__class__ is not str:
            type_ = None
        if type_ in indexes:
            indexes[type_].append(index)
        else:
            indexes[type_] = [index]
    return indexes


def _with_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_integers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_integers(part) for part in value]
    return int(value) if isinstance(value, bson.Int64) else value


def _may_hold_non_finite_number(raw: bytes) -> bool:
    """Whether BSON may contain a double that is not finite.

    The bytes of such a double end with F0 to FF and then 7F or FF, and follow the zero that ends a name. Few batches without
    one look like that by chance. Checking every value of every document would take as long as everything else together.
    """
    for last in (b"\x7f", b"\xff"):
        offset = raw.find(last, 8)
        while offset > 0:
            if raw[offset - 1] >= 0xF0 and raw[offset - 8] == 0:
                return True
            offset = raw.find(last, offset + 1)
    return False


def _holds_non_finite_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_holds_non_finite_number, value.values()))
    return isinstance(value, list) and any(map(_holds_non_finite_number, value))
