"""Judging what was written since the swap by the schema that was released."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.files import writing
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, read_manifest
from nmdc_release_ops.mongo.delta.read import MomentGone
from nmdc_release_ops.mongo.delta.since import WritesSince
from nmdc_release_ops.mongo.delta.stream import StreamRefused
from nmdc_release_ops.mongo.server.collections import list_collections
from nmdc_release_ops.mongo.state.journal import Journal
from nmdc_release_ops.records.data_release import Integrity, ReleasePlan
from nmdc_release_ops.records.follow_up import WrittenCollection
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.report import PAGE, SUMMARY, VIOLATIONS, Summary, write_page
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.following_up.written import WrittenFiles, find_ids, read_written
from nmdc_release_ops.steps.judging.validating import describe_file, require_summary, run_validation
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.steps.showing.verdict import (
    count_intolerable,
    describe_summary,
    describe_verdict,
    tabulate_violations,
)
from nmdc_release_ops.units import quantity

REPORTS = "follow-up"
"""The folder of its reports, in the folder of the run's reports: those of `validate` have the same names."""
AUDIT = "Launch the job `audit`: it judges the whole database."
_NOTHING = "Nothing was written to the collections of the release since its swap."
_ATTEMPTS = 5


@dataclass(frozen=True)
class Means:
    """What the follow-up works with."""

    plan: ReleasePlan
    origin: OriginConnection
    home: ReleaseHomeResource
    schema: SchemaReleasesResource
    worker: SchemaWorkerResource


@dataclass(frozen=True)
class Judged:
    """What was written, and what is wrong with it.

    Attributes:
        fault: why it does not conform, for people; "" if it does.
        shown: what the run page shows.
    """

    verdict: str
    written: tuple[WrittenCollection, ...] = ()
    tolerated: int = 0
    not_judged: tuple[str, ...] = ()
    fault: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)


