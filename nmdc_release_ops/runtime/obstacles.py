"""What would be in the way of following up a release, found before it begins."""

from nmdc_release_ops.runtime.alldocs import JOB
from nmdc_release_ops.services.errors import ServiceError
from nmdc_release_ops.services.remote_dagster import RemoteDagster
from nmdc_release_ops.services.running_runtime import RunningRuntime
from nmdc_release_ops.services.transport import AnswerUnusable, NoAnswer


def find_obstacles(runtime: RunningRuntime, dagster: RemoteDagster | None) -> list[str]:
    """Sentences for people; none of them stops a release. Raises nothing.

    Args:
        dagster: None where it is not configured.
    """
    obstacles = []
    try:
        runtime.read_version()
    except NoAnswer as error:
        obstacles.append(_describe(runtime, f"does not answer: {error}"))
    except AnswerUnusable as error:
        obstacles.append(_describe(runtime, f"{error}"))
    if dagster is not None:
        try:
            dagster.find_job(JOB)
        except ServiceError as error:
            obstacles.append(f"{error} If it stays so, the step `follow_up` fails after the release.")
    return obstacles


def _describe(runtime: RunningRuntime, problem: str) -> str:
    return (
        f"The Runtime ({runtime.address}) {problem}. Check NMDC_RUNTIME_URL: if it stays so, the step `follow_up` fails after "
        "the release."
    )
