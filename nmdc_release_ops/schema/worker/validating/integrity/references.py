"""The references of documents, and whether they point to documents in allowed collections.

The rules, and the definition of a violation, are refscan's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from ..compiled import Document
from ..violations import Violation, key_of_document, key_of_target, name_of
from .identifiers import Id

DANGLING = "dangling reference"
MISPLACED = "misplaced reference"

FindCollections = Callable[[Set[Id]], Mapping[Id, Set[str]]]
"""Returns the collections of the documents with these ids."""

_ABSENT = object()
_CACHED_TARGETS = 20_000
"""Targets per rule that are known to be in an allowed collection."""


@dataclass(eq=False)
class Rule:
    """A field that is a reference.

    Attributes:
        allowed: the collections that it may point to.
        known: targets that are in one of them.
    """

    name: str
    allowed: frozenset[str]
    known: set[Id] = field(default_factory=set)

    def forget_some(self) -> None:
        """Keep `known` from growing without limit."""
        if len(self.known) > _CACHED_TARGETS:
            self.known.clear()


class ReferenceRules:
    """Which fields of a document are references; `reference_rules.reference_rules` creates the content."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._rules: dict[str, tuple[dict[str, tuple[Rule, ...]], tuple[Rule, ...]]] = {}

    def collections_with_ids(self) -> list[str]:
        return sorted(name for name, rules in self._content.items() if rules["has_ids"])

    def of(self, collection: str, type_: Any) -> tuple[Rule, ...]:
        """The rules for a document of a collection with that `type`."""
        if collection not in self._rules:
            rules = self._content.get(collection, {"types": {}, "otherwise": None})
            by_type = {name: _make_rules(fields) for name, fields in rules["types"].items()}
            self._rules[collection] = by_type, _make_rules(rules["otherwise"] or {})
        by_type, otherwise = self._rules[collection]
        return by_type.get(type_, otherwise) if type_.__class__ is str else otherwise


def _make_rules(fields: Mapping[str, list[str]]) -> tuple[Rule, ...]:
    return tuple(Rule(name, frozenset(allowed)) for name, allowed in fields.items())


class References:
    """Looks up the references of documents.

    Attributes:
        checked: the number of references looked up so far.
        noted: the different targets of references, by the collections that they may be in; None if they are not to be noted.
    """

    def __init__(self, rules: ReferenceRules, find_collections: FindCollections) -> None:
        self._rules = rules
        self._find_collections = find_collections
        self._rules_of_noted: dict[frozenset[str], Rule] = {}
        self.checked = 0
        self.noted: dict[frozenset[str], set[Id]] | None = None

    def rules_of(self, collection: str, type_: str) -> tuple[Rule, ...]:
        """The fields of a document with that `type` that are references, where it has them."""
        return self._rules.of(collection, type_)

    def find_invalid(self, rule: Rule, targets: Set[Id]) -> Set[Id]:
        """Those of the targets that are in none of the collections that the field may point to."""
        unknown = targets - rule.known
        collections = self._find_collections(unknown) if unknown else {}
        invalid = {one for one in unknown if rule.allowed.isdisjoint(collections.get(one, ()))}
        rule.known.update(unknown - invalid)
        rule.forget_some()
        return invalid

    def note(self, rule: Rule, targets: Iterable[Any]) -> None:
        """Note targets of references, valid or not, if they are to be noted."""
        if self.noted is not None:
            noted = self.noted.setdefault(rule.allowed, set())
            noted.update(one for one in targets if one is None or one.__class__ is str)

    def are_valid(self, noted: Mapping[frozenset[str], Set[Id]]) -> bool:
        """Whether every target that was noted is in one of the collections that it may be in."""
        return not any(
            self.find_invalid(self._rules_of_noted.setdefault(allowed, Rule("", allowed)), targets)
            for allowed, targets in noted.items()
        )

    def find_violations(self, collection: str, documents: Sequence[Document]) -> Iterator[Violation]:
        """The violations of the references of some documents of a collection. Each target is looked up once.

        Exhaust the iterator before the next call.
        """
        unknown: dict[Rule, set[Id]] = {}
        any_violation = False
        for document in documents:
            for rule in self._rules.of(collection, document.get("type")):
                value = document.get(rule.name, _ABSENT)
                if value is _ABSENT:
                    continue
                targets = value if isinstance(value, list) else (value,)
                self.checked += len(targets)
                self.note(rule, targets)
                for target in targets:
                    if target.__class__ is str or target is None:
                        if target not in rule.known:
                            unknown.setdefault(rule, set()).add(target)
                    else:
                        # An id is a text.
                        any_violation = True
        collections = self._find_collections(set().union(*unknown.values())) if unknown else {}
        for rule, targets_of_rule in unknown.items():
            valid = {one for one in targets_of_rule if not rule.allowed.isdisjoint(collections.get(one, ()))}
            rule.known.update(valid)
            any_violation = any_violation or len(valid) < len(targets_of_rule)
        if any_violation:
            for document in documents:
                yield from self._violations_of(collection, document, collections)
        for rule in unknown:
            rule.forget_some()

    def _violations_of(
        self, collection: str, document: Document, collections: Mapping[Id, Set[str]]
    ) -> Iterator[Violation]:
        """The violations of one document, whose targets are known to be valid or have been looked up."""
        for rule in self._rules.of(collection, document.get("type")):
            value = document.get(rule.name, ())
            is_list = isinstance(value, list | tuple)
            for index, target in enumerate(value if is_list else (value,)):
                is_id = target is None or isinstance(target, str)
                if is_id and target in rule.known:
                    continue
                found_in = collections.get(target, frozenset()) if is_id else frozenset()
                if rule.allowed.isdisjoint(found_in):
                    path = f"/{rule.name}/{index}" if is_list else f"/{rule.name}"
                    yield _violation(collection, document, rule, path, target, found_in)


def _violation(
    collection: str, document: Document, rule: Rule, path: str, target: Any, found_in: Set[str]
) -> Violation:
    allowed = ", ".join(sorted(rule.allowed))
    if found_in:
        message = f"{target} is in {', '.join(sorted(found_in))}; this field may only point to {allowed}"
    else:
        message = f"There is no document {target} in {allowed}, nor in any other collection"
    return Violation(
        collection=collection,
        id=name_of(document),
        class_name=str(document.get("type")).rpartition(":")[2],
        path=path,
        kind=MISPLACED if found_in else DANGLING,
        message=message,
        document_key=key_of_document(collection, document),
        slot=rule.name,
        target=str(target),
        target_key=key_of_target(target),
        found_in=sorted(found_in),
    )
