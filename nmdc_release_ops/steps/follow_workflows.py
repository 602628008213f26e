"""`follow_workflows`: wait for the workflows that the Runtime's release started (images, package)."""

import dagster as dg

from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.records.runtime_release import FollowedWorkflows, RuntimeRelease
from nmdc_release_ops.resources.runtime import RuntimeProjectResource
from nmdc_release_ops.services.repository import WorkflowRun
from nmdc_release_ops.services.workflows import follow, require_success, runs_of_release, wait_for_run
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.runtime import WatchingConfig
from nmdc_release_ops.steps.showing.display import table

PUBLISHED = "The release is on GitHub. Nothing was deployed. The origin is not involved."


@dg.op(out=dg.Out(FollowedWorkflows, description="The runs of the workflows that the release started."))
def follow_workflows(
    context: dg.OpExecutionContext, config: WatchingConfig, release: RuntimeRelease, runtime: RuntimeProjectResource
) -> FollowedWorkflows:
    """Find the run of each workflow that the release starts, follow it to its end, and require that it succeeded."""
    log_options(context, config)
    workflows = runtime.settings.release_workflows
    if release.dry_run:
        context.log.info(f"Dry run: {', '.join(workflows)} would be followed.")
        return FollowedWorkflows(made_from=collect_digests(publish=release), tag=release.tag, runs={}, dry_run=True)
    watching = config.watching
    runs = {}
    with explain_failures(lambda: PUBLISHED):
        repository = runtime.repository()
        for workflow in workflows:

            def find_runs(workflow: str = workflow) -> list[WorkflowRun]:
                return runs_of_release(repository, workflow, release.commit, release.tag)

            run = wait_for_run(find_runs, f"{workflow} for {release.tag}", watching)
            runs[workflow] = follow(repository, run, workflow, watching, context.log.info)
        require_success(runs)
    context.add_output_metadata(
        {"workflows": table({"workflow": name, "run": run.describe()} for name, run in runs.items())}
    )
    pages = {name: run.html_url for name, run in runs.items()}
    return FollowedWorkflows(made_from=collect_digests(publish=release), tag=release.tag, runs=pages, dry_run=False)
