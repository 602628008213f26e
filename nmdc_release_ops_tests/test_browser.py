"""An engineer launches a release from Dagster's Launchpad in a real browser, and sees it succeed."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.jobs import data_release, list_steps, promote
from nmdc_release_ops_tests.chromium import browser_fixture
from nmdc_release_ops_tests.dagster_server import LOCATION, DagsterServer, dagster_server
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.browser

LAUNCH_SECONDS = 60
RELEASE_SECONDS = 150
GONE_SECONDS = 20


workplace = workplace_fixture(scale=1_500, scope="function")
browser = browser_fixture()


@pytest.fixture
def dagster(workplace: Workplace, tmp_path: Path) -> Iterator[DagsterServer]:
    with dagster_server(workplace.environment(), str(tmp_path / "dagster.log")) as server:
        yield server
    deadline = time.monotonic() + GONE_SECONDS
    while left := processes_of(workplace):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.2)


def processes_of(workplace: Workplace) -> list[str]:
    """Command lines of Dagster's processes, their workers and transformers that run now; the origin is not theirs."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            of_dagster = process.environ().get("DAGSTER_HOME") == str(workplace.dagster_home)
            if command and (of_dagster or f"{workplace.home}/" in command):
                found.append(f"{process.pid}: {command[:200]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def page_shows(browser: webdriver.Chrome, text: str, seconds: float) -> None:
    """Wait until the page shows a text."""
    WebDriverWait(browser, seconds).until(
        lambda driver: text in driver.find_element(By.TAG_NAME, "body").text, f"the page never said {text!r}"
    )


def button(browser: webdriver.Chrome, text: str, seconds: float) -> WebElement:
    """The button with this text, as soon as it can be clicked."""
    # The page replaces its elements while it loads.
    wait = WebDriverWait(browser, seconds, ignored_exceptions=[StaleElementReferenceException])
    found: WebElement = wait.until(
        lambda driver: next(
            (
                candidate
                for candidate in driver.find_elements(By.TAG_NAME, "button")
                if candidate.text.strip() == text and candidate.is_enabled()
            ),
            None,
        ),
        f"the page never had a button {text!r}",
    )
    return found


def launch(browser: webdriver.Chrome, dagster: DagsterServer, job: str, config: str) -> None:
    """Launch a job from its Launchpad; the browser shows the run's page then."""
    browser.get(f"{dagster.url}/locations/{LOCATION}/jobs/{job}/playground")
    page_shows(browser, "Launch Run", LAUNCH_SECONDS)
    editor: Any = WebDriverWait(browser, LAUNCH_SECONDS).until(
        lambda driver: driver.execute_script("return document.querySelector('.CodeMirror')")
    )
    browser.execute_script("arguments[0].CodeMirror.setValue(arguments[1])", editor, config)
    button(browser, "Launch Run", LAUNCH_SECONDS).click()
    WebDriverWait(browser, LAUNCH_SECONDS).until(lambda driver: "/runs/" in driver.current_url)


def test_a_release_is_launched_from_the_launchpad_and_succeeds(
    browser: webdriver.Chrome, dagster: DagsterServer, workplace: Workplace, tmp_path: Path
) -> None:
    launch(browser, dagster, "data_release", "ops:\n  plan:\n    config:\n      target_version: '11.25'\n")
    page_shows(browser, "Success", RELEASE_SECONDS)
    body = browser.find_element(By.TAG_NAME, "body").text
    for step in list_steps(data_release):
        assert step in body
    browser.save_screenshot(str(tmp_path / "run.png"))
    with MongoClient[Any](workplace.origin.uri("nmdc_reader")) as reader:
        assert reader[DATABASE]["_migration_latest_schema_version"].find_one() == {"schema_version": "11.25.0"}

    run_page = browser.current_url.partition("?")[0]
    browser.get(f"{run_page}?logs=step:plan")
    button(browser, "View full message", LAUNCH_SECONDS).click()
    page_shows(browser, "schema environment", LAUNCH_SECONDS)
    plan = browser.find_element(By.TAG_NAME, "body").text
    assert "migrator_from_11_23_0_to_11_24_0" in plan and "biosample_set" in plan
    browser.save_screenshot(str(tmp_path / "plan.png"))

    browser.get(f"{dagster.url}/assets/nmdc/database?view=events")
    page_shows(browser, "schema version", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "asset.png"))


def test_a_rehearsal_shows_what_a_release_would_do_and_is_promoted(
    browser: webdriver.Chrome, dagster: DagsterServer, workplace: Workplace, tmp_path: Path
) -> None:
    launch(browser, dagster, "rehearsal", "ops:\n  plan:\n    config:\n      target_version: '11.24.0'\n")
    page_shows(browser, "Success", RELEASE_SECONDS)
    page_shows(browser, "11.23.0 -> 11.24.0 was rehearsed: 3 changed, 16 untouched", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "run.png"))
    browser.get(f"{dagster.url}/assets/nmdc/rehearsal?view=events")
    page_shows(browser, "data_release would block writes for", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "asset.png"))
    with MongoClient[Any](workplace.origin.uri("nmdc_reader")) as reader:
        view = reader[DATABASE]["_migration_latest_schema_version"]
        assert view.find_one() == {"schema_version": "11.23.0"}
        # With no config at all: the newest rehearsal.
        launch(browser, dagster, "promote", "")
        page_shows(browser, "Success", RELEASE_SECONDS)
        body = browser.find_element(By.TAG_NAME, "body").text
        for step in list_steps(promote):
            assert step in body
        browser.save_screenshot(str(tmp_path / "promotion.png"))
        assert view.find_one() == {"schema_version": "11.24.0"}
    run_page = browser.current_url.partition("?")[0]
    browser.get(f"{run_page}?logs=step:freeze")
    page_shows(browser, "Writes are allowed again", LAUNCH_SECONDS)
    button(browser, "View full message", LAUNCH_SECONDS).click()
    page_shows(browser, "last round", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "freeze.png"))
    browser.get(f"{run_page}?logs=step:reconcile")
    button(browser, "View full message", LAUNCH_SECONDS).click()
    page_shows(browser, "written by people", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "reconcile.png"))
    browser.get(f"{dagster.url}/assets/nmdc/database?view=events")
    page_shows(browser, "11.24.0", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "database.png"))


