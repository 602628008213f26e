"""References between documents: which a document has, and whether they lead to where they may.

The rules, and what is a violation, are refscan's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ..compiled import Document
from ..violations import Violation, key_of, lookup_of, named
from .identifiers import Id

DANGLING = "dangling reference"
MISPLACED = "misplaced reference"

Where = Callable[[Set[Id]], Mapping[Id, Set[str]]]
"""The collections that documents with these ids are in."""

_ABSENT = object()
_REMEMBERED = 20_000
"""Targets per rule that are known to be where they may be."""


@dataclass(eq=False)
class Rule:
    """A field that is a reference, by its name.

    Attributes:
        allowed: the collections that it may lead to.
        known: targets that are there.
    """

    name: str
    allowed: frozenset[str]
    known: set[Id] = field(default_factory=set)


class ReferenceRules:
    """Which fields of a document are references, as `reference_rules.reference_rules` describes it."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._described = described
        self._made: dict[str, tuple[dict[str, tuple[Rule, ...]], tuple[Rule, ...]]] = {}

    def collections_with_ids(self) -> list[str]:
        return sorted(name for name, about in self._described.items() if about["has_ids"])

    def of(self, collection: str, said: Any) -> tuple[Rule, ...]:
        """The rules for a document of a collection that says `said` in its `type`."""
        if collection not in self._made:
            about = self._described.get(collection, {"types": {}, "otherwise": None})
            by_type = {name: _rules(fields) for name, fields in about["types"].items()}
            self._made[collection] = by_type, _rules(about["otherwise"] or {})
        by_type, otherwise = self._made[collection]
        return by_type.get(said, otherwise) if said.__class__ is str else otherwise


def _rules(fields: Mapping[str, list[str]]) -> tuple[Rule, ...]:
    return tuple(Rule(name, frozenset(allowed)) for name, allowed in fields.items())


class References:
    """Looks up the references of documents.

    Attributes:
        checked: how many.
    """

    def __init__(self, rules: ReferenceRules, where: Where) -> None:
        self._rules = rules
        self._where = where
        self.checked = 0

    def violations(self, collection: str, documents: Sequence[Document]) -> Iterator[Violation]:
        """What is wrong with the references of some documents of a collection; each target is looked up once.

        All of it has to be taken, before the next documents come.
        """
        unknown: dict[Rule, set[Id]] = {}
        strange = False
        for document in documents:
            for rule in self._rules.of(collection, document.get("type")):
                value = document.get(rule.name, _ABSENT)
                if value is _ABSENT:
                    continue
                targets = value if isinstance(value, list) else (value,)
                self.checked += len(targets)
                for target in targets:
                    if target.__class__ is str or target is None:
                        if target not in rule.known:
                            unknown.setdefault(rule, set()).add(target)
                    else:
                        # Nobody's id.
                        strange = True
        found = self._where(set().union(*unknown.values())) if unknown else {}
        for rule, asked in unknown.items():
            fine = {target for target in asked if not rule.allowed.isdisjoint(found.get(target, ()))}
            rule.known.update(fine)
            strange = strange or len(fine) < len(asked)
        if strange:
            for document in documents:
                yield from self._of(collection, document, found)
        for rule in unknown:
            if len(rule.known) > _REMEMBERED:
                rule.known.clear()

    def _of(self, collection: str, document: Document, found: Mapping[Id, Set[str]]) -> Iterator[Violation]:
        """The violations of one document, whose targets are known to be fine or have been looked up."""
        for rule in self._rules.of(collection, document.get("type")):
            value = document.get(rule.name, ())
            several = isinstance(value, list | tuple)
            for place, target in enumerate(value if several else (value,)):
                is_id = target is None or isinstance(target, str)
                if is_id and target in rule.known:
                    continue
                places = found.get(target, frozenset()) if is_id else frozenset()
                if rule.allowed.isdisjoint(places):
                    path = f"/{rule.name}/{place}" if several else f"/{rule.name}"
                    yield _violation(collection, document, rule, path, target, places)


def _violation(collection: str, document: Document, rule: Rule, path: str, target: Any, places: Set[str]) -> Violation:
    leads_to = ", ".join(sorted(rule.allowed))
    if places:
        message = f"{target} is in {', '.join(sorted(places))}; this field leads to {leads_to}"
    else:
        message = f"There is no document {target} in {leads_to}, nor anywhere else"
    return Violation(
        collection=collection,
        id=named(document),
        class_name=str(document.get("type")).rpartition(":")[2],
        path=path,
        kind=MISPLACED if places else DANGLING,
        message=message,
        key=key_of(collection, document),
        slot=rule.name,
        target=str(target),
        lookup=lookup_of(target),
        found_in=sorted(places),
    )
