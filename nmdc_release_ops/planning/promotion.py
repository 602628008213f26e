"""The plan of a promotion: that of the rehearsal, carried out on the origin as it is now; and what it takes over."""

from dataclasses import dataclass
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.files import lock, replace_folder, sync, writing
from nmdc_release_ops.folders import ARCHIVE, IDENTIFIERS
from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.mongo.archive.links import link_files
from nmdc_release_ops.mongo.archive.manifest import files_of
from nmdc_release_ops.mongo.freezing.choose import Choice
from nmdc_release_ops.mongo.preflight import inspect_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.server.topology import Server
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.planning.rehearsals import NothingToPromote, Rehearsal, find_damage
from nmdc_release_ops.planning.release import Attempt, find_room_problems
from nmdc_release_ops.records.data_release import (
    Archive,
    MigratedDatabase,
    PlannedCollection,
    ReleasePlan,
    ValidationReport,
)


@dataclass(frozen=True)
class PromotionOptions:
    """What the operator chose for a promotion; `ChooseConfig` describes each."""

    drain_timeout: int
    keep_archives: int
    max_frozen_seconds: int


@dataclass(frozen=True)
class PresentOrigin:
    """The origin, as it is now.

    Attributes:
        database: connected to.
        freezing: how it is going to be frozen.
    """

    database: Database[Document]
    server: Server
    identity: ServerIdentity
    freezing: Choice


def plan_promotion(
    origin: PresentOrigin, rehearsal: Rehearsal, options: PromotionOptions, attempt: Attempt
) -> ReleasePlan:
    """The plan of a rehearsal's promotion: the versions, the migrators and the collections that were rehearsed, on the origin
    as it is now.

    Raises:
        PlanRefused: naming the problems.
        LedgerUnusable: the ledger does not accept the events of the release.
    """
    rehearsed = rehearsal.plan
    inspected = inspect_collections(
        origin.database.client,
        origin.server,
        origin.database.name,
        rehearsed.managed,
        transformer=attempt.transformer,
    )
    data = sum(one.bytes for one in inspected.collections.values())
    # The environments are there already, unless they were not used for long.
    problems = [*inspected.problems, *find_room_problems(attempt, data, environments=0)]
    if problems:
        raise PlanRefused(problems)
    ledger.try_events(
        origin.database,
        from_version=rehearsed.from_version,
        to_version=rehearsed.to_version,
        migrator_module=rehearsed.last_migrator_module,
        release_id=attempt.release_id,
    )
    return ReleasePlan.model_validate(
        {
            **rehearsed.model_dump(),
            "made_from": {},
            "release_id": attempt.release_id,
            "run_id": attempt.run_id,
            "purpose": attempt.purpose,
            "rehearsal": rehearsed.release_id,
            "max_frozen_seconds": options.max_frozen_seconds,
            "server": str(origin.server),
            "origin": origin.identity.to_keep(),
            "strategy": origin.freezing.strategy,
            "strategy_reason": origin.freezing.reason,
            "drain_timeout": options.drain_timeout,
            "keep_archives": options.keep_archives,
            "collections": [
                PlannedCollection(name=name, documents=one.documents, bytes=one.bytes)
                for name, one in inspected.collections.items()
            ],
            "left_alone": list(inspected.left_alone),
            "warnings": [*inspected.warnings, *origin.freezing.warnings],
        }
    )


@dataclass(frozen=True)
class TakenOver:
    """The records of a rehearsal as those of its promotion."""

    archive: Archive
    migrated: MigratedDatabase
    validation: ValidationReport


def take_over(rehearsal: Rehearsal, plan: ReleasePlan, folder: Path, database: str) -> TakenOver:
    """Give a promotion an archive and ids of its own, and the records about them. Hold the folders of both while it lasts.

    The files are linked, so that it takes no room and no time; where the file system has no links, they are copied. The archive
    is complete or absent.

    Args:
        plan: of the promotion.
        folder: of the promotion.
        database: its name on the transformer.

    Raises:
        NothingToPromote: the rehearsal was removed meanwhile.
        FileNotWritten.
    """
    archive = folder / ARCHIVE
    try:
        # Before the archive, which is what makes it complete.
        with writing(folder / IDENTIFIERS):
            link_files(rehearsal.folder, [IDENTIFIERS], folder)
            sync(folder / IDENTIFIERS)
        with lock(archive), replace_folder(archive) as aside:
            _link_archive(rehearsal.folder / ARCHIVE, aside)
            if missing := find_damage(aside, rehearsal.manifest):
                raise _removed(rehearsal, missing)
        sync(folder)
    except FileNotFoundError as error:
        raise _removed(rehearsal, f"{error.filename} is missing") from None
    return _hand_on(rehearsal, plan, folder, database)


def _hand_on(rehearsal: Rehearsal, plan: ReleasePlan, folder: Path, database: str) -> TakenOver:
    # None of them is a `model_copy`, which would keep the digest with which the original was read.
    records = rehearsal.records
    dumped = Archive(
        made_from=collect_digests(plan=plan),
        path=folder / ARCHIVE,
        manifest_sha256=records.migrated.manifest_sha256,
        cluster_time=rehearsal.manifest.cluster_time,
        collections=rehearsal.manifest.collections,
    )
    migrated = MigratedDatabase.model_validate(
        {
            **records.migrated.model_dump(),
            "made_from": collect_digests(plan=plan, dump=dumped),
            "database": database,
        }
    )
    validation = ValidationReport.model_validate(
        {
            **records.validation.model_dump(),
            "made_from": collect_digests(plan=plan, migrate=migrated),
            "identifiers_path": folder / IDENTIFIERS,
            "conclusion": "",
        }
    )
    return TakenOver(dumped, migrated, validation)


def _link_archive(source: Path, target: Path) -> None:
    link_files(source, files_of(source), target)
    for path in (target, *target.rglob("*")):
        sync(path)


def _removed(rehearsal: Rehearsal, why: str) -> NothingToPromote:
    return NothingToPromote(
        f"Rehearsal {rehearsal.plan.release_id} was removed while it was taken over: {why}. Launch `promote` again: it takes the "
        "newest rehearsal that there is.",
        [why],
    )
