"""What a run did, gathered from Dagster, the records of its steps and the origin: for its page, and for its run page."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.state.journal import Journal, read_journal
from nmdc_release_ops.mongo.state.lease import Freeze, Lease, current_lease, freezes_of
from nmdc_release_ops.pages.summary import (
    ROLLBACK,
    WORDS,
    Blocked,
    KeptArchive,
    MigratorRun,
    Outcome,
    ReleaseSummary,
    Swap,
    Validated,
)
from nmdc_release_ops.planning.schema_changes_page import PAGE as CHANGES_PAGE
from nmdc_release_ops.records.data_release import (
    Archive,
    FreezeWindow,
    MigratedDatabase,
    ReleasePlan,
    Restoration,
    ValidationReport,
)
from nmdc_release_ops.records.follow_up import FollowedUp
from nmdc_release_ops.records.record import Record
from nmdc_release_ops.resources.environment import ConfigurationMissing, mask_secrets
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.report import PAGE, SUMMARY, read_summary
from nmdc_release_ops.steps.preparing.preparation import ENVIRONMENTS
from nmdc_release_ops.steps.runs.run_facts import (
    RunRecords,
    describe_launch,
    find_failure,
    list_steps,
    list_warnings,
)
from nmdc_release_ops.steps.runs.run_tags import PREFIX, ROLLED_BACK
from nmdc_release_ops.steps.showing.verdict import count_intolerable


@dataclass(frozen=True)
class Found:
    """The state of a release on the origin; `blocked` is None where it could not be asked, `swapped_at` where it was not swapped
    in.
    """

    swap: Swap
    blocked: list[Blocked] | None
    swapped_at: datetime | None = None


@dataclass(frozen=True)
class Gathered:
    """What a run did, and the folder of its release."""

    folder: Path
    summary: ReleaseSummary


def gather(
    instance: dg.DagsterInstance,
    home: ReleaseHomeResource,
    run_id: str,
    outcome: Outcome,
    *,
    origin: OriginResource | None = None,
    found: Found | None = None,
    in_hand: Mapping[str, Record] | None = None,
    brief: bool = False,
) -> Gathered | None:
    """Gather what a run did; None if no release was planned, or rolled back.

    Args:
        outcome: of the run.
        origin: is asked how far the swap is and how long writes were blocked. None where the records say so.
        found: what it would say; then it is not asked.
        in_hand: records that are not written yet, by step.
        brief: leave out what needs all of the run's log: its warnings, and why it failed.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.job_name not in WORDS:
        return None
    of_run = _describe_run(instance, run, outcome)
    if not brief:
        failure = find_failure(instance, run_id)
        of_run["failure"] = failure.says if failure else ""
        of_run["warnings"] = list(list_warnings(instance, run_id))
    if run.job_name == ROLLBACK:
        return _gather_rollback(run, home, of_run, found or ask_origin(origin, run.tags.get(ROLLED_BACK, "")))
    records = RunRecords(instance, home, run, in_hand or {})
    plan = records.read(ReleasePlan, "plan", "choose.plan")
    if plan is None:
        return None
    folder = home.releases(plan) / plan.release_id
    state = found or (ask_origin(origin, plan.release_id) if origin else _recorded_state(records))
    of_run["warnings"] = list(dict.fromkeys([*map(mask_secrets, plan.warnings), *of_run["warnings"]]))
    return Gathered(
        folder,
        ReleaseSummary(
            **of_run,
            **_describe_plan(plan),
            **_describe_archive(records),
            **_describe_migration(records, plan, folder),
            **_describe_validation(records, plan, folder),
            **_describe_follow_up(records),
            schema_changes=_find_schema_changes(plan, folder),
            earlier_runs=[one.run_id for one in records.runs[1:]],
            installed=_read_installed(home, plan, [one.run_id for one in records.runs]),
            swap=state.swap,
            swapped_at=state.swapped_at,
            blocked=state.blocked,
        ),
    )


