"""`nmdc-release check` finds out the day before what a release would do, and what would stop it."""

from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.state.ledger import EVENTS
from nmdc_release_ops_tests.command.running import CONTROL, flat, run
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE
from nmdc_release_ops_tests.workplace import Workplace, untouched, workplace_fixture

workplace = workplace_fixture(scale=100)


def test_it_shows_what_a_release_would_do_and_changes_nothing(
    workplace: Workplace, client: MongoClient[Any], password: str
) -> None:
    with untouched(client):
        found = run("check", "--target-version", "11.25", columns=60)
    assert found.exit_code == 0, found.output
    text = flat(found.output)
    assert text.startswith(f"The origin is the database {DATABASE} on 127.0.0.1:")
    assert f"schema {BEFORE} -> {AFTER}" in text
    assert "data_release would block writes for about 6." in text
    assert "promotion would block writes for about 1.0 s (measured elsewhere" in text
    assert "The origin will be frozen by write_block" in text
    for shown in ("migrator_from_11_23_0_to_11_24_0", "biosample_set", "no-op, not run"):
        assert shown in text
    assert f"A release to {AFTER} can be launched." in text
    assert password not in found.output and not CONTROL.search(found.output)
    assert not list(workplace.home.glob("origins/*")), "a check leaves no folder of a release"


def test_it_shows_the_same_as_the_step_plan(workplace: Workplace) -> None:
    """Every warning of `plan` is among the lines."""
    planned = workplace.plan(target_version="11.25")
    assert planned.success
    text = flat(run("check", "--target-version", "11.25").output)
    for warning in planned.output_for_node("plan").warnings:
        assert flat(warning) in text


def test_it_has_nothing_to_do_where_the_database_conforms_already() -> None:
    found = run("check", "--target-version", BEFORE)
    assert found.exit_code == 0
    assert f"There is nothing to do: the database already conforms to {BEFORE}." in flat(found.output)


def test_what_would_stop_a_release_makes_it_end_with_1(client: MongoClient[Any]) -> None:
    client[DATABASE].create_collection("_release.staged.study_set", viewOn="study_set")
    try:
        found = run("check", "--target-version", "11.25")
    finally:
        client[DATABASE].drop_collection("_release.staged.study_set")
    assert found.exit_code == 1
    assert "_release.staged.study_set" in found.output
    assert "docs/runbook.md, PlanRefused." in found.output and "Traceback" not in found.output


def test_an_empty_ledger_needs_the_version(client: MongoClient[Any]) -> None:
    events = list(client[DATABASE][EVENTS].find())
    client[DATABASE][EVENTS].delete_many({})
    try:
        refused = run("check", "--target-version", "11.25")
        told = run("check", "--target-version", "11.25", "--from-version", BEFORE)
    finally:
        client[DATABASE][EVENTS].insert_many(events)
    assert refused.exit_code == 1 and "with from_version set to it" in flat(refused.output)
    assert told.exit_code == 0, told.output


def test_a_version_that_is_none_is_bad_usage() -> None:
    found = run("check", "--target-version", "eleven")
    assert found.exit_code == 2 and "Traceback" not in found.output


def test_a_configuration_that_a_release_could_not_use_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_DEPLOY_WORKFLOWS", "no JSON")
    found = run("check", "--target-version", "11.25")
    assert found.exit_code == 1 and "NMDC_DEPLOY_WORKFLOWS" in found.output
