"""A few documents, before and after, that show between them what changed; as text of bounded length."""

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
# Of samples that show nothing that another does not; one more of the same tells whether they are all alike.
_MOST_ALIKE = 2
_MOST_CHANGES = 30
_CODEC: CodecOptions[Document] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
_RELAXED = json_util.RELAXED_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_CANONICAL = json_util.CANONICAL_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class Sample(BaseModel):
    """One document, as indented Extended JSON, which is cut where it is too long.

    Attributes:
        changes: for people, the first ones of many.
        before: None where it was added.
        after: None where it was removed.
        excerpt: fields that are the same on both sides are left out, because the whole would be too long.
    """

    model_config = ConfigDict(frozen=True)

    changes: list[str] = []
    before: str | None = None
    after: str | None = None
    excerpt: bool = False


class Samples:
    """Chooses at most `MOST_SAMPLES` of the changed documents of a collection, so that they show different changes."""

    def __init__(self) -> None:
        self._shown: set[Change] = set()
        self._telling: list[Sample] = []
        self._alike: list[Sample] = []

    def consider(self, was: bytes, now: bytes, changes: Set[Change]) -> None:
        """Take a changed document if it shows something that none so far does, or for want of others."""
        if len(self._telling) < MOST_SAMPLES and not changes <= self._shown:
            self._shown |= changes
            self._telling.append(changed_sample(was, now, changes))
        elif len(self._telling) + len(self._alike) < _MOST_ALIKE:
            self._alike.append(changed_sample(was, now, changes))

    def chosen(self) -> list[Sample]:
        return [*self._telling, *self._alike][:MOST_SAMPLES]


def changed_sample(was: bytes, now: bytes, changes: Set[Change]) -> Sample:
    """Both sides of a changed document, in the form of Extended JSON that shows the difference."""
    before, after = bson.decode(was, _CODEC), bson.decode(now, _CODEC)
    # Relaxed Extended JSON is better to read, and shows no difference between a long and an int.
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
    return Sample(changes=listed, before=_cut(texts[0]), after=_cut(texts[1]), excerpt=excerpt)


def removed_sample(was: bytes) -> Sample:
    return Sample(before=_cut(_text(bson.decode(was, _CODEC), _RELAXED)))


def added_sample(now: bytes) -> Sample:
    return Sample(after=_cut(_text(bson.decode(now, _CODEC), _RELAXED)))


def _differing(before: Document, after: Document) -> tuple[Document, Document]:
    """What is at the top of the two documents and not the same, and the `_id`."""

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
