"""An audit: the database as it is, while people work, judged by the schema of its own version."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from nmdc_release_ops.catalog import CONFORMS_TO_SCHEMA, DATABASE, Finding, Numbers, observe
from nmdc_release_ops.files import writing
from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.server.identity import identify_set
from nmdc_release_ops.mongo.state.history import read_history
from nmdc_release_ops.mongo.transfer.dump_unfrozen import dump_unfrozen
from nmdc_release_ops.mongo.transfer.throttle import Throttle
from nmdc_release_ops.planning.audit import AuditPlan, describe_state, plan_audit
from nmdc_release_ops.planning.origin import require_change_stream
from nmdc_release_ops.resources.audit_folder import VIOLATIONS, AuditFolder
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.schema.environments.judging import digest_judging
from nmdc_release_ops.schema.new_violations import NewViolations, find_new_violations
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.report import PAGE, SUMMARY, Summary, write_page
from nmdc_release_ops.steps.judging.validating import (
    describe_file,
    require_summary,
    run_validation,
)
from nmdc_release_ops.steps.runs.run_tags import name_origin, tag_run
from nmdc_release_ops.steps.shared.failures import StepError
from nmdc_release_ops.steps.shared.recording import KINDS_BETWEEN
from nmdc_release_ops.steps.showing.display import log_progress
from nmdc_release_ops.steps.showing.verdict import describe_summary, tabulate_violations
from nmdc_release_ops.units import duration, quantity, size

NEW = "new.jsonl"
BLOCK_BYTES = 2 * 1024 * 1024
"""Of BSON in a block of an audit. One changed document makes a whole block be judged again."""


class AuditUnderWay(StepError):
    """Another audit of the same database is at work."""


class ReleasedMeanwhile(StepError):
    """The database was released, or rolled back, while an audit read it."""


@dataclass(frozen=True)
class Means:
    """What an audit works with."""

    origin: OriginResource
    home: ReleaseHomeResource
    schema: SchemaReleasesResource
    worker: SchemaWorkerResource
    notices: NoticesResource


@dataclass(frozen=True)
class Audited:
    """The result of an audit.

    Attributes:
        last: the folder of the audit before; None if there was none.
        folder: what is kept.
    """

    plan: AuditPlan
    manifest: Manifest
    summary: Summary
    compared: NewViolations
    last: Path | None
    folder: Path
    seconds: float

    def describe(self) -> str:
        """A few sentences for people."""
        documents = f"{self.summary.documents:,} documents"
        compared = self.compared
        if not compared.total:
            gone = f" The {compared.gone:,} violations of the last audit are gone." if compared.gone else ""
            return f"{documents} conform to schema {self.plan.version}, and all references are valid.{gone}"
        found = f"{quantity(compared.total, 'violation')} of schema {self.plan.version} in {documents}"
        if self.last is None:
            return f"{found}. This is the first audit of the database, so all of them count as new."
        if not compared.new:
            return f"{found}; none is new since the last audit."
        return f"{found}; {compared.new:,} in {compared.documents:,} documents are new since the last audit."

    @property
    def notice(self) -> str:
        """For a chat; empty if nothing is new."""
        if not self.compared.new:
            return ""
        first = self.compared.first[0]
        return (
            f"Audit of the NMDC database: {self.describe()} The first: {first['collection']} {first['id']}: {first['message']} "
            f"All new ones are in {self.folder / NEW}."
        )

    def metadata(self, home: ReleaseHomeResource) -> dict[str, "dg.RawMetadataValue"]:
        """The result as the run page shows it."""
        return {
            "audit": self.describe(),
            "schema version": str(self.plan.version),
            "judged by schema": self.plan.release,
            "new violations": self.compared.new,
            "documents with new violations": self.compared.documents,
            "gone since the last audit": self.compared.gone,
            "the first new ones": tabulate_violations(self.compared.first),
            "all new ones": home.show(self.folder / NEW),
            **describe_summary(self.summary, self.folder / PAGE, self.folder / VIOLATIONS, home),
            "documents judged anew": self.summary.documents - self.summary.kept,
            "size": size(self.manifest.bytes),
            "took": duration(self.seconds),
        }

    def observe(self) -> dg.AssetObservation:
        """The audit, for the asset's history."""
        compared = self.compared
        numbers = Numbers(
            documents=self.summary.documents,
            bytes=self.manifest.bytes,
            violations=compared.total,
            seconds_of={"audit": self.seconds},
        )
        shown = {"new violations": compared.new, "all new ones": dg.MetadataValue.path(str(self.folder / NEW))}
        return observe(DATABASE, str(self.plan.version), self.describe(), numbers, shown)

    def find(self) -> Iterator[Finding]:
        """The results of the checks that it answers."""
        between = {kind for kinds in KINDS_BETWEEN.values() for kind in kinds}
        of_schema = tuple(kind for kind in self.compared.by_kind if kind not in between)
        for check, kinds in {CONFORMS_TO_SCHEMA: of_schema, **KINDS_BETWEEN}.items():
            found = sum(self.compared.by_kind.get(kind, 0) for kind in kinds)
            listed = ", ".join(f"{count:,} {kind}" for kind in kinds if (count := self.compared.by_kind.get(kind)))
            yield Finding(
                check,
                passed=not found,
                says=f"{quantity(found, 'violation')} in {self.summary.documents:,} documents{f': {listed}' if listed else ''}.",
                shown={
                    "violations": found,
                    "documents": self.summary.documents,
                    "schema version": str(self.plan.version),
                    "all violations": dg.MetadataValue.path(str(self.folder / VIOLATIONS)),
                },
                # Only those of the schema stop every release.
                is_severe=check == CONFORMS_TO_SCHEMA,
            )


