"""One thing that is wrong with one document, and summaries of many of a kind."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .compiled import Document

LONGEST_MESSAGE = 2_000
"""Characters; JSON Schema quotes the whole value that it does not accept."""
MOST_GROUPS = 1_000
EXAMPLES = 5
_PLACE = re.compile(r"/\d+(?=/|$)")
# Of these the message says what is missing or too many, which tells one fault from another; elsewhere it quotes the value.
_SPEAKING = {"required", "additionalProperties"}


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong.

    Attributes:
        id: the document's, or its `_id` where it has none.
        class_name: by which it was judged; empty where that is not known.
        path: JSON pointer within the document.
        kind: the keyword of JSON Schema that is not met ("required", "pattern"), or another word for what is wrong.
        key: of the document, see `key_of`; only where whether it is new has to be found out.
        slot: the document's field that holds the reference.
        target: the id that a reference names, or that more than one document has; None for other violations.
        lookup: the target with its type, see `lookup_of`.
        found_in: collections that hold the target of a misplaced reference, in order.
        sharing: number of documents that share a duplicate id, by collection.
        new: whether the migration caused it; None where that is not determined.
    """

    collection: str
    id: str
    class_name: str
    path: str
    kind: str
    message: str
    key: str = ""
    slot: str = ""
    target: str | None = None
    lookup: str = ""
    found_in: Sequence[str] = ()
    sharing: Mapping[str, int] = field(default_factory=dict)
    new: bool | None = None

    def told(self) -> dict[str, Any]:
        """As people read it, plain JSON."""
        return {
            "collection": self.collection,
            "id": bounded(self.id),
            "class": self.class_name or None,
            "path": bounded(self.path),
            "violation": self.kind,
            "message": bounded(self.message, LONGEST_MESSAGE),
            **({} if self.target is None else {"target": bounded(self.target)}),
            **({"found_in": self.found_in[0]} if self.found_in else {}),
            **({} if self.new is None else {"new": self.new}),
        }

    def line(self) -> str:
        """For the file of all violations."""
        return json.dumps(self.told(), ensure_ascii=False) + "\n"

    def packed(self) -> str:
        """For `unpacked`, a line."""
        return json.dumps(asdict(self)) + "\n"


def bounded(text: str, most: int = 200) -> str:
    """A text of at most so many characters; what is cut off is told by dots."""
    return text if len(text) <= most else text[:most] + "..."


def unpacked(line: str) -> Violation:
    return Violation(**json.loads(line))


def named(document: Document) -> str:
    """What people call a document: its `id`, else its `_id`."""
    return str(document.get("id", document.get("_id")))


def key_of(collection: str, document: Document) -> str:
    """Tells a document from every other, before and after a migration: its `id` where it has one, else where it is and its
    `_id`. One without an `id` that moves, or whose collection is renamed, is another.
    """
    found = document.get("id")
    return f"id {found}" if isinstance(found, str) else f"_id {collection} {document.get('_id')!r}"


def lookup_of(target: Any) -> str:
    """A target as a text that keeps its type: the text "5" differs from the number 5, and the text "None" from null."""
    return json.dumps(target, default=repr)


@dataclass
class Group:
    """Violations that differ only in the document, and in where in its lists.

    Attributes:
        examples: ids of the first few documents.
    """

    count: int
    message: str
    examples: list[str] = field(default_factory=list)


@dataclass
class Groups:
    """How many violations of each kind there are; bounded, whatever is found.

    Attributes:
        groups: by (collection, class, path, kind, what the message says, new).
        beyond: violations of kinds that came after the first thousand.
    """

    groups: dict[tuple[str, str, str, str, str, bool | None], Group] = field(default_factory=dict)
    beyond: int = 0

    def add(self, violation: Violation) -> None:
        said = violation.message[:200] if violation.kind in _SPEAKING else ""
        path = _PLACE.sub("/[]", bounded(violation.path))
        key = (violation.collection, violation.class_name, path, violation.kind, said, violation.new)
        self._add(key, Group(1, bounded(violation.message, 500), [bounded(violation.id)]))

    def merge(self, others: "Groups") -> None:
        for key, group in others.groups.items():
            self._add(key, group)
        self.beyond += others.beyond

    def _add(self, key: tuple[str, str, str, str, str, bool | None], group: Group) -> None:
        mine = self.groups.get(key)
        if mine is None:
            if len(self.groups) >= MOST_GROUPS:
                self.beyond += group.count
            else:
                self.groups[key] = Group(group.count, group.message, list(group.examples))
            return
        mine.count += group.count
        mine.examples += [one for one in group.examples if one not in mine.examples][: EXAMPLES - len(mine.examples)]

    @property
    def total(self) -> int:
        return sum(group.count for group in self.groups.values()) + self.beyond

    def listed(self) -> Iterator[dict[str, Any]]:
        """The groups, most violations first, as plain JSON."""
        for key, group in sorted(self.groups.items(), key=lambda item: -item[1].count):
            collection, class_name, path, kind, _said, new = key
            yield {
                "collection": collection,
                "class_name": class_name,
                "path": path,
                "kind": kind,
                "new": new,
                "count": group.count,
                "message": group.message,
                "examples": group.examples,
            }
