"""An online release that is validated, so that only its second half has to be executed, again and again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.records.data_release import Reconciled
from nmdc_release_ops.resources.record_store import read_record
from nmdc_release_ops_tests.prepared_release import CONFIG
from nmdc_release_ops_tests.steps.crashing_run import online_release
from nmdc_release_ops_tests.workplace import Workplace, failure_of

SECOND_HALF = ("freeze", "reconcile", "restore", "unfreeze")


class Validated:
    """An online release that is validated, so that only its second half has to be executed again and again.

    Attributes:
        last: the newest run, whose steps are executed again.
    """

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        made = defs.get_job_def("online_release").execute_in_process(
            run_config=CONFIG, instance=workplace.instance, op_selection=["plan", "dump", "migrate", "validate"]
        )
        assert made.success
        self.last = made.run_id
        self.folder = max(workplace.home.glob("origins/*/releases/*"))

    def execute(self, *steps: str) -> dg.JobExecutionResult:
        """Execute these steps, whether they succeed or not."""
        result = dg.execute_job(
            dg.reconstructable(online_release),
            instance=self.workplace.instance,
            reexecution_options=dg.ReexecutionOptions(self.last, step_selection=steps),
            raise_on_error=False,
        )
        self.last = result.run_id
        return result

    def execute_from_failure(self) -> dg.JobExecutionResult:
        result = dg.execute_job(
            dg.reconstructable(online_release),
            instance=self.workplace.instance,
            reexecution_options=dg.ReexecutionOptions.from_failure(self.last, self.workplace.instance),
            raise_on_error=False,
        )
        self.last = result.run_id
        return result

    def succeed(self, *steps: str) -> None:
        result = self.execute(*steps)
        assert result.success, failure_of(result)

    def fail(self, *steps: str) -> tuple[str, str]:
        """The step that fails, and what the run page says of it."""
        step, failure = failure_of(self.execute(*steps))
        return step, str(failure.description)

    @property
    def reconciled(self) -> Reconciled:
        path = self.workplace.home / "records" / self.last / "reconcile.json"
        return read_record(path, Reconciled, "reconcile")


@contextmanager
def written(client: MongoClient[Any], name: str, text: str) -> Iterator[None]:
    """A user writes to a document, and puts it back in the end."""
    before = client[DATABASE][name].find_one()
    assert before is not None
    client[DATABASE][name].update_one({"_id": before["_id"]}, {"$set": {"name": text}})
    yield
    client[DATABASE][name].replace_one({"_id": before["_id"]}, before)
