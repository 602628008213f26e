"""Trying the engine's tools on both servers, in `plan`."""

import shutil

import dagster as dg

from nmdc_release_ops.mongo.transfer.archive import Engine
from nmdc_release_ops.mongo.transfer.engine import try_engine
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.origin import Origin
from nmdc_release_ops.resources.release_home import ReleaseHome
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database


def try_tools_of(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: Origin,
    home: ReleaseHome,
    transformer: TransformerResource,
) -> None:
    """Run the tools of the plan's engine against the origin and against this release's transformer.

    A private transformer is started for this. `migrate` uses its files again, so it is not initialised under the freeze. If a
    tool fails, the release's folder is removed.

    Raises:
        ToolUnusable, AddressUnresolved: a tool cannot work with one of the two.
        MongodFailedToStart, ServerUnreachable, LoginRefused: see `TransformerResource.open`.
    """
    if plan.engine is Engine.NATIVE:
        return
    folder = home.release(plan)
    try:
        try_engine(plan.engine, origin, whose="origin", folder=folder, log=context.log.info)
        with transformer.open(plan, transformer_database(plan.release_id, context.run_id)) as scratch:
            try_engine(plan.engine, scratch, whose="transformer", folder=folder, log=context.log.info)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
