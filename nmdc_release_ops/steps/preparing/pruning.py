"""What is removed when a release or a rehearsal is complete, and what is kept."""

from collections.abc import Callable

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.state.journal import journals_in_force, newest_journal
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.environment import ConfigurationMissing
from nmdc_release_ops.resources.origin import OriginConnection, OriginElsewhere, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource, Swapped
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.units import size

ENVIRONMENT_DAYS = 90
"""A schema environment that no release has used for this many days is removed; it is installed again when it is needed."""


def remove_what_is_superseded(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
) -> None:
    """Remove large files that are no longer needed; log which, and the bytes freed. Errors are only logged."""
    _try(context, "the transformer's files", lambda: _remove_scratch(context, plan, home, transformer))
    _try(context, "unused schema environments", lambda: _remove_environments(context, schema))
    _try(context, "archives of earlier releases", lambda: _remove_archives(context, plan, origin, home, transformer))


def remove_what_was_rehearsed(
    context: dg.OpExecutionContext, plan: ReleasePlan, home: ReleaseHomeResource, transformer: TransformerResource
) -> None:
    """Remove the transformer of a rehearsal that is complete, and the large files of older ones. Errors are only logged."""
    _try(context, "the transformer's files", lambda: _remove_scratch(context, plan, home, transformer))
    remove_older_rehearsals(context, plan, home, transformer)


def remove_older_rehearsals(
    context: dg.OpExecutionContext, plan: ReleasePlan, home: ReleaseHomeResource, transformer: TransformerResource
) -> None:
    """Remove the large files of rehearsals beyond the newest `keep_rehearsals`, failed ones too. Errors are only logged."""
    _try(context, "earlier rehearsals", lambda: _remove_rehearsals(context, plan, home, transformer))


def _remove_rehearsals(
    context: dg.OpExecutionContext, plan: ReleasePlan, home: ReleaseHomeResource, transformer: TransformerResource
) -> None:
    older = home.older_rehearsals(plan, plan.keep_rehearsals)
    databases = transformer.find_databases(plan, older)
    for release_id in older:
        with home.claim(plan, release_id) as is_free:
            if not is_free:
                continue
            if release_id in databases:
                transformer.drop_databases(plan, release_id)
                context.log.info(f"Dropped the transformer's databases of rehearsal {release_id}.")
            if (freed := home.remove_large_files(plan, release_id)) is not None:
                context.log.info(
                    f"Removed the archive of rehearsal {release_id} (an older one): {size(freed)}. Its reports and its manifest "
                    "stay."
                )


def _remove_scratch(
    context: dg.OpExecutionContext, plan: ReleasePlan, home: ReleaseHomeResource, transformer: TransformerResource
) -> None:
    transformer.stop()
    with home.claim(plan, plan.release_id) as is_free:
        if not is_free:
            context.log.warning(
                "Another run of this release uses the transformer's files. They stay until its archive is removed."
            )
            return
        if plan.is_rehearsal and transformer.find_databases(plan, [plan.release_id]):
            transformer.drop_databases(plan, plan.release_id)
        context.log.info(f"Removed the transformer's files: {size(home.remove_scratch(plan))}.")


def _remove_environments(context: dg.OpExecutionContext, schema: SchemaReleasesResource) -> None:
    if removed := schema.environments.prune(ENVIRONMENT_DAYS):
        context.log.info(
            f"Removed schema environments that were not used in {ENVIRONMENT_DAYS} days: {', '.join(removed)}."
        )


def _remove_archives(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
) -> None:
    if unassigned := home.unassigned():
        context.log.info(
            f"{home.path / 'releases'} holds {len(unassigned)} releases of an earlier version, which did not record the origin. "
            "They are never removed automatically: remove those that you do not need."
        )
    try:
        with origin.connect_planned(plan) as connected:
            _remove_archives_of(context, plan, connected, home, transformer)
    except OriginElsewhere:
        context.log.warning(
            "No archive was removed: NMDC_ORIGIN_URI or NMDC_ORIGIN_DB has changed since the release was planned."
        )


def _remove_archives_of(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginConnection,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
) -> None:
    in_force = journals_in_force(origin.client, plan.database)
    swapped = Swapped(
        tuple(journal.release_id for journal in in_force), in_force[0].swapped_cluster_time if in_force else None
    )
    superseded = home.superseded(plan, swapped, plan.keep_archives)
    over = [release_id for release_id in home.release_ids(plan) if release_id in {*superseded, *swapped.release_ids}]
    databases = transformer.find_databases(plan, over)
    for release_id in over:
        with home.claim(plan, release_id) as is_free:
            # Checked for each, because another release can begin at any time.
            if not is_free or release_id in _find_needed(origin, plan):
                continue
            if release_id in databases:
                transformer.drop_databases(plan, release_id)
                context.log.info(f"Dropped the transformer's databases of release {release_id}.")
            if release_id in superseded and (freed := home.remove_large_files(plan, release_id)) is not None:
                why = _explain_removal(plan, release_id, is_swapped=release_id in swapped.release_ids)
                context.log.info(
                    f"Removed the archive of release {release_id} ({why}): {size(freed)}. Its reports and its manifest stay."
                )


def _explain_removal(plan: ReleasePlan, release_id: str, *, is_swapped: bool) -> str:
    if release_id == plan.rehearsal:
        return "this release promoted it, and has its archive"
    return "an older one" if is_swapped else "it was never swapped in, or was rolled back"


def _find_needed(origin: OriginConnection, plan: ReleasePlan) -> set[str]:
    """Ids of this release, of the one that holds the origin, and of the last that began its swap: its archive is the last
    resort if its previous generation is lost."""
    lease, last = current_lease(origin.client), newest_journal(origin.client, plan.database)
    return {plan.release_id, *([lease.release_id] if lease else []), *([last.release_id] if last else [])}


def _try(context: dg.OpExecutionContext, what: str, remove: Callable[[], None]) -> None:
    try:
        remove()
    except (OSError, MongoError, PyMongoError, ConfigurationMissing) as error:
        context.log.warning(f"Could not remove all of {what}: {error}. The next release retries.")
