"""`plan`, of `runtime_release`: which version of the Runtime is released, from which commit, and what is new in it."""

from typing import Literal

import dagster as dg
from pydantic import Field

from nmdc_release_ops.records.runtime_release import RuntimeReleasePlan
from nmdc_release_ops.resources.runtime import RuntimeProjectResource
from nmdc_release_ops.runtime.publication import last_published, next_version
from nmdc_release_ops.services.errors import RuntimeReleaseRefused
from nmdc_release_ops.services.repository import Comparison, Repository
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.runtime import NOTHING_WRITTEN
from nmdc_release_ops.steps.showing.display import table


class RuntimePlanConfig(dg.Config):
    """Options of a release of the Runtime; all have defaults."""

    part: Literal["patch", "minor", "major"] = Field(
        default="patch", description="Which part of the last version is incremented, unless `version` is given."
    )
    version: str | None = Field(default=None, description='The version to release, greater than the last: "2.11.0".')
    commit: str | None = Field(default=None, description="SHA or branch to release; the default branch if not given.")
    title: str | None = Field(default=None, description="Title of the release; its tag if not given.")
    dry_run: bool = Field(default=False, description="Do everything except writing to GitHub.")


@dg.op(name="plan_runtime_release", out=dg.Out(RuntimeReleasePlan, description="Which release is to be made."))
def plan_runtime(
    context: dg.OpExecutionContext, config: RuntimePlanConfig, runtime: RuntimeProjectResource
) -> RuntimeReleasePlan:
    """Find the last published version, compute the next one, and show the commits in between."""
    log_options(context, config)
    with explain_failures(lambda: NOTHING_WRITTEN):
        repository = runtime.repository()
        listing = repository.releases()
        last = last_published(listing.releases if listing else ())
        version = next_version(last[0] if last else None, config.part, config.version)
        branch = config.commit or repository.default_branch()
        commit = repository.commit(branch)
        news = repository.compare(last[1].tag_name, commit.sha) if last else Comparison("ahead", 0, ())
        _refuse_if_nothing_is_new(repository, config, news, last[1].tag_name if last else "")
        release = RuntimeReleasePlan(
            release_id=context.run_id,
            repository=repository.name,
            commit=commit.sha,
            branch=branch,
            last_tag=last[1].tag_name if last else None,
            tag=f"v{version}",
            title=config.title or f"v{version}",
            prerelease=bool(version.prerelease),
            commits=[one.subject for one in news.commits],
            total_commits=news.total,
            dry_run=config.dry_run,
        )
    context.log.info(
        f"{release.repository}: {release.last_tag or 'nothing'} -> {release.tag}, {release.total_commits} commits, at "
        f"{commit.sha[:12]} ({commit.subject}).{' This is a dry run.' if config.dry_run else ''}"
    )
    context.add_output_metadata(
        {
            "release": release.tag,
            "last release": release.last_tag or "none",
            "commit": dg.MetadataValue.url(commit.html_url),
            "commits since": table({"commit": one.sha[:12], "subject": one.subject} for one in news.commits),
            "dry run": release.dry_run,
        }
    )
    return release


def _refuse_if_nothing_is_new(repository: Repository, config: RuntimePlanConfig, news: Comparison, last: str) -> None:
    """An explicit version means that the operator wants to release the same commit again."""
    if news.status not in ("ahead", "diverged") and config.version is None:
        raise RuntimeReleaseRefused(
            f"{config.commit or 'The default branch'} of {repository.name} has no commit that {last} lacks. To release it "
            "anyway, set `version`."
        )
