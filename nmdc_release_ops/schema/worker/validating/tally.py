"""Counting what has been validated and found, and reporting it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext

from ..disk import writing
from ..messages import ProgressReports
from .validate_unit import UnitResult
from .violations import Groups, Violation

REPORTED_VIOLATIONS = 50
"""The number of violations that are sent as messages; all of them are in the file."""


@dataclass
class Tally:
    """Counts of what has been validated so far, and what was found.

    Attributes:
        totals: number of documents to validate, by collection.
        kept: number of documents whose verdict is that of an earlier audit.
        identifiers: number of documents with an id.
        schema: violations of the schema by single documents.
        integrity: violations between documents.
        first_integrity: the first violations between documents, without those that the data had before.
    """

    totals: dict[str, int]
    documents: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    identifiers: int = 0
    references: int = 0
    schema: Groups = field(default_factory=Groups)
    integrity: Groups = field(default_factory=Groups)
    first_integrity: list[dict[str, Any]] = field(default_factory=list)

    def count_results(self, pipes: PipesContext, results: Iterable[UnitResult]) -> Iterator[UnitResult]:
        """Count the results and pass them on; report the progress."""
        progress = ProgressReports(pipes, "validated")
        for result in results:
            self.documents[result.collection] += result.documents
            self.violations[result.collection] += result.groups.total
            self.references += result.references
            self.kept += result.documents if result.was_kept else 0
            self.schema.merge(result.groups)
            yield result
            progress.report(self.documents)

    def count_integrity_violation(self, violation: Violation) -> None:
        self.violations[violation.collection] += 1
        self.integrity.add(violation)
        if violation.new is not False and len(self.first_integrity) < REPORTED_VIOLATIONS:
            self.first_integrity.append(violation.report())

    def summary(self) -> dict[str, Any]:
        """A summary of everything, of bounded size."""
        # Violations beyond the groups, and those of which it is unknown whether they are new, count as new.
        old = sum(group.count for key, group in self.integrity.groups.items() if key[-1] is False)
        return {
            "documents": sum(self.documents.values()),
            "kept": self.kept,
            "identifiers": self.identifiers,
            "references": self.references,
            "violations": self.schema.total,
            "integrity": {"found": self.integrity.total, "new": self.integrity.total - old, "old": old},
            "by_kind": dict(_count_by_kind(self.schema) + _count_by_kind(self.integrity)),
            "collections": [
                {"collection": name, "documents": self.documents[name], "violations": self.violations[name]}
                for name in self.totals
            ],
            "groups": [*self.schema.report(), *self.integrity.report()],
            "beyond": self.schema.beyond + self.integrity.beyond,
        }

    def report(self, pipes: PipesContext, violations: Path, summary: Path) -> None:
        """Write the summary; send the first violations as messages, and one that the summary is complete.

        Args:
            violations: file of all violations, those of the schema first. Those that the data had before are not sent.
        """
        with writing(summary):
            summary.write_text(json.dumps(self.summary(), ensure_ascii=False), "utf-8")
        with violations.open(encoding="utf-8") as lines:
            first = [json.loads(line) for line in islice(lines, min(REPORTED_VIOLATIONS, self.schema.total))]
        for violation in [*first, *self.first_integrity][:REPORTED_VIOLATIONS]:
            pipes.report_custom_message({"kind": "violation", **violation})
        pipes.report_custom_message({"kind": "summary"})


def _count_by_kind(groups: Groups) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for (_, _, _, kind, _, _), group in groups.groups.items():
        kinds[kind] += group.count
    if groups.beyond:
        kinds["of further kinds"] += groups.beyond
    return kinds
