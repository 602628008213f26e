"""What tells runs apart in Dagster's list of runs, as tags of the run."""

import dagster as dg

from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.status import report

PREFIX = "nmdc_release_ops"
RELEASE = f"{PREFIX}/release"
"""The tag of the runs of which `dagster.yaml` allows one at a time."""
ROLLED_BACK = f"{PREFIX}/rolled_back"
"""The tag of a rollback that names the release."""


def name_origin(context: dg.OpExecutionContext, origin: OriginConnection) -> str:
    """Log which database the run is about, without credentials, and tag the run with it; return its name and addresses."""
    name = report.name_origin(origin.database.name, origin.uri)
    context.log.info(f"The origin is the database {name}.")
    tag_run(context, origin=name)
    return name


def tag_run(context: dg.OpExecutionContext, **facts: str) -> None:
    """Add tags to the run: `nmdc_release_ops/NAME`."""
    context.instance.add_run_tags(context.run_id, {f"{PREFIX}/{name}": value for name, value in facts.items()})
