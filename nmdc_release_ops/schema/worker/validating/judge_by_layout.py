"""Judging flat documents by their layout: their bytes are matched, and each distinct value is judged once.

It only accepts documents. Whatever it does not accept is judged document by document, as all others are; so it may leave out
what is hard to decide (numbers that are not finite, texts that hold a zero), and must never accept what is not valid:

- A document's length is its match's, and what lies between matches is whole documents, which are judged too. So each match
  is a document, and no document is left out.
- A text's length is what the document says, and it is UTF-8.
- The class's schema says nothing across fields. So a document is valid if one with the same fields is, and each of its values
  is valid in that one.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON

from .archived_blocks import Piece, find_documents
from .compiled import CompiledSchema, Document
from .integrity.references import References
from .known_layout import KnownLayout, conforms
from .layout import NotDecided, layout_of

LAYOUTS = 8
"""Layouts of a collection that are remembered."""
REMEMBERED_BYTES = 48_000_000
"""Bytes that the values of a collection take which are remembered as valid. Beyond that all are forgotten, and judged again
where they recur."""
_FAILURES = 200
"""Documents that have no layout of which documents may be valid, before no more layouts are looked for."""
_RARE = 10
"""As how many such documents one counts whose layout is rare."""
_SAMPLE = 1_000
_SHARE = 10
"""A layout is rare if fewer than one in so many documents of the sample have it."""
_TRIED_FOR_COVERAGE = 5_000
_TRIED_FOR_REPETITION = 100_000
_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class JudgeByLayout:
    """Judges the documents of one collection.

    It gives up on a collection of which most documents have no layout, or whose values do not recur.

    Attributes:
        accepted: the number of documents found valid so far.
    """

    def __init__(self, schema: CompiledSchema, collection: str, references: References) -> None:
        self._checks, self._otherwise = schema.checks(collection)
        self.collection = collection
        self._references = references
        self._layouts: list[KnownLayout] = []
        self._is_worth_it = not schema.calls_plugin
        self._failures = self._tried = 0
        self.accepted = 0

    def find_undecided(self, piece: Piece) -> list[bytes]:
        """The documents that have to be judged one by one. All others are valid, and so are their references."""
        if not self._is_worth_it:
            return piece.documents
        decided = _Decided()
        rest = piece.raw
        for layout in self._layouts:
            rest = decided.apply(layout, rest)
        bounds = find_documents(rest)
        if bounds[-1] != len(rest):
            return piece.documents
        self._learn_from([rest[start:end] for start, end in pairwise(bounds)], decided)
        piece.count = decided.accepted + len(decided.undecided)
        self.accepted += decided.accepted
        self._references.checked += decided.references
        self._tried += piece.count
        self._limit()
        return _in_order(decided.undecided, piece)

    def _learn_from(self, documents: list[bytes], decided: "_Decided") -> None:
        """Decide on documents of no known layout, with the layouts that are found among them."""
        while documents and self._failures < _FAILURES and len(self._layouts) < LAYOUTS:
            try:
                layout = self._learn(documents[0])
            except (NotDecided, InvalidBSON):
                self._failures += 1
                decided.undecided.append(documents.pop(0))
                continue
            # Looking for a rare layout in many documents takes longer than judging the few that have it.
            sample = documents[:_SAMPLE]
            is_known = any(known.layout == layout.layout for known in self._layouts)
            found = None if is_known else layout.find(b"".join(sample))
            if found is None or _SHARE * len(found.lengths) < len(sample):
                self._failures += _RARE
                decided.undecided.append(documents.pop(0))
                continue
            self._layouts.append(layout)
            whole = b"".join(documents)
            rest = decided.apply(layout, whole)
            if rest is whole:
                # Something among these documents only looks like one of this layout.
                break
            documents = [rest[start:end] for start, end in pairwise(find_documents(rest))]
        decided.undecided += documents

    def _learn(self, raw: bytes) -> KnownLayout:
        """The layout of a document that is valid.

        Raises:
            NotDecided, InvalidBSON: it has no layout, is not valid, or its class cannot be judged by layout.
        """
        layout = layout_of(raw)
        check = self._checks.get(layout.type_, self._otherwise)
        if check is None or not check.is_by_field:
            raise NotDecided
        document = bson.decode(raw, _CODEC)
        document.pop("_id", None)
        parts = layout.split(raw)
        if len(parts) != len(layout.fields) + 3 or parts[0] or parts[-1]:
            raise NotDecided
        for field, value in zip(layout.fields, parts[2:-1], strict=True):
            decoded = field.decode(value)
            if field.is_judged:
                document[field.name] = decoded
        rules = {rule.name: rule for rule in self._references.rules_of(self.collection, layout.type_)}
        if not (rules.keys() & document.keys()) <= {field.name for field in layout.fields if field.is_text}:
            raise NotDecided
        if not conforms(check, document):
            raise NotDecided
        return KnownLayout(layout, check, document, rules, self._references)

    def _limit(self) -> None:
        """Give up on the collection if it is not worth it, and forget values if they are too many."""
        judged = sum(layout.judged for layout in self._layouts)
        if self._tried >= _TRIED_FOR_COVERAGE and 2 * self.accepted < self._tried:
            self._is_worth_it = False
        if self._tried >= _TRIED_FOR_REPETITION and 2 * judged > self._tried:
            self._is_worth_it = False
        if not self._is_worth_it:
            self._layouts.clear()
        elif sum(layout.remembered for layout in self._layouts) > REMEMBERED_BYTES:
            for layout in self._layouts:
                layout.forget()


def _in_order(documents: list[bytes], piece: Piece) -> list[bytes]:
    """These documents of the piece in its order, so that what is reported does not depend on which layouts were known."""
    if len(documents) < 2:
        return documents
    left = Counter(documents)
    ordered = []
    for one in piece.documents:
        if left[one]:
            left[one] -= 1
            ordered.append(one)
    return ordered


@dataclass
class _Decided:
    """What has been found out about the documents of a piece.

    Attributes:
        references: of the accepted documents.
        undecided: documents of a known layout with a value that is not valid, and documents of none.
    """

    accepted: int = 0
    references: int = 0
    undecided: list[bytes] = dataclasses.field(default_factory=list)

    def apply(self, layout: KnownLayout, raw: bytes) -> bytes:
        """Decide on the documents of this layout; return the others."""
        found = layout.find(raw)
        if found is None:
            return raw
        rejected = layout.find_rejected(found.columns)
        self.undecided += found.documents(raw, rejected)
        accepted = len(found.lengths) - len(rejected)
        self.accepted += accepted
        self.references += accepted * layout.references
        return found.rest
