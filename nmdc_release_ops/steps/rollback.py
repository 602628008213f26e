"""`rollback`: put back what the last release swapped out."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.catalog import DATABASE, Numbers, materialize
from nmdc_release_ops.mongo.freezing.freeze import require_frozen
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.preflight import find_occupants, inspect_server
from nmdc_release_ops.mongo.server.topology import describe_server
from nmdc_release_ops.mongo.server.writes import Writes
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.journal import Journal, State
from nmdc_release_ops.mongo.state.lease import current_lease, freezes_of
from nmdc_release_ops.mongo.state.step_report import Stage
from nmdc_release_ops.mongo.swapping.displaced import find_displaced
from nmdc_release_ops.mongo.swapping.rollback import (
    perform_rollback,
    prepare_rollback,
    put_displaced_back,
    refuse_if_superseded,
    release_to_roll_back,
)
from nmdc_release_ops.mongo.swapping.since_release import (
    LEFT_IN_PLACE_OPTION,
    SET_ASIDE_OPTION,
    WrittenSince,
    describe_written,
)
from nmdc_release_ops.mongo.swapping.undoing import describe_accepted
from nmdc_release_ops.planning.origin import choose_freezing
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.holding.holding import FreezeConfig, hold_frozen
from nmdc_release_ops.steps.holding.thawing import thaw_unless_swapping, work_on_origin
from nmdc_release_ops.steps.pages.release_pages import summarize_end
from nmdc_release_ops.steps.pages.run_summary import state_of
from nmdc_release_ops.steps.runs.run_tags import name_origin, tag_run
from nmdc_release_ops.steps.runs.step_times import measure_steps
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.recording import judge_ledger, judge_writes, record_findings
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.steps.showing.reporting import report_rollback
from nmdc_release_ops.units import duration


class RollbackConfig(FreezeConfig):
    """Options of a rollback; all have defaults."""

    release_id: str | None = Field(
        default=None,
        description="The release to roll back; only the last one can be. Required by the options that allow writes, and by "
        "accept_lost.",
    )
    allow_writes_set_aside: bool = Field(
        default=False,
        description="Continue if users wrote to collections that the release brought; these are kept as staged until the next "
        "release.",
    )
    allow_writes_left_in_place: bool = Field(
        default=False,
        description="Continue if users wrote to other collections of the release, or if that cannot be determined: their "
        "documents stay, in the form of the later version.",
    )
    accept_lost: list[str] = Field(
        default=[],
        description="Roll back without these collections, which somebody dropped; collections that now have their names stay. "
        "Needs release_id.",
    )
    allow_without_authorization: bool = Field(
        default=False, description="Continue if the origin does not require authentication and so cannot be frozen."
    )


@dg.op(out=dg.Out(dg.Nothing))
def roll_back(context: dg.OpExecutionContext, config: RollbackConfig, origin: OriginResource) -> None:
    """Freeze the origin, undo the last release's swap, record the earlier version in the ledger, and thaw.

    Finishes a rollback that was interrupted. If the last release was already rolled back, there is nothing to do.
    """
    log_options(context, config)
    with work_on_origin(context, origin, config.release_id), origin.connect() as connected:
        name_origin(context, connected)
        _require_release_id(config)
        journal = release_to_roll_back(connected.database, config.release_id)
        if journal.state is State.ROLLED_BACK and not find_displaced(connected.database):
            context.log.info(
                f"Release {journal.release_id} was already rolled back, at {journal.rolled_back_at:%Y-%m-%d %H:%M:%S} UTC. "
                f"The database conforms to schema {journal.from_version}; there is nothing to do."
            )
            journal = perform_rollback(connected.database, journal, context.run_id)
            if journal.owed:
                context.log.warning(str(journal.owed))
            _thaw_if_left_frozen(context, connected, journal.release_id)
            report_rollback(context, connected, journal.release_id, Stage.DONE)
            return
        # Before anybody is locked out.
        refuse_if_superseded(connected.database, journal)
        server = describe_server(connected.client, connected.database.name)
        problems = inspect_server(
            connected.client,
            server,
            connected.database.name,
            allow_without_authorization=config.allow_without_authorization,
        ) or find_occupants(connected.client, connected.database.name, journal.release_id)
        choice = choose_freezing(connected.database, server, problems, config.wanted_strategy)
        for warning in choice.warnings:
            context.log.warning(warning)
        context.log.info(f"Rolling back release {journal.release_id}: {journal.to_version} -> {journal.from_version}.")
        tag_run(context, schema=f"{journal.to_version} -> {journal.from_version}", rolled_back=journal.release_id)
        hold_frozen(context, origin, connected, journal.release_id, choice.strategy, config.drain_timeout)
        journal = release_to_roll_back(connected.database, journal.release_id)
        if journal.state is State.ROLLED_BACK:
            _put_displaced_back(context, config, connected, journal)
        else:
            journal = _undo_swap(context, config, connected, journal)
        thawed = thaw(connected.client, journal.release_id, thawed_by=context.run_id)
        for line in thawed.left if thawed else ():
            context.log.warning(line)
        window = freezes_of(connected.client, journal.release_id)[-1]
        findings = [judge_ledger(connected), judge_writes(connected)]
        report_rollback(context, connected, journal.release_id, Stage.DONE)
    context.log.info(
        f"Rolled back: the database conforms to schema {journal.from_version}. Writes are allowed again; they were blocked for "
        f"{duration(window.seconds)}."
    )
    tag_run(context, writes_blocked=duration(window.seconds))
    if journal.owed:
        context.log.warning(str(journal.owed))
    shown = _describe(journal, window.seconds)
    what = f"The origin, rolled back to schema {journal.from_version}"
    numbers = Numbers(seconds_blocked=window.seconds, seconds_of=measure_steps(context))
    context.log_event(materialize(DATABASE, journal.from_version, what, numbers, shown))
    record_findings(context, findings)
    found = state_of(journal, [window], None, journal.release_id)
    summary = summarize_end(context, ReleaseHomeResource(), found=found)
    context.add_output_metadata({"schema version": journal.from_version, **summary, **shown})


def _require_release_id(config: RollbackConfig) -> None:
    """Require the release that options which allow writes are meant for: the Launchpad offers the last config again.

    Raises:
        PlanRefused: an option that allows writes or losses is given without the release that it is meant for.
    """
    given = [option for option in (SET_ASIDE_OPTION, LEFT_IN_PLACE_OPTION, "accept_lost") if getattr(config, option)]
    if given and config.release_id is None:
        raise PlanRefused(
            [
                f"{' and '.join(given)} may be given only together with release_id, the release that it is meant for. Launch "
                f"`rollback` without {' and '.join(given)} first: it reports what was written or lost since, and the release."
            ]
        )


def _undo_swap(
    context: dg.OpExecutionContext, config: RollbackConfig, origin: OriginConnection, journal: Journal
) -> Journal:
    journal = prepare_rollback(
        origin.database,
        journal,
        context.run_id,
        allow_writes_set_aside=config.allow_writes_set_aside,
        allow_writes_left_in_place=config.allow_writes_left_in_place,
        accept_lost=config.accept_lost,
    )
    for line in describe_written(journal, WrittenSince(journal.written, journal.undetermined)):
        context.log.warning(f"Written since the release: {line}")
    context.log.info(f"Undoing {len(journal.moves)} moves.")
    require_frozen(origin.client, journal.release_id, context.run_id)
    done = perform_rollback(origin.database, journal, context.run_id, log=context.log.warning)
    for line in describe_accepted(origin.database, done):
        context.log.warning(line)
    return done


def _put_displaced_back(
    context: dg.OpExecutionContext, config: RollbackConfig, origin: OriginConnection, journal: Journal
) -> None:
    require_frozen(origin.client, journal.release_id, context.run_id)
    put_back = put_displaced_back(
        origin.database,
        journal,
        context.run_id,
        allow_writes_set_aside=config.allow_writes_set_aside,
        log=context.log.warning,
    )
    for move in put_back:
        context.log.warning(
            f"{move.source}, which a run had renamed after it lost its lease, was renamed back to {move.target}."
        )


def _thaw_if_left_frozen(context: dg.OpExecutionContext, origin: OriginConnection, release_id: str) -> None:
    """An earlier rollback may have been interrupted after its last event and before its thaw."""
    lease = current_lease(origin.client)
    if lease is not None and lease.release_id == release_id and lease.is_abandoned:
        context.log.info(thaw_unless_swapping(origin, lease, context.run_id))


def _describe(journal: Journal, seconds: float) -> dict[str, "dg.RawMetadataValue"]:
    """The rollback as the run page and the asset's history show it."""
    undone = [
        move
        for move in reversed(journal.moves)
        if move.target is not None and not {move.source, move.target} & set(journal.accepted_lost)
    ]
    set_aside = [STAGED + str(move.target) for move in undone if move.brings_in and move.target in journal.hashes]
    metadata: dict[str, dg.RawMetadataValue] = {
        "before": journal.to_version,
        "release": journal.release_id,
        "writes blocked for": duration(seconds),
        "renamed": table({"from": move.target, "to": move.source} for move in undone),
        "what the release had brought is in": ", ".join(set_aside) or "nothing",
        "written since the release": table(
            {
                "collection": one.name,
                **(one.writes or Writes()).model_dump(),
                "counted": one.writes is not None,
                "now": one.fate.value,
            }
            for one in journal.written
        ),
        "not determined": journal.undetermined or "nothing",
        "went back without": ", ".join(journal.accepted_lost) or "nothing",
        "moved aside": table({"collection": one.name, "kept as": one.kept_as} for one in journal.intruders),
    }
    return metadata
