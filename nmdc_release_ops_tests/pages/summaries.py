"""Summaries of releases as they are made, for tests of their pages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nmdc_release_ops.mongo.difference.changes import ChangeSet, Rename
from nmdc_release_ops.mongo.difference.difference import CollectionCounts
from nmdc_release_ops.pages.summary import (
    Blocked,
    KeptArchive,
    MigratorRun,
    Outcome,
    ReleaseSummary,
    StepRun,
    Swap,
    Validated,
)
from nmdc_release_ops_tests.pages.seen import HOSTILE

STARTED = datetime(2026, 11, 29, 22, 0, 0, tzinfo=UTC)
RELEASE_ID = "20261129T220000Z-11.23.0-to-11.25.0-b5eecdd0"
SECONDS = {
    "plan": (0, 6.2),
    "freeze": (6.5, 7.1),
    "dump": (7.4, 14.8),
    "migrate": (15.0, 19.0),
    "validate": (19.3, 41.0),
    "restore": (41.2, 44.9),
    "unfreeze": (45.1, 46.0),
}


def after(seconds: float) -> datetime:
    return STARTED + timedelta(seconds=seconds)


def steps(*names: str, last: Outcome = Outcome.SUCCEEDED) -> list[StepRun]:
    """Steps that succeeded, but for the last of them."""
    outcomes = [*([Outcome.SUCCEEDED] * (len(names) - 1)), last]
    return [
        StepRun(name=name, outcome=outcome, started=after(SECONDS[name][0]), ended=after(SECONDS[name][1]))
        for name, outcome in zip(names, outcomes, strict=True)
    ]


def counts(name: str, changed: int = 1_204) -> CollectionCounts:
    return CollectionCounts(before=name, after=name, added=1, removed=0, changed=changed, unchanged=17)


def released(**fields: Any) -> ReleaseSummary:
    """A data_release of 46 seconds, that blocked writes for 38.5."""
    names = ["biosample_set", "data_generation_set", "study_set"]
    whole: dict[str, Any] = {
        "job": "data_release",
        "release_id": RELEASE_ID,
        "run_id": "b5eecdd0-1111-2222-3333-444444444444",
        "launched_by": "a person, in the UI or a terminal",
        "database": "nmdc",
        "server": "MongoDB 6.0.5, replica set nmdc",
        "from_version": "11.23.0",
        "to_version": "11.25.0",
        "started": STARTED,
        "ended": after(46),
        "outcome": Outcome.SUCCEEDED,
        "swap": Swap.DONE,
        "steps": steps(*SECONDS),
        "blocked": [Blocked(since=after(7), until=after(45.5))],
        "migrators": [
            MigratorRun(
                module="migrator_from_11_23_0_to_11_24_0",
                from_version="11.23.0",
                to_version="11.24.0",
                does_nothing=False,
                seconds=3.2,
                written=dict.fromkeys(names, 1204),
            ),
            MigratorRun(
                module="migrator_from_11_24_0_to_11_24_1",
                from_version="11.24.0",
                to_version="11.24.1",
                does_nothing=True,
            ),
        ],
        "changes": ChangeSet(
            changed=names,
            created=[],
            renamed=[Rename(old="old_set", new="new_set", changed=False)],
            deleted=[],
            untouched=["calibration_set", "field_research_site_set"],
        ),
        "counts": [counts(name) for name in names],
        "validated": Validated(
            documents=20_017, references=61_203, violations=0, tolerated=3, by_kind={"dangling reference": 3}
        ),
        "warnings": ["The privilege to end sessions is missing: open transactions are waited for."],
        "installed": {"11.25.0": {"nmdc-schema": "11.25", "linkml": "1.9.4"}},
        "archive": KeptArchive(documents=20_017, bytes=4_300_000, dumped_at=after(7)),
    }
    return ReleaseSummary(**{**whole, **fields})


def failed(**fields: Any) -> ReleaseSummary:
    """A data_release that was stopped by invalid documents, and thawed."""
    whole: dict[str, Any] = {
        "outcome": Outcome.FAILED,
        "stopped_in": "validate",
        "failure": "2 violations of schema 11.25.0 in 20,017 documents. The first: study_set nmdc:sty-11-x, at /category: no.\n\n"
        "No swap was begun. The origin's data are unchanged.\n\nMore: docs/runbook.md, DocumentsInvalid.",
        "swap": Swap.NOT_BEGUN,
        "steps": steps("plan", "freeze", "dump", "migrate", "validate", last=Outcome.FAILED),
        "ended": after(41),
        "blocked": [Blocked(since=after(7), until=after(41.3))],
        "validated": Validated(documents=20_017, references=61_203, violations=2, tolerated=0, by_kind={"enum": 2}),
    }
    return released(**{**whole, **fields})


def rehearsed(**fields: Any) -> ReleaseSummary:
    whole: dict[str, Any] = {
        "job": "rehearsal",
        "conclusion": "Schema 11.23.0 -> 11.25.0 was rehearsed.",
        "swap": Swap.NOT_BEGUN,
        "blocked": [],
        "steps": steps("plan", "dump", "migrate", "validate"),
        "ended": after(41),
    }
    return released(**{**whole, **fields})


def rolled_back(**fields: Any) -> ReleaseSummary:
    """The rollback of `released`, an hour later."""
    begun = after(3_600)
    whole: dict[str, Any] = {
        "job": "rollback",
        "run_id": "c5eecdd0-1111-2222-3333-444444444444",
        "from_version": "11.25.0",
        "to_version": "11.23.0",
        "started": begun,
        "ended": after(3_602),
        "swap": Swap.UNDONE,
        "steps": [StepRun(name="roll_back", outcome=Outcome.SUCCEEDED, started=begun, ended=after(3_602))],
        "blocked": [Blocked(since=after(3_600.5), until=after(3_601.4))],
        "migrators": [],
        "changes": None,
        "counts": [],
        "validated": None,
        "archive": None,
        "installed": {},
        "warnings": [],
    }
    return released(**{**whole, **fields})


def hostile() -> ReleaseSummary:
    """Everything that comes from a database, a schema release or an error is hostile, and long."""
    many = [f"{HOSTILE}{number}" for number in range(500)]
    return failed(
        launched_by=HOSTILE,
        server=HOSTILE,
        failure=HOSTILE * 50,
        warnings=[HOSTILE, "x" * 5_000],
        schema_source=HOSTILE,
        follow_up=HOSTILE,
        migrators=[
            MigratorRun(
                module="m" * 300,
                from_version=HOSTILE,
                to_version=HOSTILE,
                does_nothing=False,
                seconds=1,
                written=dict.fromkeys(many, 1),
            )
        ],
        changes=ChangeSet(changed=many, created=[], renamed=[], deleted=[], untouched=many),
        counts=[counts(name) for name in many],
        validated=Validated(documents=1, references=1, violations=1, tolerated=0, by_kind={HOSTILE: 1}),
        installed={HOSTILE: {HOSTILE: HOSTILE}},
    )


def folder_of(home: Path, release_id: str = RELEASE_ID, origin: str = "nmdc-rs0-0123456789ab") -> Path:
    """The folder of a release below a home; it is created."""
    folder = home / "origins" / origin / "releases" / release_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder
