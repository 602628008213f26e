"""An engineer releases, rolls back, looks, and recovers from a failure with `make ui` in a real browser.

The tests share one Dagster and its database, and go from one state of it to the next in their order; each brings it where it
begins, so that any of them can run alone.
"""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.jobs import data_release, list_steps, promote
from nmdc_release_ops.pages.shelf import index_of
from nmdc_release_ops_tests.browsing import RELEASE_SECONDS, Browsing
from nmdc_release_ops_tests.chromium import browser_fixture
from nmdc_release_ops_tests.command.running import COMMAND, flat
from nmdc_release_ops_tests.dagster_server import DagsterServer, demo_ui

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent
FIRST_RELEASE = ROOT / "docs" / "first-release.md"
GONE_SECONDS = 20
BEFORE, AFTER = "11.23.0", "11.25.0"
TARGET = "ops:\n  plan:\n    config:\n      target_version: '11.25'\n"

driver = browser_fixture()


class DemoUI:
    """What `make ui` shows, and the terminal beside it.

    Attributes:
        dagster: the Dagster that runs.
        home: the demo's release home.
        variables: those that `make ui` writes down for other terminals.
    """

    def __init__(self, dagster: DagsterServer, home: Path) -> None:
        self.dagster = dagster
        self.home = home
        exports = (home / "environment").read_text().replace("export ", "").splitlines()
        self.variables = dict(line.split("=", 1) for line in (shlex.split(export)[0] for export in exports))

    def client(self, user: str, **options: Any) -> MongoClient[Any]:
        """A connection of one of NMDC's users."""
        password = json.loads((self.home / "origin" / "users.json").read_text())[user]
        address = self.variables["NMDC_ORIGIN_URI"].rpartition("@")[2]
        return MongoClient(f"mongodb://{user}:{password}@{address}", **options)

    def version(self) -> str:
        """The schema version of the database, as the Runtime sees it."""
        with self.client("nmdc_reader") as reader:
            return str(reader[DATABASE]["_migration_latest_schema_version"].find_one()["schema_version"])

    def bring_to(self, version: str) -> None:
        """Release the database, or roll it back, if it is not at this version."""
        if self.version() != version:
            run = self.dagster.launch({}, "data_release" if version == AFTER else "rollback")
            assert self.dagster.wait(run)[0] == "SUCCESS"

    def newest_page(self) -> Path:
        """Of a release, a rehearsal or a promotion."""
        return max(self.home.glob("origins/*/releases/*/release.html"), key=lambda page: page.parent.name)

    def audits(self) -> int:
        """How many audits there were."""
        return len(list(self.home.glob("origins/*/audits/*/validation.json")))

    def enter(self, command: str) -> str:
        """Enter a command of docs/first-release.md in a terminal; return what it prints, in one line."""
        program, *arguments = shlex.split(command)
        assert program == ".venv/bin/nmdc-release"
        done = subprocess.run(
            [COMMAND, *arguments],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return flat(done.stdout)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[DemoUI]:
    """It ends with Ctrl-C, leaves no process behind, and has not alarmed anybody."""
    folder = tmp_path_factory.mktemp("ui")
    home, dagster_home, log = folder / "home", folder / "dagster", folder / "terminal.log"
    for made in (home, dagster_home):
        made.mkdir()
    (home / "schema").symlink_to(schema_cache)
    (dagster_home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    environment = {"NMDC_RELEASE_HOME": str(home), "DAGSTER_HOME": str(dagster_home), "NMDC_ORIGIN_URI": ""}
    with demo_ui(environment, str(log), scale=1_500) as dagster:
        yield DemoUI(dagster, home / "demo")
    # In between are the logs of the runs.
    start, _, rest = log.read_text().partition("Serving dagster-webserver")
    _, interrupted, end = rest.partition("KeyboardInterrupt received")
    assert interrupted
    assert not re.findall(r"Traceback|Warning|WARNING|ERROR", start + end), start + end
    assert not (home / "demo" / "environment").exists(), "it holds a password"
    assert (home / "demo" / "schema").resolve() == schema_cache
    deadline = time.monotonic() + GONE_SECONDS
    while left := processes_of(folder):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.2)


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes of this Dagster, workers, transformers and the origin that run now."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            of_dagster = process.environ().get("DAGSTER_HOME") == str(folder / "dagster")
            if command and (of_dagster or f"{folder}/" in command):
                found.append(f"{process.pid}: {command[:200]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def browser(driver: webdriver.Chrome, ui: DemoUI, tmp_path: Path) -> Browsing:
    paths = {str(ui.home): "/srv/nmdc-release-ops", str(ROOT): "/opt/nmdc-release-ops"}
    return Browsing(driver, ui.dagster, tmp_path, paths)


def test_a_first_release_goes_as_its_page_says(browser: Browsing, ui: DemoUI) -> None:
    """Every command of docs/first-release.md, in its order, and what is done in the browser in between."""
    ui.bring_to(BEFORE)
    commands = iter(re.findall(r"^    (\.venv/bin/nmdc-release .+)$", FIRST_RELEASE.read_text(), flags=re.MULTILINE))
    assert "Nothing has to be done" in ui.enter(next(commands))
    assert f"A release to {AFTER} can be launched" in ui.enter(next(commands))

    browser.fill_launchpad("rehearsal", TARGET)
    browser.take_for_page("launchpad", height=640)
    rehearsal = browser.launch()
    browser.sees("Success", RELEASE_SECONDS)
    browser.sees(f"{BEFORE} -> {AFTER} was rehearsed: 3 changed, 16 untouched")
    browser.open_message(rehearsal, "step:validate", "data_release would block writes for")
    browser.take_for_page("rehearsal")
    browser.open("/assets/nmdc/rehearsal?view=events")
    browser.sees("data_release would block writes for")
    browser.take("rehearsal-asset")

    # With no config at all: the newest rehearsal.
    browser.fill_launchpad("promote", "")
    promotion = browser.launch()
    browser.sees("Success", RELEASE_SECONDS)
    assert [step for step in list_steps(promote) if step not in browser.text] == []
    browser.open_message(promotion, "step:freeze", "last round")
    browser.take("freeze")
    browser.open_message(promotion, "step:reconcile", "written by people")
    browser.take("reconcile")
    browser.open(f"{promotion}?logs=step:freeze")
    browser.hide_events()
    browser.sees("Writes are allowed again")
    browser.take_for_page("release", height=840)

    assert f"{AFTER}" in ui.enter(next(commands)) and ui.version() == AFTER
    browser.driver.get(ui.newest_page().as_uri())
    browser.sees(f"Released: nmdc went from schema {BEFORE} to {AFTER}.")
    browser.take_for_page("page")
    browser.driver.get(index_of(ui.home).as_uri())
    browser.take("pages")

    browser.fill_launchpad("rollback", "")
    browser.launch()
    browser.sees("Success", RELEASE_SECONDS)
    browser.take("rollback")
    assert BEFORE in ui.enter(next(commands)) and ui.version() == BEFORE
    assert next(commands, None) is None, "a command of the page is not tried"


def test_a_run_that_failed_is_re_executed_from_failure_after_its_cause_is_gone(browser: Browsing, ui: DemoUI) -> None:
    """Somebody's transaction stays open, so that the origin cannot be frozen; the run page says whose it is."""
    ui.bring_to(BEFORE)
    with (
        ui.client("nmdc_editor", appname="a forgotten notebook") as editor,
        editor.start_session() as session,
        session.start_transaction(),
    ):
        editor[DATABASE].jobs.insert_one({"id": "not committed yet"}, session=session)
        browser.fill_launchpad("data_release", f"{TARGET}      drain_timeout: 2\n")
        failed = browser.launch()
        browser.sees("Failure", RELEASE_SECONDS)
        message = browser.open_message(failed, "type:STEP_FAILURE", "a forgotten notebook")
        assert "docs/runbook.md, FreezeFailed" in message
        browser.take_for_page("failure", height=520)
        session.commit_transaction()
    browser.driver.get(ui.newest_page().as_uri())
    browser.sees("failed in freeze. The origin's data are as they were.")
    browser.take("failed-page")

    browser.open(failed)
    browser.open_reexecution_menu()
    browser.take_for_page("re-execute", height=560)
    browser.menu_item("From failure").click()
    released = browser.follow_to_run(before=failed)
    browser.sees("Success", RELEASE_SECONDS)
    assert [step for step in list_steps(data_release) if step not in browser.text] == []
    browser.take("re-executed")
    assert ui.version() == AFTER
    with ui.client("nmdc_reader") as reader:
        assert reader[DATABASE].jobs.count_documents({"id": "not committed yet"}) == 1

    plan = browser.open_message(failed, "step:plan", "schema environment")
    assert "migrator_from_11_23_0_to_11_24_0" in plan and "biosample_set" in plan
    browser.take("plan")
    browser.open(f"{released}?logs=step:unfreeze")
    browser.link("[Show Markdown]").click()
    browser.sees("Launch the job rollback")
    browser.take("unfreeze")


def test_the_catalog_shows_lineage_plots_and_checks_and_an_audit_names_a_damaged_document(
    browser: Browsing, ui: DemoUI
) -> None:
    ui.bring_to(AFTER)
    browser.open("/assets/nmdc/database?view=lineage")
    for name in ("schema_release", "archive", "rehearsal"):
        browser.sees(name)
    browser.take("lineage")
    browser.open("/assets/nmdc/database?view=overview")
    browser.sees("documents changed")
    browser.button("Plots").click()
    browser.sees("writes blocked (s)")
    browser.take("plots")
    browser.open("/assets/nmdc/database?view=checks")
    for check in ("conforms_to_schema", "references_resolve", "ids_unique", "ledger_agrees", "writes_allowed"):
        browser.sees(check)
    browser.sees("Passed")
    browser.take("checks")

    with ui.client("nmdc_editor") as editor:
        damage = {"$set": {"study_category": "no such category"}}
        study = str(editor[DATABASE].study_set.find_one_and_update({}, damage)["id"])
    browser.fill_launchpad("audit", "")
    audit = browser.launch()
    browser.sees("Success", RELEASE_SECONDS)
    browser.open_message(audit, "type:STEP_OUTPUT", study)
    browser.take("audit")

    browser.open("/assets/nmdc/database?view=checks&checkDetail=conforms_to_schema")
    browser.sees("Failed")
    audits = ui.audits()
    browser.button("Execute").click()
    WebDriverWait(browser.driver, RELEASE_SECONDS).until(lambda _: ui.audits() > audits, "no second audit")
    browser.sees("1 violation in")
    browser.take("executed")
