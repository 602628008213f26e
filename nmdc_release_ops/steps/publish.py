"""`publish`: make the Runtime's release on GitHub, once."""

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.records.runtime_release import RuntimeRelease, RuntimeReleasePlan, TestedCommit
from nmdc_release_ops.resources.runtime import RuntimeProjectResource
from nmdc_release_ops.runtime.publication import publish_once
from nmdc_release_ops.steps.shared.failures import explain_failures

PERHAPS_PUBLISHED = (
    "If GitHub made the release but its answer was lost, re-executing from here finds the release and continues; it never "
    "makes a second one. The origin is not involved."
)


@dg.op(out=dg.Out(RuntimeRelease, description="The release on GitHub."))
def publish(
    context: dg.OpExecutionContext, release: RuntimeReleasePlan, tested: TestedCommit, runtime: RuntimeProjectResource
) -> RuntimeRelease:
    """Create the release with a new tag and GitHub's generated notes, unless an earlier attempt made it."""
    url = ""
    if release.dry_run:
        context.log.info(f"Dry run: {release.tag} would be released at {release.commit[:12]}.")
    else:
        with explain_failures(lambda: PERHAPS_PUBLISHED):
            require_lineage(plan=release, require_tests=tested)
            made, now = publish_once(
                runtime.repository(),
                tag=release.tag,
                commit=release.commit,
                title=release.title,
                release_id=release.release_id,
                prerelease=release.prerelease,
            )
        url = made.html_url
        context.log.info(
            f"Released {release.tag}: {url}" if now else f"An earlier attempt released {release.tag}: {url}"
        )
        context.add_output_metadata({"release": dg.MetadataValue.url(url)})
    return RuntimeRelease(
        made_from=collect_digests(plan=release, require_tests=tested),
        repository=release.repository,
        tag=release.tag,
        commit=release.commit,
        url=url,
        dry_run=release.dry_run,
    )
