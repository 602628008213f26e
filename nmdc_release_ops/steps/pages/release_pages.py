"""Writing the page of each release, and its short form for the run page. Neither ever fails a release."""

import logging
from pathlib import Path

import dagster as dg

from nmdc_release_ops.pages.markdown import summarize
from nmdc_release_ops.pages.shelf import read_summaries, standing_of, write_pages
from nmdc_release_ops.pages.summary import Outcome, ReleaseSummary, Swap
from nmdc_release_ops.records.record import Record
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.pages.run_summary import Found, Gathered, gather
from nmdc_release_ops.steps.runs.last_step import read_steps

BEGINNINGS = ("plan", "choose")
"""The steps after which a release has a page, if they are not the first: a run that is killed later leaves it."""
_ENDS = {
    dg.DagsterRunStatus.SUCCESS: Outcome.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: Outcome.FAILED,
    dg.DagsterRunStatus.CANCELED: Outcome.CANCELLED,
}


@dg.success_hook(required_resource_keys={"home"})
def show_rehearsal(context: dg.HookContext) -> None:
    """Write the page of a rehearsal when it is planned and when it is complete."""
    show_progress(context)


@dg.failure_hook(required_resource_keys={"home"})
def show_failed_rehearsal(context: dg.HookContext) -> None:
    """Write the page of a rehearsal that failed."""
    show_end(context, Outcome.FAILED)


def show_progress(context: dg.HookContext, origin: OriginResource | None = None) -> None:
    """Write the page after the first step of a run, and after the last one. A run that is killed later leaves the first, in place
    of what an earlier run of the release said.

    Args:
        origin: see `gather`.
    """
    steps = read_steps(context.instance, context.run_id, context.step_key)
    if not steps.left:
        show_end(context, Outcome.SUCCEEDED, origin)
    elif context.step_key in BEGINNINGS or steps.succeeded == {context.step_key}:
        show_end(context, Outcome.UNDER_WAY, origin)


def show_end(context: dg.HookContext, outcome: Outcome, origin: OriginResource | None = None) -> None:
    """Write the page of the run, the pages of others that it changes, and the list of all.

    Args:
        origin: see `gather`.
    """
    home: ReleaseHomeResource = context.resources.home
    try:
        gathered = gather(context.instance, home, context.run_id, outcome, origin=origin)
        if gathered is None:
            return
        ended = _find_ended(context.instance, home, gathered.folder.parent, origin, context.log)
        write_pages(home.path, {gathered.folder: gathered.summary}, ended)
    except Exception as error:  # Whatever is wrong with a page, the release is not concerned.
        context.log.warning(f"The release's page was not written: {type(error).__name__}: {error}")
    else:
        context.log.info(f"The release's page: {_page(gathered)}")


def show_ended(
    instance: dg.DagsterInstance,
    home: ReleaseHomeResource,
    releases: Path,
    origin: OriginResource,
    log: logging.Logger,
) -> None:
    """Write the pages of runs that were cancelled or killed, and whose pages say that they are under way.

    Args:
        releases: the folder of all releases of the origin.
        log: receives which pages could not be made, and why.

    Raises:
        BlockingIOError: another process is writing pages; it is not waited for.
        FileNotWritten, OSError.
    """
    if ended := _find_ended(instance, home, releases, origin, log):
        write_pages(home.path, {}, ended, wait=False)


def show_left(instance: dg.DagsterInstance, home: ReleaseHomeResource, run_id: str, origin: OriginResource) -> None:
    """Write the page of a run that ended and left the origin frozen, unless its hook has. If it was killed in its first step, the
    page is that of an earlier run, and does not say that it is under way.

    Raises:
        BlockingIOError: another process is writing pages; it is not waited for.
        FileNotWritten, OSError.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.status not in _ENDS:
        return
    gathered = gather(instance, home, run_id, _ENDS[run.status], origin=origin)
    if gathered is None:
        return
    written = ReleaseSummary.read(gathered.folder / f"{gathered.summary.file_name}.json")
    if written is None or written.run_id != run_id or written.outcome is Outcome.UNDER_WAY:
        write_pages(home.path, {gathered.folder: gathered.summary}, wait=False)


def _find_ended(
    instance: dg.DagsterInstance,
    home: ReleaseHomeResource,
    releases: Path,
    origin: OriginResource | None,
    log: logging.Logger,
) -> dict[Path, ReleaseSummary]:
    """Releases whose page says that they are under way, and whose run was cancelled or killed since. One that cannot be read
    does not keep the pages of others from being written.

    Args:
        releases: the folder of all releases of the origin.
        origin: None where it is not to be asked.
    """
    found = {}
    for folder, summary in read_summaries(home.path):
        if summary.outcome is not Outcome.UNDER_WAY or folder.parent != releases:
            continue
        try:
            gathered = _gather_ended(instance, home, summary, origin)
        except Exception as error:
            log.warning(f"The page of {folder.name} was not written: {type(error).__name__}: {error}")
        else:
            if gathered is not None:
                found[folder] = gathered.summary
    return found


def _gather_ended(
    instance: dg.DagsterInstance, home: ReleaseHomeResource, summary: ReleaseSummary, origin: OriginResource | None
) -> Gathered | None:
    """What a run did whose page says that it is under way; None if it still is."""
    run = instance.get_run_by_id(summary.run_id)
    if run is None or run.status not in _ENDS:
        return None
    state = None if origin is not None or summary.is_rehearsal else Found(Swap.UNKNOWN, None)
    asked = None if summary.is_rehearsal else origin
    return gather(instance, home, summary.run_id, _ENDS[run.status], origin=asked, found=state)


def summarize_end(
    context: dg.OpExecutionContext,
    home: ReleaseHomeResource,
    *,
    found: Found | None = None,
    **in_hand: Record,
) -> dict[str, dg.MetadataValue]:
    """The release in short, as the metadata of its last step; nothing if it cannot be made.

    Args:
        found: see `gather`.
        in_hand: the step's own record.
    """
    try:
        gathered = gather(
            context.instance, home, context.run_id, Outcome.SUCCEEDED, found=found, in_hand=in_hand, brief=True
        )
        return {} if gathered is None else {"summary": _shorten(home, gathered)}
    except Exception as error:  # As above.
        context.log.warning(f"The release's summary was not made: {type(error).__name__}: {error}")
        return {}


def summarize_failure(state: str) -> dict[str, dg.MetadataValue]:
    """The same for a step that fails.

    Args:
        state: of the origin, a sentence or two.
    """
    try:
        context = dg.OpExecutionContext.get()
        home = ReleaseHomeResource()
        gathered = gather(context.instance, home, context.run_id, Outcome.FAILED, brief=True)
        return {} if gathered is None else {"summary": _shorten(home, gathered, state)}
    except Exception:  # It must not hide the error of the step.
        return {}


def _shorten(home: ReleaseHomeResource, gathered: Gathered, state: str | None = None) -> dg.MetadataValue:
    standing = standing_of(home.path, gathered.folder, gathered.summary)
    return dg.MetadataValue.md(summarize(gathered.summary, standing, _page(gathered), home.address, state))


def _page(gathered: Gathered) -> Path:
    return gathered.folder / f"{gathered.summary.file_name}.html"
