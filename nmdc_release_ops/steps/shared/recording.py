"""What releases and rollbacks record in the asset catalog: the database's new state, and the results of its checks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import dagster as dg

from nmdc_release_ops.catalog import (
    CONFORMS_TO_SCHEMA,
    DATABASE,
    IDS_UNIQUE,
    LEDGER_AGREES,
    REFERENCES_RESOLVE,
    WRITES_ALLOWED,
    Finding,
    Numbers,
    Shown,
    materialize,
)
from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.server.collections import collection_size
from nmdc_release_ops.mongo.state.agreement import compare_ledger
from nmdc_release_ops.mongo.state.lease import Freeze
from nmdc_release_ops.records.data_release import Counted, ReleasePlan, Restoration
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.status.sentences import describe_origin
from nmdc_release_ops.steps.runs.step_times import measure_steps

KINDS_BETWEEN = {
    REFERENCES_RESOLVE: ("dangling reference", "misplaced reference"),
    IDS_UNIQUE: ("duplicate id",),
}
"""Kinds of violations between documents, by the check that fails because of them."""


def record_release(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    restoration: Restoration,
    freezes: Sequence[Freeze],
    origin: OriginConnection,
) -> None:
    """Add what was swapped in to the history of the database.

    Args:
        freezes: that are over.
    """
    changes, counted = restoration.changes, restoration.counted
    numbers = Numbers(
        documents=restoration.documents,
        bytes=sum(collection_size(origin.database, name).bytes for name in changes.names_after),
        documents_changed=counted.documents_changed if counted else None,
        violations=sum(counted.violations.values()) + counted.violations_since if counted else None,
        seconds_blocked=sum(one.seconds for one in freezes) if freezes else None,
        seconds_of=measure_steps(context),
    )
    shown: Shown = {
        "before": plan.from_version,
        "changes": changes.describe(),
        "changed": ", ".join(changes.changed) or "none",
        "release": plan.release_id,
        "schema source": plan.schema_source or "the package index",
    }
    what = f"The origin, at schema {plan.to_version}"
    context.log_event(materialize(DATABASE, plan.to_version, what, numbers, shown))


def record_checks_of_release(
    context: dg.OpExecutionContext, plan: ReleasePlan, restoration: Restoration, origin: OriginConnection
) -> None:
    """Record what the release knows of the database now that people can write to it again."""
    conforms = Finding(
        CONFORMS_TO_SCHEMA,
        passed=True,
        says=f"{restoration.documents:,} documents conformed to schema {plan.to_version} when they were swapped in.",
        shown={"documents": restoration.documents, "schema version": plan.to_version, "release": plan.release_id},
    )
    between = _judge_between(plan, restoration.counted) if restoration.counted else ()
    record_findings(context, [conforms, *between, judge_ledger(origin), judge_writes(origin)])


def _judge_between(plan: ReleasePlan, counted: Counted) -> Iterator[Finding]:
    """What is known of references and ids.

    Of what was written between a rehearsal and its promotion, only the number of violations is known, not their kinds: then
    nothing is said of a check that had passed before.
    """
    for check, kinds in KINDS_BETWEEN.items():
        found = sum(counted.violations.get(kind, 0) for kind in kinds)
        if found or not counted.violations_since:
            when = "when it was rehearsed" if plan.catches_up else "when it was swapped in"
            says = f"The database had {found:,} violations ({', '.join(kinds)}) {when}."
            if found:
                says += " They did not stop the release. The job audit lists those of now."
            yield Finding(
                check,
                passed=not found,
                says=says,
                shown={"violations": found, "release": plan.release_id},
                is_severe=False,
            )


def judge_ledger(origin: OriginConnection) -> Finding:
    """Whether the ledger, its view and the journals agree now."""
    agreement = compare_ledger(origin.database)
    version = agreement.version or "unknown"
    says = agreement.problem or f"The ledger, its view and the releases' journals say that the schema is {version}."
    return Finding(LEDGER_AGREES, passed=not agreement.problem, says=says, shown={"schema version": version})


def judge_writes(origin: OriginConnection) -> Finding:
    """Whether people can write now, and if not, who blocks them."""
    state = read_origin_state(origin.client, origin.database.name)
    are_allowed = not (state.lease or state.is_write_blocked or state.leftovers or state.is_swap_under_way)
    at_work = state.lease is not None and not state.lease.is_abandoned
    return Finding(
        WRITES_ALLOWED,
        passed=are_allowed,
        says=describe_origin(state, run_id=""),
        # A release that is under way blocks them on purpose.
        is_severe=not at_work,
    )


def record_findings(context: dg.OpExecutionContext, findings: Iterable[Finding]) -> None:
    """Record results of checks of the database."""
    for finding in findings:
        # Dagster logs them, and its annotation does not say so.
        context.log_event(cast("Any", finding.evaluation()))
