"""What `validate` found, as people read it: whether it stops the release, in a sentence, and as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.records.data_release import Integrity, ReleasePlan
from nmdc_release_ops.schema.report import Summary
from nmdc_release_ops.steps.shared.display import table

SHOWN_GROUPS = 50
OURS = ("validators disagree", "not judged")
"""Kinds of violations of which no correction of the data is known to help."""


def intolerable(summary: Summary, integrity: Integrity) -> int:
    """How many of the violations stop the release."""
    between = summary.integrity
    stopping = {Integrity.FAIL: between.found, Integrity.FAIL_ON_NEW: between.new, Integrity.WARN: 0}
    return summary.violations + stopping[integrity]


def verdict_on(summary: Summary, plan: ReleasePlan) -> str:
    """One sentence on what was found."""
    documents, references = f"{summary.documents:,} documents", f"{summary.references:,} references"
    between = summary.integrity
    if intolerable(summary, plan.integrity):
        tolerated = between.old if plan.integrity is Integrity.FAIL_ON_NEW else 0
        kinds: Counter[str] = Counter()
        for group in summary.groups:
            kinds[group.kind] += 0 if tolerated and group.new is False else group.count
        listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common() if count)
        old = f" {tolerated:,} more the data had before; those do not stop it." if tolerated else ""
        found = summary.violations + between.found - tolerated
        return f"{found:,} violations of schema {plan.to_version} in {documents} and {references}: {listed}.{old}"
    if between.found:
        why = "the data had them before" if plan.integrity is Integrity.FAIL_ON_NEW else f"integrity: {plan.integrity}"
        return (
            f"{documents} conform to schema {plan.to_version}. Between them, {between.found:,} violations were found that do "
            f"not stop the release ({why})."
        )
    return f"{documents} conform to schema {plan.to_version}, and {references} are valid; there are no violations."


def explained(verdict: str, summary: Summary, first: Mapping[str, Any] | None, page: Path, violations: Path) -> str:
    """The verdict on a release that is stopped, and what to do.

    Args:
        first: of the violations that stop it; None where it is not known.
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
    pass_on = "" if summary.violations else " Or let them pass, with `integrity: warn` in the config of plan."
    return (
        f"{verdict}{what}\n"
        f"All of them are in {violations}, and summarised in {page}. Correct the data in the origin, or have the migrator "
        f"corrected, and launch a new release.{pass_on}{report}"
    )


def described(summary: Summary, page: Path, violations: Path) -> dict[str, "dg.RawMetadataValue"]:
    """What the run page shows of it."""
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
        "page": dg.MetadataValue.path(str(page)),
    }


def table_of_violations(violations: Iterable[Mapping[str, Any]]) -> dg.MetadataValue:
    """Single violations, as the worker tells the first of them."""
    columns = ("collection", "id", "class", "path", "violation", "message")
    return table({key: str(violation.get(key) or "") for key in columns} for violation in violations)
