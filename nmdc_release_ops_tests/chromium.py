"""A real browser for tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

# Without these, a browser in a closed network spends its time on services of its maker.
_QUIET = [
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-gpu", "--disable-dev-shm-usage"),
]


def browser_fixture() -> Any:
    """The fixture `browser` of a test module."""

    @pytest.fixture
    def of_test(tmp_path: Path) -> Iterator[webdriver.Chrome]:
        """Headless Chromium. Its absence is a failure, not a reason to skip: this target is for machines that have it."""
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if not chromium or not driver:
            pytest.fail("chromium and chromedriver are not on PATH (Debian: apt-get install chromium chromium-driver)")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--no-sandbox", "--window-size=1400,1000", *_QUIET):
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={tmp_path / 'browser'}")
        found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            yield found
        finally:
            # What a failed test saw last.
            found.save_screenshot(str(tmp_path / "last.png"))
            found.quit()

    return of_test
