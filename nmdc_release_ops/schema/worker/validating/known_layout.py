"""A layout that is known to be valid, and the values that are known to be valid in it."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest
from operator import add
from struct import pack
from typing import Any

from .archived_blocks import find_documents
from .compiled import Check, Document
from .integrity.references import References, Rule
from .layout import Field, Layout, NotDecided

Columns = Sequence[Sequence[bytes]]
"""The values of some documents of a layout: for each field, the value of each document."""
_NONE = object()
_BYTES_PER_VALUE = 100


@dataclass(frozen=True)
class Found:
    """The documents of a layout within some bytes.

    Attributes:
        gaps: whole documents of other layouts, or none, before each document and after the last one.
        lengths: of the documents, in bytes.
    """

    gaps: Sequence[bytes]
    lengths: Sequence[int]
    columns: Columns

    @property
    def rest(self) -> bytes:
        """All documents of other layouts."""
        return b"".join(self.gaps) if any(self.gaps) else b""

    def documents(self, raw: bytes, numbers: Sequence[int]) -> list[bytes]:
        """Some of the documents.

        Args:
            numbers: which ones, from 0.
        """
        if not numbers:
            return []
        ends = list(accumulate(map(add, map(len, self.gaps), self.lengths)))
        return [raw[ends[number] - self.lengths[number] : ends[number]] for number in numbers]


@dataclass
class _Column:
    """A field, and which of its values are known to be valid.

    Attributes:
        rule: if it is a reference.
    """

    field: Field
    rule: Rule | None
    valid: set[bytes] = dataclasses.field(default_factory=set)


class KnownLayout:
    """A layout, with a valid document.

    Attributes:
        judged: how many values were judged, in as many documents.
        references: the number of references in a document.
        remembered: bytes that the values known to be valid take, approximately.
    """

    def __init__(
        self, layout: Layout, check: Check, document: Document, rules: Mapping[str, Rule], references: References
    ) -> None:
        """Args:
        document: it is valid, and of this layout, without its `_id`.
        rules: for references, by field.
        """
        self.layout = layout
        self._check = check
        self._document = document
        self._columns = [_Column(one, rules.get(one.name)) for one in layout.fields]
        self._references = references
        self.references = len(rules.keys() & document.keys())
        self.judged = 0
        self.remembered = 0

    def forget(self) -> None:
        self.remembered = 0
        for column in self._columns:
            column.valid.clear()

    def find(self, raw: bytes) -> Found | None:
        """The documents of this layout within others; None if there are none, or if it is not proved that they are documents."""
        stride = len(self.layout.fields) + 2
        parts = self.layout.split(raw)
        if len(parts) == 1:
            return None
        gaps = parts[::stride]
        columns = [parts[2 + number :: stride] for number in range(len(self.layout.fields))]
        lengths = self.layout.lengths(columns, len(gaps) - 1)
        if b"".join(parts[1::stride]) != pack(f"<{len(lengths)}i", *lengths):
            return None
        # What lies before a match has to be whole documents, or the match may lie within one.
        if any(gaps) and not all(find_documents(gap)[-1] == len(gap) for gap in gaps if gap):
            return None
        return Found(gaps, lengths, columns)

    def find_rejected(self, columns: Columns) -> Sequence[int]:
        """The documents, numbered from 0, that hold a value that is not valid or is not decided."""
        new = [
            # Looking values up is faster than making a set of them.
            set() if column.valid.issuperset(values) else set(values) - column.valid
            for column, values in zip(self._columns, columns, strict=True)
        ]
        decoded = [_decode(column.field, values) for column, values in zip(self._columns, new, strict=True)]
        self._note_targets(columns)
        self._drop_invalid(decoded)
        rejected: set[int] = set()
        for column, values, valid, distinct in zip(self._columns, columns, decoded, new, strict=True):
            if column.field.is_judged:
                column.valid.update(valid)
                self.remembered += sum(map(len, valid)) + _BYTES_PER_VALUE * len(valid)
            if bad := distinct - valid.keys():
                rejected.update(number for number, value in enumerate(values) if value in bad)
        return sorted(rejected)

    def _note_targets(self, columns: Columns) -> None:
        """Note all references, also those that are known to be valid."""
        if self._references.noted is not None:
            for column, values in zip(self._columns, columns, strict=True):
                if column.rule is not None:
                    self._references.note(column.rule, _decode(column.field, set(values)).values())

    def _drop_invalid(self, decoded: Sequence[dict[bytes, Any]]) -> None:
        """Remove the values that are not valid by the schema, and references that are not valid."""
        judged = [
            (column, values) for column, values in zip(self._columns, decoded, strict=True) if column.field.is_judged
        ]
        documents = list(self._documents_with(judged))
        self.judged += len(documents)
        try:
            are_valid = self._check.are_valid(documents)
        except ValueError:
            are_valid = False
        # A document that conforms proves all values that were put into it.
        bad = [] if are_valid else [number for number, one in enumerate(documents) if not conforms(self._check, one)]
        for column, values in judged:
            in_order = list(values.items()) if bad else []
            for value, one in [in_order[number] for number in bad if number < len(in_order)]:
                if not conforms(self._check, {**self._document, column.field.name: one}):
                    del values[value]
            if column.rule is not None:
                invalid = self._references.find_invalid(column.rule, set(values.values()))
                for value in [value for value, target in values.items() if target in invalid]:
                    del values[value]

    def _documents_with(self, judged: Iterable[tuple[_Column, dict[bytes, Any]]]) -> Iterator[Document]:
        """Documents of this layout that together hold all these values, as few as possible."""
        columns = [(column.field.name, values) for column, values in judged if values]
        names = [name for name, _ in columns]
        for values in zip_longest(*(values.values() for _, values in columns), fillvalue=_NONE):
            yield self._document | {
                name: value for name, value in zip(names, values, strict=True) if value is not _NONE
            }


def _decode(field: Field, values: Iterable[bytes]) -> dict[bytes, Any]:
    """Each of the values as it is judged, without those that are not decided."""
    decoded: dict[bytes, Any] = {}
    for value in values:
        try:
            decoded[value] = field.decode(value)
        except NotDecided:
            continue
    return decoded


def conforms(check: Check, document: Document) -> bool:
    """Whether a document conforms; not if it holds a value that JSON cannot represent."""
    try:
        return check.is_valid(document)
    except ValueError:
        return False