def _describe_run(instance: dg.DagsterInstance, run: dg.DagsterRun, outcome: Outcome) -> dict[str, Any]:
    steps = list_steps(instance, run.run_id, outcome)
    stopped = [step.name for step in steps if step.outcome in (Outcome.FAILED, Outcome.CANCELLED)]
    last = max((step.ended or datetime.now(UTC) for step in steps), default=None)
    return {
        "job": run.job_name,
        "run_id": run.run_id,
        "launched_by": describe_launch(run),
        "started": min((step.started for step in steps), default=datetime.now(UTC)),
        "ended": None if outcome is Outcome.UNDER_WAY else last,
        "outcome": outcome,
        "steps": steps,
        "stopped_in": next(iter(stopped), ""),
        "warnings": [],
    }


def _gather_rollback(
    run: dg.DagsterRun, home: ReleaseHomeResource, of_run: dict[str, Any], state: Found
) -> Gathered | None:
    release_id = run.tags.get(ROLLED_BACK, "")
    folder = home.find_release(release_id) if release_id else None
    if folder is None:
        return None
    release = ReleaseSummary.read(folder / "release.json")
    at, _, back_to = run.tags.get(f"{PREFIX}/schema", "").partition(" -> ")
    # Those of the release itself are on its own page.
    blocked = [one for one in state.blocked or [] if one.until is None or one.until > of_run["started"]]
    return Gathered(
        folder,
        ReleaseSummary(
            **of_run,
            release_id=release_id,
            database=release.database if release else "the database",
            server=release.server if release else "",
            from_version=at,
            to_version=back_to,
            swap=state.swap,
            blocked=None if state.blocked is None else blocked,
        ),
    )


def ask_origin(origin: OriginResource | None, release_id: str) -> Found:
    """Ask the origin how far the swap of a release is, and when writes were blocked for it."""
    unknown = Found(Swap.UNKNOWN, None)
    if origin is None:
        return unknown
    try:
        with origin.connect() as connected:
            journal = read_journal(connected.client, release_id)
            freezes = freezes_of(connected.client, release_id)
            return state_of(journal, freezes, current_lease(connected.client), release_id)
    except (MongoError, PyMongoError, ConfigurationMissing):
        return unknown


def state_of(journal: Journal | None, freezes: Sequence[Freeze], lease: Lease | None, release_id: str) -> Found:
    """The state of a release, by its journal, its freezes that are over, and the lease on the origin."""
    blocked = [Blocked(since=_aware(one.frozen_at), until=_aware(one.thawed_at)) for one in freezes]
    if lease is not None and lease.release_id == release_id and lease.frozen_at is not None:
        blocked.append(Blocked(since=_aware(lease.frozen_at), until=None))
    if journal is None:
        return Found(Swap.NOT_BEGUN, blocked)
    return Found(Swap(journal.state.value), blocked, journal.swapped_at and _aware(journal.swapped_at))


def _recorded_state(records: RunRecords) -> Found:
    """The same, by what the steps recorded."""
    window = records.read(FreezeWindow, "unfreeze")
    swapped = records.read(Restoration, "restore")
    blocked = state_of(None, window.freezes if window else [], None, "").blocked
    return Found(Swap.DONE, blocked, _aware(swapped.swapped_at)) if swapped else Found(Swap.NOT_BEGUN, blocked)


