"""How the steps are wired into jobs."""

from typing import Any

import dagster as dg

from nmdc_release_ops.resources.runtime import deployment_is_configured, runtime_is_followed_up
from nmdc_release_ops.steps.audit import audit_origin
from nmdc_release_ops.steps.catch_up import catch_up
from nmdc_release_ops.steps.choose import choose
from nmdc_release_ops.steps.deploy import deploy
from nmdc_release_ops.steps.deploy_runtime import deploy_runtime
from nmdc_release_ops.steps.dump import dump
from nmdc_release_ops.steps.follow_up import follow_up
from nmdc_release_ops.steps.follow_workflows import follow_workflows
from nmdc_release_ops.steps.freeze import freeze
from nmdc_release_ops.steps.holding.thawing import thaw_after_failure, thaw_after_last_step
from nmdc_release_ops.steps.migrate import migrate
from nmdc_release_ops.steps.pages.release_pages import show_failed_rehearsal, show_rehearsal
from nmdc_release_ops.steps.plan import plan
from nmdc_release_ops.steps.plan_runtime import plan_runtime
from nmdc_release_ops.steps.publish import publish
from nmdc_release_ops.steps.reconcile import reconcile
from nmdc_release_ops.steps.report_status import report_status
from nmdc_release_ops.steps.require_tests import require_tests
from nmdc_release_ops.steps.restore import restore
from nmdc_release_ops.steps.rollback import roll_back
from nmdc_release_ops.steps.runs.run_tags import RELEASE
from nmdc_release_ops.steps.shared.notices import send_notice
from nmdc_release_ops.steps.unfreeze import unfreeze
from nmdc_release_ops.steps.unfreeze_by_hand import unfreeze_by_hand
from nmdc_release_ops.steps.validate import validate

RELEASE_TAG = {RELEASE: "data"}
"""`dagster.yaml` allows one run with this tag at a time."""
REHEARSAL_TAG = {"nmdc_release_ops/rehearsal": "data"}
"""`dagster.yaml` allows one run with this tag at a time, beside a release."""
AUDIT_TAG = {"nmdc_release_ops/audit": "data"}
"""`dagster.yaml` allows one run with this tag at a time, beside a release."""
Output = Any
"""What a step hands on within a job: Dagster's own type for it is not public."""
HOOKS = {thaw_after_failure, thaw_after_last_step, send_notice}
"""For the jobs that freeze the origin: however a run ends, it does not leave the origin frozen by accident, and it has a page."""


def _conclude(release: Output, restoration: Output) -> None:
    """The end of every release."""
    thawed = unfreeze.alias("unfreeze")(release, restoration)
    deployed = {"deployed": deploy(release, thawed)} if deployment_is_configured() else {}
    if runtime_is_followed_up():
        follow_up(release, thawed, **deployed)


def _catch_up_and_swap(release: Output, archive: Output, migrated: Output, report: Output) -> None:
    """The second half of `promote` and `online_release`."""
    caught_up = catch_up(release, archive, migrated, report)
    frozen = freeze(release, caught_up=caught_up)
    reconciled = reconcile(release, archive, caught_up, frozen)
    _conclude(release, restore(release, reconciled=reconciled))


@dg.job(executor_def=dg.in_process_executor, hooks=HOOKS, tags=RELEASE_TAG)
def data_release() -> None:
    """Move the NMDC database to a version of the NMDC Schema: freeze, dump, migrate, validate, restore, unfreeze.

    Launch it with no config at all to release the newest version. The error of a failed step says whether to re-execute the run
    from failure (every step finds the results of those before it), or from `dump`, because the data were corrected.
    """
    release = plan()
    archive = dump(release, frozen=freeze(release))
    migrated = migrate(release, archive)
    report = validate(release, migrated)
    _conclude(release, restore(release, archive=archive, migrated=migrated, validation=report))


@dg.job(
    executor_def=dg.in_process_executor, hooks={send_notice, show_rehearsal, show_failed_rehearsal}, tags=REHEARSAL_TAG
)
def rehearsal() -> None:
    """Find out what a release would do, while everybody works: dump, migrate and validate a copy of the database.

    Nobody is kept from writing, and the origin stays as it is. The step `validate` shows what was found. Launch it with no
    config at all to rehearse the release of the newest version, and `promote` afterwards to carry it out.
    """
    release = plan()
    migrated = migrate(release, dump(release))
    validate(release, migrated)


@dg.job(executor_def=dg.in_process_executor, hooks=HOOKS, tags=RELEASE_TAG)
def promote() -> None:
    """Carry out what was rehearsed: writes are blocked for about a second.

    What people wrote since the rehearsal is migrated, validated and staged while they work, and the last of it under the
    freeze. Launch it with no config at all to promote the newest rehearsal.
    """
    chosen = choose()
    _catch_up_and_swap(chosen.plan, chosen.archive, chosen.migrated, chosen.validation)


@dg.job(executor_def=dg.in_process_executor, hooks=HOOKS, tags=RELEASE_TAG)
def online_release() -> None:
    """Rehearse a release and promote it at once, in one run: writes are blocked for about a second.

    Launch it with no config at all to release the newest version.
    """
    release = plan()
    archive = dump(release)
    migrated = migrate(release, archive)
    _catch_up_and_swap(release, archive, migrated, validate(release, migrated))


@dg.job(executor_def=dg.in_process_executor, hooks=HOOKS, tags=RELEASE_TAG)
def rollback() -> None:
    """Put back what the last release swapped out, and record the earlier version in the ledger.

    It makes the same renames in reverse, under a freeze of about a second. It also undoes a half-done swap, and finishes a
    half-done rollback.
    """
    roll_back()


@dg.job(executor_def=dg.in_process_executor)
def check() -> None:
    """Find out what a release would do, and everything that would stop it: to be launched the day before.

    It is the step `plan` of a release, with the same config. Nothing is frozen, and nothing on the origin is changed.
    """
    plan()


@dg.job(executor_def=dg.in_process_executor)
def status() -> None:
    """Say whether writes are blocked now, by whom and since when, and what to do: at any time, beside any run.

    It only reads: which database this is, at which schema version, and what the last release was.
    """
    report_status()


@dg.job(executor_def=dg.in_process_executor, tags=AUDIT_TAG)
def audit() -> None:
    """Judge the database as it is, while people work: every document by the schema of the database's own version, and every
    reference.

    It shows what is new since the last audit, by document, and sends a notice when something is. No data are changed, nobody is
    kept from writing, and it may run beside a release.
    """
    audit_origin()


@dg.job(name="unfreeze", executor_def=dg.in_process_executor)
def unfreeze_job() -> None:
    """Allow writes to the origin again when no run is left to do it; reports who holds the origin."""
    unfreeze_by_hand()


@dg.job(executor_def=dg.in_process_executor, hooks={send_notice})
def runtime_release() -> None:
    """Release the NMDC Runtime on GitHub, wait for its images and package, and deploy it if that is configured.

    A failed step can be re-executed: a second release is never made.
    """
    release = plan_runtime.alias("plan")()
    published = publish(release, require_tests(release))
    deploy_runtime.alias("deploy")(follow_workflows(published))


def list_steps(job: dg.JobDefinition) -> tuple[str, ...]:
    """The names of a job's steps, in the order of execution."""
    return tuple(node.name for node in job.graph.nodes_in_topological_order)
