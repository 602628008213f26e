"""What stands for the Runtime's code location: `ensure_alldocs`, with its config inside, as nmdc_runtime/site makes it.

The file that ALLDOCS_DOES names says what the job does: one line for each run, in order.
"""

import os
import time
from pathlib import Path
from typing import Any

import dagster as dg


@dg.resource(config_schema={"dbname": dg.StringSource})
def mongo(context: dg.InitResourceContext) -> str:
    return str(context.resource_config["dbname"])


@dg.op(required_resource_keys={"mongo"}, ins={"waits_for": dg.In(dg.Nothing)})
def materialize_alldocs(context: dg.OpExecutionContext) -> int:
    assert context.resources.mongo == "nmdc"
    file = Path(os.environ["ALLDOCS_DOES"])
    does, *rest = file.read_text().split() or ["succeed"]
    file.write_text("\n".join(rest))
    if does == "fail":
        raise Exception("doc nmdc:bsm-1 in collection biosample_set has no 'type'!")
    time.sleep(600 if does == "hang" else 2 if does == "slow" else 0)
    return 0


@dg.graph
def ensure_alldocs() -> None:
    materialize_alldocs()


@dg.repository
def repo() -> list[Any]:
    resources = {"mongo": {"config": {"dbname": {"env": "MONGO_DBNAME"}}}}
    return [
        ensure_alldocs.to_job(
            resource_defs={"mongo": mongo}, config={"resources": resources}, executor_def=dg.in_process_executor
        )
    ]