def audit(context: dg.OpExecutionContext, means: Means, documents_per_second: int | None, minutes: int) -> Audited:
    """Read the database as it is at one moment, judge it, and compare with the last audit. Nobody is kept from writing.

    Args:
        documents_per_second: how fast to read the origin; None for as fast as possible.
        minutes: that validation may take.

    Raises:
        AuditUnderWay, ReleasedMeanwhile.
        PlanRefused, DumpFailed, OplogTooShort, ValidationTimedOut, WorkerDied, FileNotWritten, and others that are foreseen.
    """
    started = time.monotonic()
    with means.origin.connect() as origin:
        name_origin(context, origin)
        means.home.require_writable()
        folder = means.home.audits(identify_set(origin.client), origin.database.name)
        with _take(folder) as work:
            audited = _audit(context, means, origin, folder, work, documents_per_second, minutes, started)
    (context.log.warning if audited.compared.total else context.log.info)(audited.describe())
    tag_run(context, schema=str(audited.plan.version), outcome=f"{audited.compared.new} new violations")
    context.log_event(audited.observe())
    return audited


@contextmanager
def _take(folder: AuditFolder) -> Iterator[Path]:
    """The working folder, for this audit alone."""
    with ExitStack() as stack:
        try:
            work = stack.enter_context(folder.work())
        except BlockingIOError:
            raise AuditUnderWay(
                "Another audit of this database is at work. This one did nothing. Wait until that run is over, or terminate it."
            ) from None
        yield work


def _audit(
    context: dg.OpExecutionContext,
    means: Means,
    origin: OriginConnection,
    folder: AuditFolder,
    work: Path,
    documents_per_second: int | None,
    minutes: int,
    started: float,
) -> Audited:
    plan = plan_audit(origin.database, means.home.path, means.schema.home.schema_folder, means.home.free_bytes())
    require_change_stream(origin.database)
    context.log.info(
        f"The database conforms to schema {plan.version}: {len(plan.sizes)} collections with about {plan.documents:,} documents "
        f"are judged by schema {plan.release}."
    )
    manifest = dump_unfrozen(
        origin.database,
        plan.names,
        work / "archive",
        release_id=f"audit {context.run_id}",
        report=log_progress(context, "read", plan.documents),
        log=context.log.info,
        throttle=Throttle(documents_per_second) if documents_per_second else None,
        block_bytes=BLOCK_BYTES,
        recurring=True,
    )
    _require_same_state(origin, plan)
    reports = work / "reports"
    with writing(reports):
        reports.mkdir(mode=0o700)
    summary = _validate(context, means, plan, manifest, folder, work, reports, minutes)
    last, kept_as = folder.find_last(context.log.warning), folder.name(context.run_id)
    compared = find_new_violations(reports / VIOLATIONS, last and last / VIOLATIONS, reports / NEW)
    audited = Audited(plan, manifest, summary, compared, last, kept_as, time.monotonic() - started)
    write_page(reports / PAGE, summary, audited.describe(), f"Audit of {origin.database.name}, run {context.run_id}")
    # Last: an audit that was not reported must not hide from the next what is new.
    folder.keep(reports, kept_as, is_reported=_send_notice(context, means.notices, audited))
    return audited


def _require_same_state(origin: OriginConnection, plan: AuditPlan) -> None:
    """Make sure that what was read is of one version of the schema.

    Raises:
        ReleasedMeanwhile.
    """
    history = read_history(origin.database)
    if describe_state(history) != plan.state:
        raise ReleasedMeanwhile(
            f"The database was released or rolled back while it was read: it was at schema {plan.version}, and is at "
            f"{history.version or 'no version now: a swap is under way'}. Nothing was judged. Launch the audit again."
        )


def _validate(
    context: dg.OpExecutionContext,
    means: Means,
    plan: AuditPlan,
    manifest: Manifest,
    folder: AuditFolder,
    work: Path,
    reports: Path,
    minutes: int,
) -> Summary:
    environment = means.schema.environments.prepare(release_named(plan.release))
    compiled = means.schema.compiled.prepare(environment)
    judging, verdicts = digest_judging(environment, compiled), work / "verdicts"
    with writing(verdicts):
        verdicts.mkdir(mode=0o700)
    documents = {one.name: one.documents for one in manifest.collections}
    extras = {
        "database": None,
        "collections": documents,
        "archived": {one.name: describe_file(work / "archive", one) for one in manifest.collections},
        "compiled": str(compiled),
        "kept": {"last": str(folder.verdicts(judging)), "present": str(verdicts)},
        "violations_path": str(reports / VIOLATIONS),
        "summary_path": str(reports / SUMMARY),
    }
    code, messages = run_validation(context, minutes, means.worker, environment, None, extras, work / "worker")
    summary = require_summary(code, messages, reports, documents)
    folder.keep_verdicts(verdicts, judging)
    context.log.info(f"{summary.documents - summary.kept:,} of {summary.documents:,} documents were judged anew.")
    return summary


def _send_notice(context: dg.OpExecutionContext, notices: NoticesResource, audited: Audited) -> bool:
    """False if it should have been sent and was not."""
    problem = notices.send(f"{audited.notice} (run {context.run_id})") if audited.notice else None
    if problem:
        context.log.warning(f"A notice was not sent: {problem}. What is new will count as new in the next audit, too.")
    return not problem
