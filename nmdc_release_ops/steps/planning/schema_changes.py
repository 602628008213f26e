"""How `plan` shows what the target's schema changes."""

import dagster as dg

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.planning.schema_changes import Concern, find_concerns
from nmdc_release_ops.planning.schema_changes_page import PAGE, write_changes_page
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.showing.display import table

SHOWN = 100
NAMED = 8


def show_schema_changes(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    target: SchemaPackage,
    origin: OriginConnection,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
) -> dict[str, dg.MetadataValue]:
    """Log which changes need a look, and write all of them as a page; return both for the run page.

    It informs, and never stops a release: what it cannot find out is a warning.
    """
    try:
        described_by = schema.packages.fetch(SchemaVersion.parse(plan.described_by))
        before, after = schema.outlines.read(described_by), schema.outlines.read(target)
        concerns = find_concerns(plan, before, after, target, origin.database)
        page = home.attempt(plan, context.run_id) / PAGE
        write_changes_page(page, concerns, f"What schema {plan.to_version} changes against {described_by.version}")
    except (SchemaError, FileNotWritten) as error:
        context.log.warning(f"What the schema changes could not be shown: {error}")
        return {}
    context.log.info(_describe(concerns))
    return {
        "schema changes": table(map(_row, concerns[:SHOWN])),
        "all schema changes": home.show(page),
    }


def _describe(concerns: list[Concern]) -> str:
    unnamed = [one for one in concerns if one.needs_a_look]
    changes = f"The schema changes in {len(concerns):,} places"
    if not unnamed:
        return f"{changes}; what became stricter is named by a migrator, or concerns no document."
    names = list(dict.fromkeys(one.change.element for one in unnamed))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{changes}. {len(unnamed):,} became stricter, and no migrator names them: {', '.join(names[:NAMED])}{more}."


def _row(concern: Concern) -> dict[str, str | int | None]:
    change = concern.change
    return {
        "look": "yes" if concern.needs_a_look else "",
        "element": change.element,
        "change": change.what,
        "effect": change.effect.value,
        "documents": concern.documents,
        "classes": ", ".join(change.classes[:NAMED]) + (" …" if len(change.classes) > NAMED else ""),
        "collections": ", ".join(concern.collections),
        "migrators": ", ".join(concern.migrators),
    }
