"""The result of `validate` for the run page: a sentence on whether it stops the release, and tables."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.records.data_release import Integrity, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.report import Summary
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.units import quantity

SHOWN_GROUPS = 50
OURS = ("validators disagree", "not judged")
"""Kinds of violations that correcting the data is not known to fix."""


def count_intolerable(summary: Summary, integrity: Integrity) -> int:
    """Count the violations that stop the release."""
    between = summary.integrity
    stopping = {Integrity.FAIL: between.found, Integrity.FAIL_ON_NEW: between.new, Integrity.WARN: 0}
    return summary.violations + stopping[integrity]


def describe_verdict(summary: Summary, plan: ReleasePlan) -> str:
    """Summarise the result in a sentence or two."""
    documents, references = f"{summary.documents:,} documents", f"{summary.references:,} references"
    between = summary.integrity
    if count_intolerable(summary, plan.integrity):
        tolerated = between.old if plan.integrity is Integrity.FAIL_ON_NEW else 0
        kinds: Counter[str] = Counter()
        for group in summary.groups:
            kinds[group.kind] += 0 if tolerated and group.new is False else group.count
        listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common() if count)
        old = f" The data already had {tolerated:,} more, which do not stop the release." if tolerated else ""
        stopping = summary.violations + between.found - tolerated
        judged = f"{quantity(summary.documents, 'document')} and {quantity(summary.references, 'reference')}"
        return f"{quantity(stopping, 'violation')} of schema {plan.to_version} in {judged}: {listed}.{old}"
    if between.found:
        why = "the data already had them" if plan.integrity is Integrity.FAIL_ON_NEW else f"integrity: {plan.integrity}"
        return (
            f"{documents} conform to schema {plan.to_version}. {between.found:,} violations between documents do "
            f"not stop the release ({why})."
        )
    return f"{documents} conform to schema {plan.to_version}, and {references} are valid; there are no violations."


def explain_verdict(
    verdict: str, summary: Summary, first: Mapping[str, Any] | None, page: Path, violations: Path, remedy: str
) -> str:
    """Explain why the release stops, and what to do.

    Args:
        first: the first violation that stops it; None if it is not known.
        remedy: what to do about the data.
    """
    if first is None:
        what = ""
    else:
        what = f" The first: {first['collection']} {first['id']}, at {first.get('path') or '/'}: {first['message']}"
    to_report = [kind for kind in OURS if kind in summary.by_kind]
    report = (
        f" Please report violations of the kind {' or '.join(to_report)} to the maintainers of nmdc-release-ops."
        if to_report
        else ""
    )
    accept = (
        "" if summary.violations else " Or accept them: launch a new run with `integrity: warn` in the config of plan."
    )
    return f"{verdict}{what}\nAll of them are in {violations}, and summarised in {page}.\n{remedy}{accept}{report}"


def describe_summary(
    summary: Summary, page: Path, violations: Path, home: ReleaseHomeResource
) -> dict[str, "dg.RawMetadataValue"]:
    """The summary as the run page shows it."""
    return {
        "documents": summary.documents,
        "references": summary.references,
        "different ids": summary.identifiers,
        "violations": summary.violations,
        "violations between documents": summary.integrity.found,
        "kinds of violations": table(
            {
                "how many": group.count,
                "collection": group.collection,
                "class": group.class_name,
                "path": group.path or "/",
                "violation": group.kind,
                "new": "" if group.new is None else "yes" if group.new else "no",
                "for example": group.message,
                "documents": ", ".join(group.examples),
            }
            for group in summary.groups[:SHOWN_GROUPS]
        ),
        "collections": table(one.model_dump() for one in summary.collections),
        "all of them": dg.MetadataValue.path(str(violations)),
        "page": home.show(page),
    }


def tabulate_violations(violations: Iterable[Mapping[str, Any]]) -> dg.MetadataValue:
    """Single violations, as the worker reports the first of them."""
    columns = ("collection", "id", "class", "path", "violation", "message")
    return table({key: str(violation.get(key) or "") for key in columns} for violation in violations)
