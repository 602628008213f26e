"""Somebody who writes at random to every collection of a database, so that it stays valid, or so that it does not."""

import random
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, Int64, ObjectId
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from nmdc_release_ops_tests.steps.equivalence_migrators import RETIRED

IDENTIFIER = re.compile(r"(nmdc:[a-z]+-)\d+-[a-z0-9]+(\.\d+)?")
"""Of a document of the demo."""
LOST = "nmdc:sty-11-nobody00"
"""An id that no document has."""

Document = dict[str, Any]
Undo = Callable[[], None]


class RandomWriter:
    """Somebody who writes at random. The same seed writes the same to the same database."""

    def __init__(self, database: Database[Any], names: list[str], rng: random.Random) -> None:
        """Args:
        names: of the collections to write to.
        """
        self._database = database
        self._names = [name for name in sorted(names) if database[name].find_one()]
        self._rng = rng
        self._number = rng.randrange(10**6) * 1000
        self.log: list[str] = []

    def write(self, times: int, names: list[str] | None = None) -> None:
        """Make so many writes, after which the database is as valid as before.

        Args:
            names: of the collections; by default any.
        """
        for _ in range(times):
            name = self._rng.choice(names or self._names)
            kind = self._rng.choice(
                [
                    self._insert,
                    self._insert,
                    self._update,
                    self._update,
                    self._replace,
                    self._replace,
                    self._delete,
                    self._delete,
                    self._delete_and_insert,
                    self._move,
                    self._move,
                    self._change_and_put_back,
                    self._insert_and_delete,
                    self._in_a_transaction,
                    self._change_what_migrators_change,
                ]
            )
            document = self._any(name)
            if document is not None:
                with suppress(DuplicateKeyError):
                    kind(name, document)
                self.log.append(f"{kind.__name__} {name} {document['_id']!r} {document.get('id')}")

    def _any(self, name: str) -> Document | None:
        keys = [one["_id"] for one in self._database[name].find({}, {"_id": 1}).sort("_id")]
        return self._find(name, self._rng.choice(keys)) if keys else None

    def _find(self, name: str, key: Any) -> Document | None:
        found: Document | None = self._database[name].find_one({"_id": {"$eq": key}})
        return found

    def _insert(self, name: str, like: Document) -> None:
        self._database[name].insert_one(self._made_like(name, like))

    def _made_like(self, name: str, like: Document) -> Document:
        new = {**like, "_id": self._free_key(name)}
        self._number += 1
        if "id" in like:
            new["id"] = IDENTIFIER.sub(lambda found: f"{found[1]}11-r{self._number}{found[2] or ''}", like["id"])
        if "gene_function_id" in like:
            new["gene_function_id"] = f"KEGG.ORTHOLOGY:K{self._number % 100_000:05}"
        return new

    def _free_key(self, name: str) -> Any:
        rng, number = self._rng, self._rng.randrange(30)
        kinds: list[Any] = [
            *(number, float(number), Int64(number), Decimal128(f"{number}.0")),
            *(f"text {number}", {"a": number}, {"a": float(number)}, b"%d" % number, rng.random() < 0.5),
            *(datetime.fromtimestamp(number, UTC), ObjectId(rng.randbytes(12)), ObjectId(rng.randbytes(12))),
        ]
        key = rng.choice(kinds)
        return key if self._find(name, key) is None else ObjectId(rng.randbytes(12))

    def _update(self, name: str, document: Document) -> None:
        self._set(name, document["_id"], self._change(document))

    def _set(self, name: str, key: Any, change: Document) -> None:
        self._database[name].update_one({"_id": {"$eq": key}}, {"$set": change})

    def _change(self, document: Document) -> Document:
        """A valid one."""
        self._number += 1
        if "count" in document:
            return {"count": self._rng.randrange(1, 1000)}
        if "start" in document:
            return {"start": self._rng.randrange(1, 1000)}
        return {"name": f"written {self._number}"} if "name" in document else {"has_function": "PFAM:PF00001"}

    def _replace(self, name: str, document: Document) -> None:
        """By one whose `_id` is equal, and perhaps of another type."""
        key = document["_id"]
        if isinstance(key, int | float) and not isinstance(key, bool):
            key = self._rng.choice([int, float, Int64])(key)
        new = {**document, "_id": key, **self._change(document)}
        self._database[name].find_one_and_replace({"_id": {"$eq": document["_id"]}}, new)

    def _delete(self, name: str, document: Document) -> None:
        if self._is_free(document):
            self._remove(name, document["_id"])

    def _remove(self, name: str, key: Any) -> None:
        self._database[name].delete_one({"_id": {"$eq": key}})

    def _is_free(self, document: Document) -> bool:
        """Whether no other document refers to this one."""
        identifier = document.get("id")
        return identifier is None or not any(self._refers(name, identifier) for name in self._names)

    def _refers(self, name: str, identifier: str) -> bool:
        slots = ("associated_studies", "part_of", "has_input", "has_output", "instrument_used", "was_generated_by")
        more = ("was_informed_by", "calibration_object", "generates_calibration", "expected_organism", "contained_in")
        last = ("has_chromatography_configuration", "has_mass_spectrometry_configuration", "uses_calibration")
        condition = {"$or": [{slot: identifier} for slot in (*slots, *more, *last)]}
        return self._database[name].find_one(condition) is not None

    def _delete_and_insert(self, name: str, document: Document) -> None:
        self._remove(name, document["_id"])
        self._database[name].insert_one({**document, **self._change(document)})

    def _move(self, name: str, document: Document) -> None:
        """To another `_id`."""
        self._remove(name, document["_id"])
        self._database[name].insert_one({**document, "_id": self._free_key(name)})

    def _change_and_put_back(self, name: str, document: Document) -> None:
        self._update(name, document)
        self._database[name].replace_one({"_id": {"$eq": document["_id"]}}, document)

    def _insert_and_delete(self, name: str, like: Document) -> None:
        new = self._made_like(name, like)
        self._database[name].insert_one(new)
        self._remove(name, new["_id"])

    def _in_a_transaction(self, name: str, document: Document) -> None:
        collection = self._database[name]
        with self._database.client.start_session() as session, session.start_transaction():
            collection.delete_one({"_id": {"$eq": document["_id"]}}, session=session)
            collection.insert_one({**document, **self._change(document)}, session=session)

    def _change_what_migrators_change(self, name: str, document: Document) -> None:
        """The form of an ORCID, of which one is migrated to the other."""
        found = document.get("has_credit_associations")
        if not found:
            self._update(name, document)
            return
        other = self._rng.choice(["0000-0002-1825-0097", "orcid:0000-0002-1825-0097", "0000-0002-1694-233x", ""])
        self._set(name, document["_id"], {"has_credit_associations.0.applies_to_person.orcid": other})

    def retire(self) -> Undo:
        """Give an instrument the name of those that a migrator of `equivalence_migrators` deletes."""
        document = self._any("instrument_set")
        assert document is not None
        self.log.append(f"retire {document['id']}")
        self._set("instrument_set", document["_id"], {"name": RETIRED})
        return lambda: self._put_back("instrument_set", document)

    def break_something(self, names: list[str] | None = None) -> Undo:
        """Make the database invalid, perhaps; return what makes it valid again."""
        kind = self._rng.choice([self._break_schema, self._break_reference, self._delete_target, self._duplicate])
        name, document = self._with_id(names)
        self.log.append(f"{kind.__name__} {name} {document['_id']!r} {document['id']}")
        return kind(name, document)

    def _with_id(self, names: list[str] | None = None) -> tuple[str, Document]:
        while True:
            name = self._rng.choice(names or self._names)
            document = self._any(name)
            if document is not None and "id" in document:
                return name, document

    def _break_schema(self, name: str, document: Document) -> Undo:
        self._set(name, document["_id"], {"no_slot": 1})
        return lambda: self._put_back(name, document)

    def _break_reference(self, name: str, document: Document) -> Undo:
        slots = [slot for slot in ("associated_studies", "has_input", "has_output") if slot in document]
        if not slots:
            return self._break_schema(name, document)
        self._set(name, document["_id"], {self._rng.choice(slots): [LOST]})
        return lambda: self._put_back(name, document)

    def _delete_target(self, name: str, document: Document) -> Undo:
        self._remove(name, document["_id"])
        return lambda: self._put_back(name, document)

    def _duplicate(self, name: str, document: Document) -> Undo:
        key = self._free_key(name)
        try:
            self._database[name].insert_one({**document, "_id": key})
        except DuplicateKeyError:
            # An index keeps most collections from it.
            return self._break_schema(name, document)
        return lambda: self._remove(name, key)

    def _put_back(self, name: str, document: Document) -> None:
        self._database[name].replace_one({"_id": {"$eq": document["_id"]}}, document, upsert=True)
