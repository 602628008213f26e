"""Stores the records that steps pass on."""

from pathlib import Path
from types import NoneType
from typing import TypeVar, cast, get_args

import dagster as dg

from nmdc_release_ops.files import sync, write_whole, writing
from nmdc_release_ops.records.record import Record, RecordAltered, RecordUnreadable
from nmdc_release_ops.resources.release_home import ReleaseHomeResource

RecordT = TypeVar("RecordT", bound=Record)
_ONLY_OUTPUT = "result"
"""Dagster's name for the output of a step that has one."""


class RecordMissing(Exception):
    """The record of an earlier step is missing."""


class RecordChanged(Exception):
    """The record of an earlier step was changed after it was written."""


class RecordStore(dg.ConfigurableIOManager):
    """Stores the records that steps pass on as JSON files, by run. A re-executed run reads those of its parent."""

    home: dg.ResourceDependency[ReleaseHomeResource]

    def handle_output(self, context: dg.OutputContext, obj: Record) -> None:
        path = self._path(context)
        with writing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, obj.to_json())
            sync(path.parent)

    def load_input(self, context: dg.InputContext) -> Record:
        """The record that an earlier step wrote.

        Raises:
            dagster.Failure: its file is missing, unreadable or changed; the earlier step has to be executed again.
        """
        if context.upstream_output is None:
            raise ValueError("a record is read only from the step that wrote it")
        wanted = context.dagster_type.typing_type
        # Of an input that not every job connects: a record or None.
        (record,) = [kind for kind in get_args(wanted) if kind is not NoneType] or [wanted]
        step = context.upstream_output.step_key
        try:
            return read_record(self._path_of(context.upstream_output), cast("type[Record]", record), step)
        except (RecordMissing, RecordChanged) as error:
            raise dg.Failure(
                f"{error}\n\nThis step did nothing to the origin.\n\nMore: docs/runbook.md, {type(error).__name__}.",
                allow_retries=False,
            ) from None

    def _path_of(self, written: dg.OutputContext) -> Path:
        """Raises:
        RecordMissing: the step was not executed.
        """
        try:
            return self._path(written)
        except dg.DagsterInvariantViolationError:
            # Dagster does not know of which run the output is.
            raise RecordMissing(
                f"Neither this run nor one that it re-executes has completed the step `{written.step_key}`. Re-execute the run "
                f"from `{written.step_key}`, with all the steps after it."
            ) from None

    def _path(self, context: dg.OutputContext) -> Path:
        is_only = context.name == _ONLY_OUTPUT
        return self.home.record(context.run_id, context.step_key if is_only else f"{context.step_key}.{context.name}")


def read_record(path: Path, kind: type[RecordT], step: str) -> RecordT:
    """The record in a file.

    Args:
        step: the step that wrote it, for errors.

    Raises:
        RecordMissing: the file is missing, or this version of the project cannot read it.
        RecordChanged: its content is not what was written.
    """
    again = f"Re-execute the run from `{step}`, with all the steps after it, or launch a new release."
    try:
        return kind.from_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordMissing(f"{path}, the record of the step `{step}`, is missing. {again}") from None
    except RecordUnreadable as error:
        raise RecordMissing(f"{path}, the record of the step `{step}`, cannot be read: {error}. {again}") from None
    except RecordAltered as error:
        raise RecordChanged(
            f"{path}, the record of the step `{step}`, was changed after it was written: {error}. {again}"
        ) from None
