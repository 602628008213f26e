"""What tells runs apart in Dagster's list of runs, as tags of the run."""

import dagster as dg

from nmdc_release_ops.mongo.server.connection import nodes_of
from nmdc_release_ops.resources.origin import OriginConnection

PREFIX = "nmdc_release_ops"


def name_origin(context: dg.OpExecutionContext, origin: OriginConnection) -> str:
    """Log which database the run is about, without credentials, and tag the run with it; return its name and addresses."""
    name = f"{origin.database.name} on {', '.join(nodes_of(origin.uri))}"
    context.log.info(f"The origin is the database {name}.")
    tag_run(context, origin=name)
    return name


def tag_run(context: dg.OpExecutionContext, **facts: str) -> None:
    """Add tags to the run: `nmdc_release_ops/NAME`."""
    context.instance.add_run_tags(context.run_id, {f"{PREFIX}/{name}": value for name, value in facts.items()})