class Judging:
    """Follows what is written since the swap, until it is judged."""

    def __init__(self, context: dg.OpExecutionContext, means: Means, journal: Journal | None, folder: Path) -> None:
        """Args:
        context: of the step, for its log.
        journal: of the swap; None where it is gone.
        folder: for files that are needed only meanwhile.
        """
        self._context = context
        self._means = means
        self._folder = folder
        self._names = {*means.plan.managed, *(journal.managed if journal else ())}
        self._swapped = journal.swapped_cluster_time if journal else None
        self._stack = ExitStack()
        self._since: WritesSince | None = None
        self._obstacle = ""

    def __enter__(self) -> "Judging":
        if self._swapped is None:
            self._obstacle = "The moment of the swap is not on record"
        else:
            since = WritesSince(
                self._means.origin.database, self._names, self._swapped.next(), self._folder / "written.sqlite"
            )
            self._since = self._stack.enter_context(since)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def follow(self) -> None:
        """Read what was written up to now, so that it is known also when the oplog has gone on.

        Raises:
            StreamStalled, UnknownResumeToken, ClusterTimeUnavailable, FileNotWritten.
        """
        if self._since is None:
            return
        try:
            self._since.follow()
        except StreamRefused:
            self._since = None
            self._obstacle = (
                "The server offers this user no change stream; it takes a replica set, and the action `changeStream` "
                "(docs/operator-role.md)"
            )

    def judge(self) -> Judged:
        """Judge what was written up to now.

        Raises:
            MomentGone, StreamStalled, UnknownResumeToken, ClusterTimeUnavailable, ServerFailed.
            ValidationTimedOut, WorkerDied, FileNotWritten, and errors of the schema's environment.
        """
        self.follow()
        if self._since is None:
            line = f"What was written since the swap is not known: {self._obstacle}. {AUDIT}"
            return Judged("Nothing was judged.", not_judged=(line,))
        judged, left_out = self._judge_at_one_moment(self._since)
        missing = tuple(
            f"What was written {one.describe()} is not known: the oplog no longer reached back to it. {AUDIT}"
            for one in self._since.unknown
        )
        unread = tuple(
            f"What was written to {name} was not judged: the server does not keep a moment for as long as reading it "
            f"takes. {AUDIT}"
            for name in sorted(left_out)
        )
        not_judged = (*missing, *unread, *judged.not_judged)
        verdict = "Nothing was judged." if unread and not judged.written else judged.verdict
        return Judged(verdict, judged.written, judged.tolerated, not_judged, judged.fault, judged.shown)

    def _judge_at_one_moment(self, since: WritesSince) -> tuple[Judged, set[str]]:
        """Judge everything as it was at one moment; also the collections that were left out, because reading them takes longer
        than the server keeps a moment.
        """
        left_out: set[str] = set()
        for _ in range(_ATTEMPTS - 1):
            seconds: dict[str, float] = {}
            try:
                return self._judge(since, read_written(since, self._folder, left_out, seconds)), left_out
            except MomentGone as error:
                # Another attempt would take as long. A collection that was created or indexed meanwhile is there the next time.
                if not error.redefined and seconds:
                    left_out.add(max(seconds, key=seconds.__getitem__))
        return self._judge(since, read_written(since, self._folder, left_out)), left_out

    def _judge(self, since: WritesSince, written: WrittenFiles) -> Judged:
        if not written.files:
            deleted = sum(one.gone for one in written.written)
            verdict = (
                f"{deleted:,} documents were deleted since the swap, and none was written." if deleted else _NOTHING
            )
            return Judged(verdict, written.written)
        means, plan = self._means, self._means.plan
        reports = means.home.attempt(plan, self._context.run_id) / REPORTS
        with writing(reports):
            reports.mkdir(mode=0o700, exist_ok=True)
        summary, first = self._validate(since, written, reports)
        verdict = describe_verdict(summary, plan)
        page = reports / PAGE
        write_page(page, summary, verdict, f"Release {plan.release_id}: what was written since its swap")
        shown = describe_summary(summary, page, reports / VIOLATIONS, means.home)
        doubt = self._describe_doubt(summary, page)
        if not count_intolerable(summary, Integrity.WARN if doubt else plan.integrity):
            said = "No document violates the schema." if doubt else verdict
            return Judged(
                f"What was written since the swap: {said}",
                written.written,
                summary.integrity.found,
                (doubt,) if doubt else (),
                shown=shown,
            )
        example = f" The first: {_name(first[0])}" if first else ""
        fault = f"{verdict}{example}\nAll of them are in {reports / VIOLATIONS}, and summarised in {page}."
        shown = {"the first of them": tabulate_violations(first), **shown}
        return Judged(verdict, written.written, fault=fault, shown=shown)

    def _validate(
        self, since: WritesSince, written: WrittenFiles, reports: Path
    ) -> tuple[Summary, list[Mapping[str, Any]]]:
        """The summary, and the first violations."""
        means, plan = self._means, self._means.plan
        environment = means.schema.environments.prepare(release_named(plan.target))
        compiled = means.schema.compiled.prepare(environment)
        identifiers, duplicates = find_ids(since, self._collections_with_ids(compiled), written)
        counts = {one.name: one.documents for one in written.files}
        extras: dict[str, Any] = {
            "database": None,
            "collections": counts,
            "archived": {one.name: describe_file(written.folder, one) for one in written.files},
            "compiled": str(compiled),
            "known": {"identifiers": str(identifiers), "duplicates": duplicates},
            "violations_path": str(reports / VIOLATIONS),
            "summary_path": str(reports / SUMMARY),
        }
        if plan.integrity is Integrity.FAIL_ON_NEW and (before := self._describe_archive()):
            described_by = means.schema.packages.fetch(SchemaVersion.parse(plan.described_by))
            references = means.schema.compiled.prepare_references(environment, described_by)
            extras["before"] = {"files": before, "references": str(references)}
        code, messages = run_validation(
            self._context, plan.validation_timeout, means.worker, environment, None, extras, means.home.worker(plan)
        )
        summary = require_summary(code, messages, reports, counts)
        return summary, [message for message in messages if message["kind"] == "violation"]

    def _collections_with_ids(self, compiled: Path) -> list[str]:
        """Those that exist."""
        rules = json.loads(compiled.read_text("utf-8"))["references"]
        existing = list_collections(self._means.origin.database)
        return [
            name
            for name, rule in sorted(rules.items())
            if rule["has_ids"] and name in existing and existing[name].kind == "collection"
        ]

    def _describe_doubt(self, summary: Summary, page: Path) -> str:
        """A sentence on violations between documents of which it is not known whether the data had them; "" if there is none."""
        plan, new = self._means.plan, summary.integrity.new
        if plan.integrity is not Integrity.FAIL_ON_NEW or not new:
            return ""
        if plan.catches_up:
            why = "the archive is that of the rehearsal, and does not have what people wrote until the swap"
        elif not self._describe_archive():
            why = "the archive is gone or damaged"
        else:
            return ""
        were = "was" if new == 1 else "were"
        return (
            f"{quantity(new, 'violation')} between documents {were} found in what was written since the swap, and it is not "
            f"known whether the data had that before: {why}. The page {page} names them. {AUDIT}"
        )

    def _describe_archive(self) -> dict[str, Any]:
        """The database before the release, to tell which violations between documents it already had; empty if it is gone."""
        folder = self._means.home.archive(self._means.plan)
        try:
            return {one.name: describe_file(folder, one) for one in read_manifest(folder).collections}
        except ArchiveDamaged:
            return {}


def tabulate_written(written: tuple[WrittenCollection, ...]) -> dg.MetadataValue:
    """What was written since the swap, as the run page shows it."""
    return table(
        {
            "collection": one.collection,
            "written": one.judged,
            "deleted": one.gone,
            "renamed or replaced": "yes" if one.is_replaced else "",
        }
        for one in written
    )


def _name(violation: Mapping[str, Any]) -> str:
    return f"{violation['collection']} {violation['id']}, at {violation.get('path') or '/'}: {violation['message']}"
