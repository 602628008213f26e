"""A few documents, before and after, that together show what changed; as text of bounded length."""

from collections.abc import Set

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.mongo.difference.paths import Change, Kind
from nmdc_release_ops.mongo.server.connection import Document

MOST_SAMPLES = 5
LONGEST_TEXT = 20_000
"""Characters of each side of a sample."""
# Samples that show nothing new: a second one shows whether they are all alike.
_MOST_ALIKE = 2
_MOST_CHANGES = 30
_LONGEST_NAME = 200
_CODEC: CodecOptions[Document] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
_RELAXED = json_util.RELAXED_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_CANONICAL = json_util.CANONICAL_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class Sample(BaseModel):
    """One document, as indented Extended JSON, which is truncated if it is too long.

    Attributes:
        document: its `id`, or `_id` where it has none, for people.
        changes: for people; of many, the first ones.
        before: None where it was added.
        after: None where it was removed.
        excerpt: whether fields that are the same on both sides were left out, because the whole would be too long.
    """

    model_config = ConfigDict(frozen=True)

    document: str = ""
    changes: list[str] = []
    before: str | None = None
    after: str | None = None
    excerpt: bool = False


class Samples:
    """Chooses at most `MOST_SAMPLES` of the changed documents of a collection, so that they show different changes."""

    def __init__(self) -> None:
        self._shown: set[Change] = set()
        self._distinct: list[Sample] = []
        self._alike: list[Sample] = []

    def consider(self, was: bytes, now: bytes, changes: Set[Change]) -> None:
        """Keep a changed document if it shows a change that none so far does, or if there are too few others."""
        if len(self._distinct) < MOST_SAMPLES and not changes <= self._shown:
            self._shown |= changes
            self._distinct.append(changed_sample(was, now, changes))
        elif len(self._distinct) + len(self._alike) < _MOST_ALIKE:
            self._alike.append(changed_sample(was, now, changes))

    def choose(self) -> list[Sample]:
        return [*self._distinct, *self._alike][:MOST_SAMPLES]


def changed_sample(was: bytes, now: bytes, changes: Set[Change]) -> Sample:
    """Both sides of a changed document, in the form of Extended JSON that shows the difference."""
    before, after = bson.decode(was, _CODEC), bson.decode(now, _CODEC)
    # Relaxed Extended JSON is easier to read, but does not distinguish a long from an int.
    options = _CANONICAL if any(change.kind is Kind.TYPE for change in changes) else _RELAXED
    texts = [_text(before, options), _text(after, options)]
    if texts[0] == texts[1]:
        options = _CANONICAL
        texts = [_text(before, options), _text(after, options)]
    excerpt = max(map(len, texts)) > LONGEST_TEXT
    if excerpt:
        texts = [_text(part, options) for part in _differing(before, after)]
    listed = [str(change) for change in sorted(changes)]
    if len(listed) > _MOST_CHANGES:
        listed = [*listed[:_MOST_CHANGES], f"and {len(listed) - _MOST_CHANGES:,} more"]
    return Sample(document=_name(before), changes=listed, before=_cut(texts[0]), after=_cut(texts[1]), excerpt=excerpt)


def removed_sample(was: bytes) -> Sample:
    document = bson.decode(was, _CODEC)
    return Sample(document=_name(document), before=_cut(_text(document, _RELAXED)))


def added_sample(now: bytes) -> Sample:
    document = bson.decode(now, _CODEC)
    return Sample(document=_name(document), after=_cut(_text(document, _RELAXED)))


def _name(document: Document) -> str:
    name = str(document.get("id", document.get("_id", "")))
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _differing(before: Document, after: Document) -> tuple[Document, Document]:
    """The top-level fields that differ between the two documents, and the `_id`."""

    def unless_in(document: Document, other: Document) -> Document:
        return {
            key: value
            for key, value in document.items()
            if key == "_id" or key not in other or bson.encode({"": value}) != bson.encode({"": other[key]})
        }

    return unless_in(before, after), unless_in(after, before)


def _text(document: Document, options: json_util.JSONOptions) -> str:
    return json_util.dumps(document, json_options=options, indent=2, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}\n… cut after {LONGEST_TEXT:,} characters"
