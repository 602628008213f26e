"""An engineer launches a release from Dagster's Launchpad in a real browser, and sees it succeed."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops_tests.conftest import Workplace, make_workplace
from nmdc_release_ops_tests.dagster_server import LOCATION, DagsterServer, dagster_server

pytestmark = pytest.mark.browser

LAUNCH_SECONDS = 60
RELEASE_SECONDS = 240
# Without these, a browser in a closed network spends its time on services of its maker.
_QUIET = [
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-gpu", "--disable-dev-shm-usage"),
]


@pytest.fixture
def workplace(tmp_path: Path, schema_cache: Path) -> Iterator[Workplace]:
    yield from make_workplace(tmp_path / "workplace", schema_cache, scale=1_000)


@pytest.fixture
def dagster(workplace: Workplace, tmp_path: Path) -> Iterator[DagsterServer]:
    with dagster_server(workplace.environment(), str(tmp_path / "dagster.log")) as server:
        yield server


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Headless Chromium. Its absence is a failure, not a reason to skip: this target is for machines that have it."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.fail("chromium and chromedriver are not on PATH (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1600,1200", *_QUIET):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path / 'browser'}")
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.save_screenshot(str(tmp_path / "last.png"))
        found.quit()


def page_shows(browser: webdriver.Chrome, text: str, seconds: float) -> None:
    """Wait until the page shows a text."""
    WebDriverWait(browser, seconds).until(
        lambda driver: text in driver.find_element(By.TAG_NAME, "body").text, f"the page never said {text!r}"
    )


def test_a_release_is_launched_from_the_launchpad_and_succeeds(
    browser: webdriver.Chrome, dagster: DagsterServer, workplace: Workplace, tmp_path: Path
) -> None:
    browser.get(f"{dagster.url}/locations/{LOCATION}/jobs/data_release/playground")
    page_shows(browser, "Launch Run", LAUNCH_SECONDS)
    editor: Any = WebDriverWait(browser, LAUNCH_SECONDS).until(
        lambda driver: driver.execute_script("return document.querySelector('.CodeMirror')")
    )
    browser.execute_script(
        "arguments[0].CodeMirror.setValue(arguments[1])",
        editor,
        "ops:\n  plan:\n    config:\n      target_version: '11.25'\n",
    )
    button = WebDriverWait(browser, LAUNCH_SECONDS).until(
        lambda driver: next(
            (
                found
                for found in driver.find_elements(By.TAG_NAME, "button")
                if found.text.strip() == "Launch Run" and found.is_enabled()
            ),
            None,
        )
    )
    button.click()
    WebDriverWait(browser, LAUNCH_SECONDS).until(lambda driver: "/runs/" in driver.current_url)
    page_shows(browser, "Success", RELEASE_SECONDS)
    body = browser.find_element(By.TAG_NAME, "body").text
    for step in ("plan", "freeze", "dump", "migrate", "validate", "restore", "unfreeze"):
        assert step in body
    browser.save_screenshot(str(tmp_path / "run.png"))
    with MongoClient[Any](workplace.origin.uri("nmdc_reader")) as reader:
        assert reader[DATABASE]["_migration_latest_schema_version"].find_one() == {"schema_version": "11.25.0"}
    browser.get(f"{dagster.url}/assets/nmdc/database?view=events")
    page_shows(browser, "schema version", LAUNCH_SECONDS)
    browser.save_screenshot(str(tmp_path / "asset.png"))
