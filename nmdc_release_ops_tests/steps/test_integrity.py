"""Every reference is checked with every release, and what becomes of one that leads nowhere is the operator's to say."""

import json
import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

TARGET = "nmdc:wfmgan-11-nobody.1"


workplace = workplace_fixture(warm=True)


@pytest.mark.faults
def test_a_reference_that_led_nowhere_before_is_named_and_stops_the_release_only_where_that_is_wanted(
    workplace: Workplace,
) -> None:
    with MongoClient[Any](workplace.origin.server.uri) as client:
        objects = client[DATABASE].data_object_set
        damaged = objects.find_one({"was_generated_by": {"$exists": True}})
        assert damaged is not None
        objects.update_one({"_id": damaged["_id"]}, {"$set": {"was_generated_by": TARGET}})
        with untouched(client):
            stopped = workplace.release(target_version="11.25", integrity="fail")
            step, text = failure_of(stopped)
        assert step == "validate"
        assert (
            f"data_object_set {damaged['id']}, at /was_generated_by: There is no document {TARGET}" in text.description
        )
        assert "`integrity: warn` in the config of plan" in text.description
        (line,) = Path(text.metadata["all of them"].value).read_text().splitlines()
        assert (json.loads(line)["id"], json.loads(line)["violation"]) == (damaged["id"], "dangling reference")

        released = workplace.release(target_version="11.25")
        assert released.success
        report = released.output_for_node("validate")
        assert (report.violations, report.tolerated) == (0, 1)
        assert report.references > 500
        logged = json.loads(report.violations_path.read_text())
        assert (logged["id"], logged["target"], logged["new"]) == (damaged["id"], TARGET, False)
        page = report.page_path.read_text()
        assert damaged["id"] in page and "the data had it before" in page
        logged_lines = (one for one in workplace.instance.all_logs(released.run_id) if not one.is_dagster_event)
        (warning,) = (entry for entry in logged_lines if "not stop the release" in entry.message)
        assert warning.level == logging.WARNING


def test_integrity_is_one_of_three_words(workplace: Workplace) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="integrity"):
        workplace.release(target_version="11.25", integrity="perhaps")
