"""Running the worker that validates, and reading what it found."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, ArchivedCollection
from nmdc_release_ops.resources.schema import VALIDATE, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection
from nmdc_release_ops.schema.environments.environment import NOT_WRITTEN, SchemaEnvironment
from nmdc_release_ops.schema.processes import TookTooLong
from nmdc_release_ops.schema.report import SUMMARY, Summary, read_summary
from nmdc_release_ops.steps.shared.failures import ValidationTimedOut, WorkerDied
from nmdc_release_ops.steps.showing.display import WorkerProgress
from nmdc_release_ops.units import duration


def run_validation(
    context: dg.OpExecutionContext,
    minutes: int,
    worker: SchemaWorkerResource,
    environment: SchemaEnvironment,
    scratch: TransformerConnection | None,
    extras: dict[str, Any],
    folder: Path,
    answer: Callable[[str], None] | None = None,
) -> tuple[int, Sequence[Mapping[str, Any]]]:
    """Run the worker that validates; return its exit code and its messages.

    Args:
        minutes: that it may take.
        scratch: None if everything is read from an archive.
        extras: its parameters.
        folder: its working directory.
        answer: does what it asks for.

    Raises:
        ValidationTimedOut: it was ended.
    """
    seconds = minutes * 60
    try:
        return worker.run(
            context,
            environment,
            VALIDATE,
            transformer=scratch,
            extras=extras,
            folder=folder,
            answer=answer,
            progress=WorkerProgress(context, extras["collections"], whole=True).receive,
            seconds=seconds,
        )
    except TookTooLong:
        raise ValidationTimedOut(
            f"Validation did not finish within {duration(seconds)} (validation_timeout) and was terminated. The run page shows "
            "how far it got. If it hung, re-execute the run from failure. If it needs more time, launch a new run with a "
            "longer validation_timeout."
        ) from None


def describe_file(archive: Path, collection: ArchivedCollection) -> dict[str, Any]:
    """A collection's documents in the archive, as a parameter of the worker."""
    return {"path": str(archive / collection.file), "blocks": [block.model_dump() for block in collection.blocks]}


def require_summary(
    code: int, messages: Sequence[Mapping[str, Any]], folder: Path, documents: Mapping[str, int]
) -> Summary:
    """The summary of a validation that is complete.

    Args:
        folder: that the worker wrote its reports to.
        documents: how many it had to validate, by collection.

    Raises:
        WorkerDied: it is not complete, or does not cover every document once.
        FileNotWritten, ArchiveDamaged: as the worker reported.
    """
    for message in messages:
        if message["kind"] == "not_written":
            raise FileNotWritten(message["path"], message["reason"])
        if message["kind"] == "archive_damaged":
            raise ArchiveDamaged(
                f"{message['path']} is not what was dumped: {message['fault']}. Validation stopped there. Dump again."
            )
    if code == NOT_WRITTEN:
        raise FileNotWritten(
            f"{folder}, or the folder for temporary files", "there is no room for the worker's messages"
        )
    if code != 0 or not any(message["kind"] == "summary" for message in messages):
        raise WorkerDied(
            f"The validating process ended with exit code {code} before it was done. Its output is on the run "
            "page (stderr). Re-execute the run from failure."
        )
    summary = read_summary(folder / SUMMARY)
    judged = {one.collection: one.documents for one in summary.collections}
    if judged != dict(documents):
        missing = ", ".join(name for name in documents if judged.get(name) != documents[name])
        raise WorkerDied(
            f"Some documents were not validated, or more than once, in {missing}. Re-execute the run from failure; if it "
            "happens again, report it to the maintainers of nmdc-release-ops."
        )
    return summary
