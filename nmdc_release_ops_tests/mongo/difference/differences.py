"""Differences as migrations make them, and a hostile one, for tests of their page."""

from typing import Any

import bson

from nmdc_release_ops.mongo.difference.difference import (
    ChangedPath,
    CollectionCounts,
    CollectionDifference,
    Difference,
)
from nmdc_release_ops.mongo.difference.paths import Kind, changes
from nmdc_release_ops.mongo.difference.samples import Sample, added_sample, changed_sample, removed_sample
from nmdc_release_ops_tests.pages.seen import HOSTILE


def sample(was: dict[str, Any], now: dict[str, Any]) -> Sample:
    before, after = bson.encode(was), bson.encode(now)
    return changed_sample(before, after, changes(before, after))


def collection(name: str = "a_set", **fields: Any) -> CollectionDifference:
    counts = CollectionCounts(before=name, after=name, added=1, removed=2, changed=3_000, unchanged=4)
    empty: dict[str, Any] = {"paths": [], "elsewhere": 0, "changed": [], "added": [], "removed": []}
    return CollectionDifference(**{"counts": counts, **empty, **fields})


def difference(*collections: CollectionDifference, **fields: Any) -> Difference:
    return Difference(**{"collections": list(collections), "renamed": [], "untouched": [], **fields})


def hostile() -> Difference:
    document = {"_id": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}}
    return difference(
        collection(
            HOSTILE,
            paths=[
                ChangedPath(path=HOSTILE, kind=kind, detail=HOSTILE, documents=1)
                for kind in (Kind.RENAMED, Kind.TYPE, Kind.ADDED)
            ],
            changed=[sample(document, {**document, HOSTILE: {HOSTILE: HOSTILE}})],
            added=[added_sample(bson.encode(document))],
            removed=[removed_sample(bson.encode(document))],
        ),
        renamed=[(HOSTILE, HOSTILE)],
        untouched=[HOSTILE],
    )