def _aware(moment: datetime) -> datetime:
    """Dates of MongoDB are UTC; the driver returns some of them without saying so."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _describe_plan(plan: ReleasePlan) -> dict[str, Any]:
    return {
        "release_id": plan.release_id,
        "database": plan.database,
        "server": plan.server,
        "from_version": plan.from_version,
        "to_version": plan.to_version,
        "schema_source": None if plan.schema_source is None else mask_secrets(plan.schema_source),
        "rehearsal": plan.rehearsal,
    }


def _find_schema_changes(plan: ReleasePlan, folder: Path) -> Path | None:
    """The page of the newest plan; of a promotion, that of its rehearsal."""
    planned = folder.with_name(plan.rehearsal) if plan.rehearsal else folder
    pages = sorted(planned.glob(f"attempts/*/{CHANGES_PAGE}"))
    return _relative(pages[-1], folder) if pages else None


def _describe_archive(records: RunRecords) -> dict[str, Any]:
    archive = records.read(Archive, "dump", "choose.archive")
    if archive is None:
        return {}
    return {
        "archive": KeptArchive(
            documents=archive.documents,
            bytes=sum(one.file_bytes for one in archive.collections),
            dumped_at=datetime.fromtimestamp(archive.cluster_time.seconds, UTC),
        )
    }


def _describe_migration(records: RunRecords, plan: ReleasePlan, folder: Path) -> dict[str, Any]:
    migrated = records.read(MigratedDatabase, "migrate", "choose.migrated")
    done = {one.module: one for one in migrated.migrators} if migrated else {}
    migrators = [
        MigratorRun(
            module=one.module,
            from_version=one.from_version,
            to_version=one.to_version,
            does_nothing=one.does_nothing,
            seconds=done[one.module].seconds if one.module in done and not one.does_nothing else None,
            written=done[one.module].written if one.module in done else {},
        )
        for one in plan.migrators
    ]
    if migrated is None:
        return {"migrators": migrators}
    return {
        "migrators": migrators,
        "changes": migrated.changes,
        "counts": migrated.counts,
        "difference": _relative(migrated.difference, folder),
    }


def _describe_validation(records: RunRecords, plan: ReleasePlan, folder: Path) -> dict[str, Any]:
    report = records.read(ValidationReport, "validate", "choose.validation")
    window = records.read(FreezeWindow, "unfreeze")
    verified = {"verification": window.verification.describe()} if window and window.verification else {}
    failed = _read_failed_validation(plan, folder, records.runs[0].run_id)
    if failed or report is None:
        return {**verified, **failed}
    return {
        **verified,
        "validated": Validated(
            documents=report.documents,
            references=report.references,
            violations=report.violations,
            tolerated=report.tolerated,
            by_kind=report.by_kind,
        ),
        "conclusion": report.conclusion,
        "validation": _relative(report.page_path, folder),
    }


def _describe_follow_up(records: RunRecords) -> dict[str, Any]:
    found = records.read(FollowedUp, "follow_up")
    return {"follow_up": found.describe()} if found else {}


def _read_failed_validation(plan: ReleasePlan, folder: Path, run_id: str) -> dict[str, Any]:
    """What a validation found that stops the release: it leaves its reports, and no record. A promotion validates again what
    was written since.
    """
    for path in folder.glob(f"attempts/*-{run_id[:8]}/{SUMMARY}"):
        try:
            found = read_summary(path)
        except (OSError, ValueError):
            continue
        if not (stopping := count_intolerable(found, plan.integrity)):
            return {}
        return {
            "validated": Validated(
                documents=found.documents,
                references=found.references,
                violations=stopping,
                tolerated=found.violations + found.integrity.found - stopping,
                by_kind=found.by_kind,
            ),
            "validation": _relative(path.with_name(PAGE), folder),
        }
    return {}


def _relative(path: Path | None, folder: Path) -> Path | None:
    return None if path is None else Path(os.path.relpath(path, folder))


def _read_installed(home: ReleaseHomeResource, plan: ReleasePlan, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """What was installed in each environment, as the run that planned listed it."""
    attempts = home.releases(plan) / plan.release_id / "attempts"
    for run_id in run_ids:
        for path in attempts.glob(f"*-{run_id[:8]}/{ENVIRONMENTS}"):
            try:
                listed: dict[str, dict[str, str]] = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            return listed
    return {}
