"""What an engineer does in Dagster's UI with a browser, and pictures of it."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from nmdc_release_ops_tests.dagster_server import LOCATION, DagsterServer

LAUNCH_SECONDS = 60
RELEASE_SECONDS = 150
PICTURES = "PICTURES"
"""The variable with the folder into which pictures for the pages are copied; `make test-browser PICTURES=docs/pictures`."""
MENU_ITEM = "[role=menuitem]"
_REPLACE = """
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(arguments[0], arguments[1]);
"""


class Browsing:
    """A browser on a Dagster.

    Attributes:
        driver: the browser.
        dagster: whose UI it shows.
        folder: where it puts pictures.
        paths: of this machine, and what pictures for pages show in their place.
    """

    def __init__(
        self,
        driver: webdriver.Chrome,
        dagster: DagsterServer,
        folder: Path,
        paths: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.driver = driver
        self.dagster = dagster
        self.folder = folder
        self.paths = paths

    @property
    def text(self) -> str:
        """Of the whole page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def open(self, path: str) -> None:
        self.driver.get(f"{self.dagster.url}{path}")

    def sees(self, text: str, seconds: float = LAUNCH_SECONDS) -> None:
        """Wait until the page shows a text."""
        self._until(lambda: text in self.text, f"the page never said {text!r}", seconds)

    def button(self, text: str) -> WebElement:
        """The button with this text, before any number in parentheses, as soon as it can be clicked."""
        found: WebElement = self._until(
            lambda: next(
                (
                    candidate
                    for candidate in self.driver.find_elements(By.TAG_NAME, "button")
                    if candidate.text.partition(" (")[0].strip() == text and candidate.is_enabled()
                ),
                None,
            ),
            f"the page never had a button {text!r}",
        )
        return found

    def link(self, text: str) -> WebElement:
        """What has exactly this text, as soon as it is there."""
        found: WebElement = self._until(
            lambda: next(iter(self.driver.find_elements(By.XPATH, f"//*[text()='{text}']")), None),
            f"the page never had {text!r}",
        )
        return found

    def menu_item(self, text: str) -> WebElement:
        """The item of an open menu that begins with this text."""
        found: WebElement = self._until(
            lambda: next(
                (one for one in self.driver.find_elements(By.CSS_SELECTOR, MENU_ITEM) if one.text.startswith(text)),
                None,
            ),
            f"the menu never had {text!r}",
        )
        return found

    def fill_launchpad(self, job: str, config: str) -> None:
        """Open a job's Launchpad, and put this config into it."""
        self.open(f"/locations/{LOCATION}/jobs/{job}/playground")
        self.sees("Launch Run")
        editor = self._until(
            lambda: self.driver.execute_script("return document.querySelector('.CodeMirror')"), "there was no editor"
        )
        self.driver.execute_script("arguments[0].CodeMirror.setValue(arguments[1])", editor, config)
        self.button("Launch Run")

    def launch(self) -> str:
        """Press the Launchpad's button; return the path of the run's page, which the browser shows then."""
        self.button("Launch Run").click()
        return self.follow_to_run()

    def follow_to_run(self, before: str = "") -> str:
        """Wait for the page of a run; return its path.

        Args:
            before: the path of the page that was left.
        """
        self._until(
            lambda: "/runs/" in self.driver.current_url and not (before and before in self.driver.current_url),
            "the run's page never came",
        )
        return str(self.driver.current_url).partition("?")[0].removeprefix(self.dagster.url)

    def open_message(self, run: str, filters: str, expected: str) -> str:
        """Filter the log of a run, open the first message in full, and return what the page shows then.

        Args:
            filters: as they are typed into the log's filter.
            expected: a text that the message has.
        """
        self.open(f"{run}?logs={filters}")
        self.button("View full message").click()
        self.sees(expected)
        return self.text

    def hide_events(self) -> None:
        """Leave only our own lines in the log of a run, as docs/releasing.md says."""
        self.button("Levels").click()
        self.menu_item("event").click()
        self.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        self._until(lambda: not self.driver.find_elements(By.CSS_SELECTOR, MENU_ITEM), "the menu stays open")

    def open_reexecution_menu(self) -> None:
        beside = "//button[contains(., 'Re-execute')]/following::button[not(normalize-space())][1]"
        self._until(
            lambda: next(iter(self.driver.find_elements(By.XPATH, beside)), None),
            "the page never had a menu beside Re-execute",
        ).click()
        self.menu_item("From failure")

    def take(self, name: str) -> None:
        """Take a picture for whoever runs the tests."""
        self.driver.save_screenshot(str(self.folder / f"{name}.png"))

    def take_for_page(self, name: str, height: int = 760) -> None:
        """Take a picture for a page of docs/, which is kept if `PICTURES` says where.

        Args:
            height: of the picture.
        """
        metrics = {"width": 1280, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        # The page puts itself in order.
        time.sleep(1)
        for path, instead in self.paths.items():
            self.driver.execute_script(_REPLACE, path, instead)
        self.take(name)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        if folder := os.environ.get(PICTURES):
            Path(folder).mkdir(exist_ok=True)
            shutil.copy(self.folder / f"{name}.png", folder)

    def _until(self, look: Callable[[], Any], otherwise: str, seconds: float = LAUNCH_SECONDS) -> Any:
        # The page replaces its elements while it loads.
        wait = WebDriverWait(self.driver, seconds, ignored_exceptions=[StaleElementReferenceException])
        return wait.until(lambda _: look(), otherwise)
