"""What has been judged, what was found, and how it is told."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext

from ..disk import writing
from .validate_chunk import Verdict
from .violations import Groups, Violation

SHOWN = 50
"""Violations, and groups of them, that are told in messages; all of them are in the files."""
SECONDS_BETWEEN_LINES = 5.0


@dataclass
class Tally:
    """What has been judged so far, and what was found.

    Attributes:
        totals: documents to be judged, by collection, near enough.
        identifiers: how many different documents have one.
        schema: violations of the schema by single documents.
        integrity: violations between documents.
        first_between: the first of the latter, without those that the data had before.
    """

    totals: dict[str, int]
    documents: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    identifiers: int = 0
    references: int = 0
    schema: Groups = field(default_factory=Groups)
    integrity: Groups = field(default_factory=Groups)
    first_between: list[dict[str, Any]] = field(default_factory=list)

    def judged(self, pipes: PipesContext, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """Hand on the verdicts, count them, and say every few seconds how far it has come."""
        next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        for verdict in verdicts:
            self.documents[verdict.collection] += verdict.documents
            self.violations[verdict.collection] += verdict.groups.total
            self.references += verdict.references
            self.schema.merge(verdict.groups)
            yield verdict
            if time.monotonic() > next_line:
                next_line = time.monotonic() + SECONDS_BETWEEN_LINES
                pipes.log.info(self._progress(verdict.collection))

    def _progress(self, name: str) -> str:
        # The totals are near enough, and nobody wants to read of more than all.
        judged, total = sum(self.documents.values()), sum(self.totals.values())
        here, of_all_here = self.documents[name], self.totals[name]
        return f"judged {judged:,} of {max(total, judged):,} documents ({name}: {here:,} of {max(of_all_here, here):,})"

    def found_between(self, violation: Violation) -> None:
        """Count a violation between documents."""
        self.violations[violation.collection] += 1
        self.integrity.add(violation)
        if violation.new is not False and len(self.first_between) < SHOWN:
            self.first_between.append(violation.told())

    def summary(self) -> dict[str, Any]:
        """A summary of everything, of bounded size."""
        # What may be new counts as new, and so does what is beyond all groups.
        old = sum(group.count for key, group in self.integrity.groups.items() if key[-1] is False)
        return {
            "documents": sum(self.documents.values()),
            "identifiers": self.identifiers,
            "references": self.references,
            "violations": self.schema.total,
            "integrity": {"found": self.integrity.total, "new": self.integrity.total - old, "old": old},
            "by_kind": dict(_kinds(self.schema) + _kinds(self.integrity)),
            "collections": [
                {"collection": name, "documents": self.documents[name], "violations": self.violations[name]}
                for name in self.totals
            ],
        }

    def tell(self, pipes: PipesContext, violations: Path, summary: Path) -> None:
        """Report the messages, and write the summary with all groups of violations.

        Args:
            violations: file of all of them, those of the schema first. The first of either sort are told, but none
                that the data had before.
        """
        told = self.summary()
        groups = [*self.schema.listed(), *self.integrity.listed()]
        beyond = self.schema.beyond + self.integrity.beyond
        with writing(summary):
            summary.write_text(json.dumps({**told, "groups": groups, "beyond": beyond}, ensure_ascii=False), "utf-8")
        with violations.open(encoding="utf-8") as lines:
            first = [json.loads(line) for line in islice(lines, min(SHOWN, self.schema.total))]
        for violation in [*first, *self.first_between][:SHOWN]:
            pipes.report_custom_message({"kind": "violation", **violation})
        for about in told.pop("collections"):
            pipes.report_custom_message({"kind": "validated", **about})
        pipes.report_custom_message({"kind": "summary", **told})


def _kinds(groups: Groups) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for (_, _, _, kind, _, _), group in groups.groups.items():
        kinds[kind] += group.count
    if groups.beyond:
        kinds["of further kinds"] += groups.beyond
    return kinds
