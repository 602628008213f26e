"""The state of the origin for a step that has failed."""

from collections.abc import Callable
from functools import partial

from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.server.connection import ServerUnreachable
from nmdc_release_ops.mongo.state.heartbeat import lease_of
from nmdc_release_ops.resources.environment import ConfigurationMissing
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.status.sentences import describe_origin, describe_swap, format_time


def origin_lookup(origin: OriginResource, run_id: str, release_id: str | None = None) -> Callable[[], str]:
    """A function for `explain_failures` that looks up the origin's state when a step fails."""
    return partial(look_up_origin, origin, run_id, release_id)


def look_up_origin(origin: OriginResource, run_id: str, release_id: str | None = None) -> str:
    """Describe the state of the origin now; for a run that has failed.

    Args:
        release_id: the run's release, if it is known.
    """
    try:
        with origin.connect() as connected:
            state = read_origin_state(connected.client, connected.database.name, release_id)
    except ConfigurationMissing:
        return f"The state of the origin cannot be looked up without its address. {describe_own_lease(run_id)}"
    except ServerUnreachable:
        return f"The origin does not answer, so its state cannot be determined. {describe_own_lease(run_id)}"
    except (MongoError, PyMongoError) as error:
        return f"The state of the origin cannot be determined: {error} {describe_own_lease(run_id)}"
    sentences = [describe_origin(state, run_id)]
    if state.lease is None and release_id is not None and not state.is_swap_under_way:
        sentences.append(describe_swap(state.journal))
    if state.lease is not None and state.lease.run_id == run_id and not state.is_swap_under_way:
        sentences.append("This run thaws it now; its next log lines say so.")
    return " ".join(sentences)


def describe_own_lease(run_id: str) -> str:
    """Describe what this process knows about its run's lease; for an origin that does not answer."""
    lease = lease_of(run_id)
    if lease is None:
        return "This run does not hold it."
    return (
        f"This run took its lease at {format_time(lease.taken_at)}. If it is still frozen, the sensor frozen_origin_watchdog "
        "thaws it within half a minute of its answering again, unless a swap was begun; so does the job `unfreeze`."
    )
