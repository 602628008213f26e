"""Violations, and groups of similar ones."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ..disk import writing
from .compiled import Document

LONGEST_MESSAGE = 2_000
"""Characters; JSON Schema quotes the whole value that it rejects."""
MAX_GROUPS = 1_000
EXAMPLES = 5
_INDEX_IN_PATH = re.compile(r"/\d+(?=/|$)")
# The messages of these name the property that is missing or not allowed, so they distinguish faults. Others quote the value.
_KINDS_GROUPED_BY_MESSAGE = {"required", "additionalProperties"}


@dataclass(frozen=True)
class Violation:
    """One fault of one document.

    Attributes:
        id: the document's, or its `_id` if it has none.
        class_name: by which it was validated; empty if unknown.
        path: JSON pointer within the document.
        kind: the JSON Schema keyword that is violated ("required", "pattern"), or another name of the fault.
        document_key: see `key_of_document`; only set if it has to be determined whether the violation is new.
        slot: the document's field that holds the reference.
        target: the id that a reference names, or that more than one document has; None for other violations.
        target_key: see `key_of_target`.
        found_in: collections that hold the target of a misplaced reference, in order.
        shared_by: number of documents that share a duplicate id, by collection.
        new: whether the migration caused it; None if that is not determined.
    """

    collection: str
    id: str
    class_name: str
    path: str
    kind: str
    message: str
    document_key: str = ""
    slot: str = ""
    target: str | None = None
    target_key: str = ""
    found_in: Sequence[str] = ()
    shared_by: Mapping[str, int] = field(default_factory=dict)
    new: bool | None = None

    def report(self) -> dict[str, Any]:
        """For people: plain JSON, with long texts truncated."""
        return {
            "collection": self.collection,
            "id": truncate(self.id),
            "class": self.class_name or None,
            "path": truncate(self.path),
            "violation": self.kind,
            "message": truncate(self.message, LONGEST_MESSAGE),
            **({} if self.target is None else {"target": truncate(self.target)}),
            **({"found_in": self.found_in[0]} if self.found_in else {}),
            **({} if self.new is None else {"new": self.new}),
        }

    def report_line(self) -> str:
        """A line of the file of all violations."""
        return json.dumps(self.report(), ensure_ascii=False) + "\n"

    def to_json(self) -> str:
        """Everything, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


def truncate(text: str, length: int = 200) -> str:
    """A text of at most `length` characters, followed by dots if it was longer."""
    return text if len(text) <= length else text[:length] + "..."


def name_of(document: Document) -> str:
    """The `id` of a document, or its `_id` if it has none."""
    return str(document.get("id", document.get("_id")))


def key_of_document(collection: str, document: Document) -> str:
    """Identifies a document before and after a migration: by its `id`, or by its collection and `_id` if it has none.

    So a document without an `id` becomes another one if it moves or its collection is renamed.
    """
    identifier = document.get("id")
    return f"id {identifier}" if isinstance(identifier, str) else f"_id {collection} {document.get('_id')!r}"


def key_of_target(target: Any) -> str:
    """A target as a text that keeps its type: the text "5" differs from the number 5, and the text "None" from null."""
    return json.dumps(target, default=repr)


@dataclass
class Group:
    """Violations that differ only in the document, and in their positions in lists.

    Attributes:
        examples: ids of the first few documents.
    """

    count: int
    message: str
    examples: list[str] = field(default_factory=list)


@dataclass
class Groups:
    """The number of violations of each kind, of bounded size.

    Attributes:
        groups: by (collection, class, path, kind, message if it distinguishes faults, new).
        beyond: number of violations that fit into none of the first thousand groups.
    """

    groups: dict[tuple[str, str, str, str, str, bool | None], Group] = field(default_factory=dict)
    beyond: int = 0

    def add(self, violation: Violation) -> None:
        message = violation.message[:200] if violation.kind in _KINDS_GROUPED_BY_MESSAGE else ""
        path = _INDEX_IN_PATH.sub("/[]", truncate(violation.path))
        key = (violation.collection, violation.class_name, path, violation.kind, message, violation.new)
        self._add(key, Group(1, truncate(violation.message, 500), [truncate(violation.id)]))

    def merge(self, others: "Groups") -> None:
        for key, group in others.groups.items():
            self._add(key, group)
        self.beyond += others.beyond

    def _add(self, key: tuple[str, str, str, str, str, bool | None], group: Group) -> None:
        mine = self.groups.get(key)
        if mine is None:
            if len(self.groups) >= MAX_GROUPS:
                self.beyond += group.count
            else:
                self.groups[key] = Group(group.count, group.message, list(group.examples))
            return
        mine.count += group.count
        mine.examples += [one for one in group.examples if one not in mine.examples][: EXAMPLES - len(mine.examples)]

    @property
    def total(self) -> int:
        return sum(group.count for group in self.groups.values()) + self.beyond

    def report(self) -> Iterator[dict[str, Any]]:
        """The groups as plain JSON, the largest first."""
        for key, group in sorted(self.groups.items(), key=lambda item: -item[1].count):
            collection, class_name, path, kind, _message, new = key
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


class LazyFile:
    """A file that is created by the first write; an earlier attempt's file is removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    @property
    def path(self) -> Path | None:
        return self._path if self._file else None

    def write(self, line: str) -> None:
        with writing(self._path):
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(line)

    def __enter__(self) -> "LazyFile":
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with writing(self._path):
                self._file.close()
