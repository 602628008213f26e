"""`require_tests`: the Runtime's tests have passed on the commit that is released."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.records.runtime_release import RuntimeReleasePlan, TestedCommit
from nmdc_release_ops.resources.runtime import RuntimeProjectResource
from nmdc_release_ops.services.errors import RuntimeReleaseRefused
from nmdc_release_ops.services.repository import Repository, WorkflowRun
from nmdc_release_ops.services.workflows import follow, require_success, run_on_commit, start
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.runtime import NOTHING_WRITTEN, WatchingConfig


class RequireTestsConfig(WatchingConfig):
    """Options of the tests; all have defaults."""

    start_tests: bool = Field(default=False, description="Start the tests if there is no run on the commit.")


@dg.op(out=dg.Out(TestedCommit, description="The tests passed on the commit."))
def require_tests(
    context: dg.OpExecutionContext,
    config: RequireTestsConfig,
    release: RuntimeReleasePlan,
    runtime: RuntimeProjectResource,
) -> TestedCommit:
    """Check the newest run of the tests on the commit: wait for it if it is running, start one if there is none."""
    workflow = runtime.settings.tests_workflow
    log_options(context, config)
    with explain_failures(lambda: NOTHING_WRITTEN):
        repository = runtime.repository()
        run = run_on_commit(repository, workflow, repository.commit(release.commit))
        if run is None and config.start_tests and release.dry_run:
            context.log.info(f"Dry run: {workflow} would be started on {release.branch}.")
            return TestedCommit(made_from=collect_digests(plan=release), workflow=workflow, url="")
        if run is None:
            run = _start(context, config, repository, release, workflow)
        run = follow(repository, run, workflow, config.watching, context.log.info)
        require_success({workflow: run})
    context.add_output_metadata({"tests": dg.MetadataValue.url(run.html_url)})
    return TestedCommit(made_from=collect_digests(plan=release), workflow=workflow, url=run.html_url)


def _start(
    context: dg.OpExecutionContext,
    config: RequireTestsConfig,
    repository: Repository,
    release: RuntimeReleasePlan,
    workflow: str,
) -> WorkflowRun:
    if not config.start_tests:
        raise RuntimeReleaseRefused(
            f"{workflow} never ran on commit {release.commit[:12]} of {release.repository}. Run it on GitHub and re-execute from "
            "here, or launch again with start_tests: true."
        )
    run = start(repository, workflow, release.branch, {}, config.watching, context.log.info)
    if run.head_sha != release.commit:
        raise RuntimeReleaseRefused(
            f"{workflow} was started on {release.branch}, which is now at {run.head_sha[:12]} and not at the commit to "
            f"release, {release.commit[:12]}. Launch again to release the new commits."
        )
    return run
