"""How `plan` and `choose` show what a release is going to do."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from nmdc_release_ops.planning.blocked_time import BlockedTime
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.units import duration, size

NOT_TOUCHED = "The origin was not touched."


def log_plan(context: dg.OpExecutionContext, release: ReleasePlan, blocked: BlockedTime | None = None) -> None:
    """Log how the origin will be frozen and for how long, how much there is to do, and the warnings."""
    context.log.info(describe_freeze(release))
    if blocked is not None:
        context.log.info(describe_blocked(release, blocked))
    if release.schema_source is not None:
        context.log.info(f"The release candidate {release.target} was built from {release.schema_source}.")
    context.log.info(
        f"The plan: {len(release.migrators)} migrators, {len(release.collections)} collections, "
        f"{release.documents:,} documents, {size(release.bytes)}."
    )
    for warning in release.warnings:
        context.log.warning(warning)


def describe_freeze(release: ReleasePlan) -> str:
    """How writes will be blocked."""
    if release.is_rehearsal:
        return (
            f"This is a rehearsal: nobody is kept from writing. A release would freeze the origin by {release.strategy}. "
            f"{release.strategy_reason}"
        )
    frozen = f"The origin will be frozen by {release.strategy}. {release.strategy_reason}"
    if not release.catches_up:
        return frozen
    return (
        f"{frozen} That is for a moment, at most {duration(release.max_frozen_seconds)}, when everything else is done."
    )


def describe_blocked(release: ReleasePlan, blocked: BlockedTime) -> str:
    """How long writes will be blocked."""
    if release.catches_up:
        return f"Writes will be blocked for {blocked.promotion}."
    if release.is_rehearsal:
        return f"A promotion of it will block writes for {blocked.promotion}, a data_release for {blocked.release}."
    return f"Writes will be blocked for {blocked.release}."


def describe_plan(
    release: ReleasePlan,
    engine: str,
    environments: Mapping[str, SchemaEnvironment],
    blocked: BlockedTime | None = None,
) -> dict[str, Any]:
    """The plan as the run page shows it."""
    shown: dict[str, Any] = {"rehearsal": release.rehearsal} if release.rehearsal else {}
    if blocked is not None:
        shown["blocked writes"] = describe_blocked(release, blocked)
    return shown | {
        "release": release.release_id,
        "from": release.from_version,
        "to": release.to_version,
        "schema source": release.schema_source or "the package index",
        "warnings": "\n".join(release.warnings) or "none",
        "origin": release.server,
        "freezing": f"{release.strategy}: {release.strategy_reason}",
        "engine": engine,
        "documents": release.documents,
        "size": size(release.bytes),
        "migrators": table(
            {
                "migrator": migrator.module,
                "from": migrator.from_version,
                "to": migrator.to_version,
                "does anything": "no" if migrator.does_nothing else "yes",
                "runs in schema": migrator.environment,
                "gap before it": migrator.gap,
            }
            for migrator in release.migrators
        ),
        "collections": table(
            {"collection": one.name, "documents": one.documents, "size": size(one.bytes)} for one in release.collections
        ),
        "Runtime": table(
            {"check": one.what, "outcome": one.outcome.value, "found": one.says} for one in release.runtime
        ),
        "left alone": ", ".join(release.left_alone) or "nothing",
        "schema environments": table(
            {"schema": name, "nmdc-schema": one.schema_version, "path": str(one.path)}
            for name, one in environments.items()
        ),
        "installed": dg.MetadataValue.json({name: one.packages for name, one in environments.items()}),
    }