def test_the_catalog_shows_lineage_and_checks_and_a_check_is_executed_from_there(
    browser: webdriver.Chrome, dagster: DagsterServer, workplace: Workplace, tmp_path: Path
) -> None:
    assert workplace.release(target_version="11.24.0").success
    page = f"{dagster.url}/assets/nmdc/database"

    browser.get(f"{page}?view=lineage")
    for name in ("schema_release", "archive", "rehearsal"):
        page_shows(browser, name, LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "lineage.png"))

    browser.get(f"{page}?view=events")
    page_shows(browser, "documents changed", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "events.png"))

    browser.get(f"{page}?view=checks")
    for check in ("conforms_to_schema", "references_resolve", "ids_unique", "ledger_agrees", "writes_allowed"):
        page_shows(browser, check, LAUNCH_SECONDS)
    page_shows(browser, "Passed", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "checks.png"))

    with MongoClient[Any](workplace.origin.server.uri) as client:
        study = client[DATABASE].study_set.find_one_and_update({}, {"$set": {"study_category": "no such category"}})
    browser.get(f"{page}?view=checks&checkDetail=conforms_to_schema")
    button(browser, "Execute", LAUNCH_SECONDS).click()
    page_shows(browser, "1 violations in", RELEASE_SECONDS)
    browser.save_screenshot(str(tmp_path / "executed.png"))

    run_id = dagster.launch({}, "audit")
    assert dagster.wait(run_id)[0] == "SUCCESS"
    browser.get(f"{dagster.url}/runs/{run_id}?logs=step:audit_origin")
    page_shows(browser, "none is new since the last audit", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "audit.png"))
    audits = workplace.home.glob("origins/*/audits/*/violations.jsonl")
    assert any(str(study["id"]) in file.read_text() for file in audits)


def test_a_run_that_failed_is_re_executed_from_failure_after_its_cause_is_gone(
    browser: webdriver.Chrome, dagster: DagsterServer, workplace: Workplace, tmp_path: Path
) -> None:
    """Somebody's transaction stays open, so that the origin cannot be frozen; the run page says whose it is."""
    run_config = {"ops": {"plan": {"config": {"target_version": "11.25", "drain_timeout": 2}}}}
    with (
        MongoClient[Any](workplace.origin.uri("nmdc_editor"), appname="a forgotten notebook") as editor,
        editor.start_session() as session,
        session.start_transaction(),
    ):
        editor[DATABASE].jobs.insert_one({"id": "not committed yet"}, session=session)
        run_id = dagster.launch(run_config)
        browser.get(f"{dagster.url}/runs/{run_id}")
        page_shows(browser, "Failure", RELEASE_SECONDS)
        browser.get(f"{dagster.url}/runs/{run_id}?logs=type:STEP_FAILURE")
        button(browser, "View full message", LAUNCH_SECONDS).click()
        page_shows(browser, "a forgotten notebook", LAUNCH_SECONDS)
        browser.save_screenshot(str(tmp_path / "failure.png"))
        message = browser.find_element(By.TAG_NAME, "body").text
        assert "docs/runbook.md, FreezeFailed" in message
        session.commit_transaction()

    browser.get(f"{dagster.url}/runs/{run_id}")
    reexecute_from_failure(browser)
    WebDriverWait(browser, LAUNCH_SECONDS).until(
        lambda driver: "/runs/" in driver.current_url and run_id not in driver.current_url
    )
    page_shows(browser, "Success", RELEASE_SECONDS)
    browser.save_screenshot(str(tmp_path / "re-executed.png"))
    with MongoClient[Any](workplace.origin.uri("nmdc_reader")) as reader:
        assert reader[DATABASE]["_migration_latest_schema_version"].find_one() == {"schema_version": "11.25.0"}
        assert reader[DATABASE].jobs.count_documents({"id": "not committed yet"}) == 1


def reexecute_from_failure(browser: webdriver.Chrome) -> None:
    """By the menu beside the button, as an engineer does."""
    menu = WebDriverWait(browser, LAUNCH_SECONDS).until(
        lambda driver: driver.find_elements(
            By.XPATH, "//button[contains(., 'Re-execute')]/following::button[not(normalize-space())][1]"
        ),
        "the page never had a menu beside Re-execute",
    )
    menu[0].click()
    item = WebDriverWait(browser, LAUNCH_SECONDS).until(
        lambda driver: [
            one for one in driver.find_elements(By.CSS_SELECTOR, "[role=menuitem]") if "From failure" in one.text
        ],
        "the menu never had From failure",
    )
    item[0].click()
