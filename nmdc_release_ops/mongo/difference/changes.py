"""What a migration did to a database: which collections it changed, created, renamed, deleted or did not touch."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from pymongo.database import Database

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    collection_hashes,
    list_collections,
)
from nmdc_release_ops.mongo.server.comparison import State, compare_collections, digest_definition
from nmdc_release_ops.mongo.server.connection import Document

HASH_OF_NOTHING = hashlib.md5(usedforsecurity=False).hexdigest()
"""The server's hash of a collection without documents."""


class Rename(BaseModel):
    """A collection that has another name now; `changed` where its documents, options or indexes differ too."""

    model_config = ConfigDict(frozen=True)

    old: str
    new: str
    changed: bool


class ChangeSet(BaseModel):
    """Every collection of a release, each in one of the lists, by the name it had (created ones: it has)."""

    model_config = ConfigDict(frozen=True)

    changed: list[str]
    created: list[str]
    renamed: list[Rename]
    deleted: list[str]
    untouched: list[str]

    @property
    def staged(self) -> list[str]:
        """Names, as they are after the migration, of the collections that have to be written to the origin."""
        return sorted([*self.changed, *self.created, *(rename.new for rename in self.renamed if rename.changed)])

    @property
    def kept(self) -> dict[str, str]:
        """Names before, by names after, of the collections that do not have to be written to the origin."""
        unchanged = {rename.new: rename.old for rename in self.renamed if not rename.changed}
        return {**{name: name for name in self.untouched}, **unchanged}

    @property
    def names_after(self) -> list[str]:
        """Names of all collections after the migration."""
        return sorted([*self.changed, *self.created, *(rename.new for rename in self.renamed), *self.untouched])

    @property
    def names_added(self) -> list[str]:
        """Names of collections after the migration that no collection had before it."""
        before = {*self.changed, *self.untouched, *self.deleted, *(rename.old for rename in self.renamed)}
        return sorted(set(self.names_after) - before)

    def describe(self) -> str:
        """One line for people."""
        parts = [
            f"{len(names)} {word}"
            for word, names in (
                ("changed", self.changed),
                ("created", self.created),
                ("renamed", self.renamed),
                ("deleted", self.deleted),
                ("untouched", self.untouched),
            )
            if names
        ]
        return ", ".join(parts) or "no collections"


@dataclass(frozen=True)
class Snapshot:
    """The collections of a database at one moment, and the server's hash of each."""

    collections: Mapping[str, Collection]
    hashes: Mapping[str, str]

    @property
    def definitions(self) -> dict[str, str]:
        """Digest of each collection's definition; see `digest_definition`."""
        return {name: digest_definition(collection) for name, collection in self.collections.items()}

    def with_hashes(self, hashes: Mapping[str, str]) -> "Snapshot":
        """The same moment; the hashes of some collections have only become known since."""
        return Snapshot(self.collections, {**self.hashes, **hashes})


def snapshot(database: Database[Document], unloaded: Mapping[str, str] | None = None) -> Snapshot:
    """Describe and hash every collection of a database; views are not part of it.

    Args:
        unloaded: hashes of collections of which only the archive holds the documents, by name.
    """
    collections = {name: found for name, found in list_collections(database).items() if found.kind != "view"}
    elsewhere = unloaded or {}
    return Snapshot(collections, {**collection_hashes(database, collections.keys() - elsewhere.keys()), **elsewhere})


class TransformerChanged(MongoError):
    """The transformer has changed since the migrators ended."""


def require_snapshot(
    database: Database[Document],
    hashes: Mapping[str, str],
    definitions: Mapping[str, str],
    unloaded: Iterable[str] = (),
) -> None:
    """Make sure that a database holds exactly these collections, with their documents, options and indexes.

    Args:
        unloaded: collections that hold no documents there, whatever their hash is.

    Raises:
        TransformerChanged: naming the collections that differ.
    """
    hashes = {**hashes, **dict.fromkeys(unloaded, HASH_OF_NOTHING)}
    found = snapshot(database)
    names = hashes.keys() | definitions.keys() | found.hashes.keys()
    _refuse_if_changed(
        name
        for name in names
        if (hashes.get(name), definitions.get(name)) != (found.hashes.get(name), found.definitions.get(name))
    )


def require_definitions(database: Database[Document], definitions: Mapping[str, str], names: Sequence[str]) -> None:
    """Make sure that collections are the very ones that were migrated, with the options and indexes that they had then.

    Raises:
        TransformerChanged: naming those that differ.
    """
    found = list_collections(database, names)
    _refuse_if_changed(
        name for name in names if name not in found or digest_definition(found[name]) != definitions.get(name)
    )


def _refuse_if_changed(names: Iterable[str]) -> None:
    if changed := sorted(names):
        raise TransformerChanged(
            f"{', '.join(changed)} of the transformer changed since the migrators ended: documents, options, indexes, or the "
            "collection itself. Find out who else uses the transformer, and re-execute the run from `migrate`."
        )


def compare(before: Snapshot, after: Snapshot) -> ChangeSet:
    """What happened between two snapshots of the same database.

    A collection keeps its UUID when it is renamed. That, and not what a migrator reports, distinguishes a rename from a
    deletion and a creation.
    """
    name_before = {collection.uuid: name for name, collection in before.collections.items()}
    renamed = [
        Rename(
            old=name_before[collection.uuid],
            new=name,
            changed=_differs(before, name_before[collection.uuid], after, name),
        )
        for name, collection in after.collections.items()
        if name_before.get(collection.uuid, name) != name
    ]
    old_names = {rename.old for rename in renamed}
    new_names = {rename.new for rename in renamed}
    stayed = (before.collections.keys() - old_names) & (after.collections.keys() - new_names)
    changed = {name for name in stayed if _differs(before, name, after, name)}
    return ChangeSet(
        changed=sorted(changed),
        created=sorted(after.collections.keys() - new_names - stayed),
        renamed=sorted(renamed, key=lambda rename: rename.old),
        deleted=sorted(before.collections.keys() - old_names - stayed),
        untouched=sorted(stayed - changed),
    )


def _differs(before: Snapshot, old: str, after: Snapshot, new: str) -> bool:
    was = State(before.collections[old], hash=before.hashes[old])
    return bool(compare_collections(was, State(after.collections[new], hash=after.hashes[new])))
