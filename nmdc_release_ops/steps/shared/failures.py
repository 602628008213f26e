"""Errors as the operator reads them on the run page: what happened, the state of the origin, what to do next."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from nmdc_release_ops.files import writing
from nmdc_release_ops.foreseen import FORESEEN_ANYWHERE, runbook_entry
from nmdc_release_ops.mongo.server.connection import naming_failures
from nmdc_release_ops.resources.record_store import RecordChanged, RecordMissing
from nmdc_release_ops.resources.release_home import HomeUnusable
from nmdc_release_ops.steps.pages.release_pages import summarize_failure


class StepError(Exception):
    """An error of a step that the operator reads on the run page, and has its entry in the runbook.

    Attributes:
        metadata: what the run page shows with the failure.
    """

    def __init__(self, text: str, metadata: Mapping[str, dg.MetadataValue] | None = None) -> None:
        self.metadata = metadata or {}
        super().__init__(text)


class DatabaseNotReleased(StepError):
    """The database does not conform to the schema version for which the Runtime was to be deployed."""


class MigratorFailed(StepError):
    """A migrator of the schema release raised."""


class MigratorTimedOut(StepError):
    """A migrator of the schema release did not finish within `hop_timeout`."""


class ValidationTimedOut(StepError):
    """Validation did not finish within `validation_timeout`."""


class DocumentsInvalid(StepError):
    """Documents of the migrated database do not conform to the schema."""


class WorkerDied(StepError):
    """A worker process ended without an error message."""


FORESEEN: tuple[type[Exception], ...] = (
    *FORESEEN_ANYWHERE,
    StepError,
    HomeUnusable,
    RecordChanged,
    RecordMissing,
)


@contextmanager
def explain_failures(describe_state: Callable[[], str]) -> Iterator[None]:
    """Turn foreseen errors into failures with a message for the operator; others keep their stack trace.

    Args:
        describe_state: called when the step fails; returns the state of the origin, or of the system that the step works on.

    Raises:
        dagster.Failure: with the error's text and the state.
    """
    try:
        # Catches errors of the driver that no resource has named, and a full disk in any write.
        with naming_failures("server"), writing():
            yield
    except FORESEEN as error:
        state = _describe(describe_state)
        shown = error.metadata if isinstance(error, StepError) else {}
        raise dg.Failure(
            description=f"{error}\n\n{state}\n\n{runbook_entry(error)}",
            metadata={**summarize_failure(state), "error": type(error).__name__, "origin": state, **shown},
            allow_retries=False,
        ) from error


def _describe(describe_state: Callable[[], str]) -> str:
    try:
        return describe_state()
    except Exception as unforeseen:  # This error must not hide the step's own.
        return (
            f"The state of the origin could not be looked up ({type(unforeseen).__name__}: {unforeseen}). Launch the job "
            "`unfreeze`: it reports who holds the origin."
        )
