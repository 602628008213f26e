"""Validating what changed since everything was validated: these documents, their ids, and references to what is gone."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.promoting.identities import Identities
from nmdc_release_ops.records.data_release import Integrity
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.report import PAGE, SUMMARY, VIOLATIONS, write_page
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.judging.validating import (
    describe_file,
    require_summary,
    run_validation,
)
from nmdc_release_ops.steps.promoting.means import Means
from nmdc_release_ops.steps.shared.failures import DocumentsInvalid
from nmdc_release_ops.steps.showing.verdict import (
    count_intolerable,
    describe_summary,
    describe_verdict,
    explain_verdict,
    tabulate_violations,
)


@dataclass(frozen=True)
class Documents:
    """Some documents of a collection, in a file.

    Attributes:
        folder: that `file` is in.
    """

    folder: Path
    file: ArchivedCollection

    def read(self) -> Iterator[bytes]:
        """Each of them, as BSON."""
        return read_documents(self.folder, self.file)

    def describe(self) -> dict[str, Any]:
        """As a parameter of the worker."""
        return {"collection": self.file.name, **describe_file(self.folder, self.file)}


FindBefore = Callable[[Iterable[str | None]], list[Documents]]
"""Gives the origin's documents that were validated in their migrated form, and those that have the given ids."""


_REMEDY = (
    "Correct the data in the origin, and re-execute the run from failure: it reads what was written since. If the migrator is "
    "wrong, have it corrected, and launch a new rehearsal when its release is published."
)


class DeltaValidation:
    """Validates documents of a release's result."""

    def __init__(self, means: Means) -> None:
        plan, schema = means.plan, means.schema
        self._means = means
        self._environment = schema.environments.prepare(release_named(plan.target))
        self._compiled = schema.compiled.prepare(self._environment)
        self._references: Path | None = None
        if plan.integrity is Integrity.FAIL_ON_NEW:
            described_by = schema.packages.fetch(SchemaVersion.parse(plan.described_by))
            self._references = schema.compiled.prepare_references(self._environment, described_by)
        self._rules: Mapping[str, Any] = json.loads(self._compiled.read_text("utf-8"))["references"]

    def has_ids(self, collection: str) -> bool:
        """Whether the documents of a collection have ids that others may refer to."""
        return bool(self._rules.get(collection, {}).get("has_ids"))

    def slots(self, collection: str, targets: AbstractSet[str]) -> set[str]:
        """The fields of a collection's documents that may refer to documents of the collections `targets`."""
        rules = self._rules.get(collection)
        if rules is None:
            return set()
        by_type = [*rules["types"].values(), rules["otherwise"] or {}]
        return {slot for fields in by_type for slot, allowed in fields.items() if not targets.isdisjoint(allowed)}

    def validate(
        self,
        context: dg.OpExecutionContext,
        changed: Iterable[Documents],
        identities: Identities,
        duplicates: Mapping[str, Mapping[str, int]],
        find_before: FindBefore,
        folder: Path,
    ) -> int:
        """Validate documents, and their references to those in `identities`; return how many violations are tolerated.

        Args:
            context: of the step, for its log.
            duplicates: ids that several documents have, with the number of these by collection.
            find_before: only called if there are violations between documents.
            folder: for what the worker reads.

        Raises:
            DocumentsInvalid: violations that stop the release.
            ValidationTimedOut, WorkerDied, FileNotWritten, ArchiveDamaged.
        """
        some = [one for one in changed if one.file.documents]
        if not some and not duplicates:
            return 0
        reports = self._means.home.attempt(self._means.plan, context.run_id)
        counts = {one.file.name: one.file.documents for one in some}
        before = folder / "before.json"
        extras: dict[str, Any] = {
            "database": self._means.scratch.database.name,
            "collections": counts,
            "archived": {one.file.name: one.describe() for one in some},
            "compiled": str(self._compiled),
            "known": {"identifiers": str(identities.path), "duplicates": duplicates},
            "violations_path": str(reports / VIOLATIONS),
            "summary_path": str(reports / SUMMARY),
        }
        if self._references is not None:
            extras["before"] = {"files_path": str(before), "references": str(self._references)}

        def answer(violations: str) -> None:
            found = find_before(_read_targets(Path(violations)))
            before.write_text(json.dumps([one.describe() for one in found if one.file.documents]), "utf-8")

        code, messages = run_validation(
            context,
            self._means.plan.validation_timeout,
            self._means.worker,
            self._environment,
            self._means.scratch,
            extras,
            self._means.home.worker(self._means.plan),
            answer=answer,
        )
        summary = require_summary(code, messages, reports, extras["collections"])
        if count_intolerable(summary, self._means.plan.integrity):
            verdict = describe_verdict(summary, self._means.plan)
            page, lines = reports / PAGE, reports / VIOLATIONS
            write_page(
                page, summary, verdict, f"Promotion {self._means.plan.release_id}: what was written since the rehearsal"
            )
            first = [message for message in messages if message["kind"] == "violation"]
            explained = explain_verdict(verdict, summary, next(iter(first), None), page, lines, _REMEDY)
            raise DocumentsInvalid(
                f"What was written since the rehearsal is invalid: {explained}",
                {
                    "the first of them": tabulate_violations(first),
                    **describe_summary(summary, page, lines, self._means.home),
                },
            )
        return summary.integrity.found


def _read_targets(violations: Path) -> set[str | None]:
    """The ids that violations name, from the file of a worker's `ViolationStore`."""
    connection = sqlite3.connect(f"{violations.as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT DISTINCT target_key FROM violation")
        return {one for (key,) in rows if (one := json.loads(key)) is None or isinstance(one, str)}
    finally:
        connection.close()
