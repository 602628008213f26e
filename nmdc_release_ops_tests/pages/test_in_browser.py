"""The pages in a real browser: nothing sticks out and no line is a letter wide, on a desk and on a phone, light and dark."""

from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from nmdc_release_ops.mongo.difference.page import write_difference
from nmdc_release_ops.pages.shelf import index_of, write_pages
from nmdc_release_ops_tests.chromium import browser_fixture
from nmdc_release_ops_tests.mongo.difference.differences import hostile as hostile_difference
from nmdc_release_ops_tests.pages.summaries import failed, folder_of, hostile, rehearsed, released, rolled_back

pytestmark = pytest.mark.browser

browser = browser_fixture()

WIDTHS = (390, 1200)
LIGHT, DARK = "light", "dark"
# Of the colours of a text and of what is behind it, by the WCAG; 4.5 is its limit for text.
CONTRAST = """
const light = (rgb) => { const part = rgb.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 });
  return .2126 * part[0] + .7152 * part[1] + .0722 * part[2] };
const text = light(getComputedStyle(document.querySelector('.quiet')).color.match(/[\\d.]+/g).slice(0, 3).map(Number));
const back = arguments[0] === 'dark' ? light([18, 18, 18]) : 1;
return (Math.max(text, back) + .05) / (Math.min(text, back) + .05);
"""
NARROW = """
return [...document.querySelectorAll('td, dd, p, pre, li, summary')].filter(one => one.innerText.trim().length > 3
  && one.offsetParent && one.clientWidth > 0 && one.clientWidth < 30).length;
"""


def see(browser: webdriver.Chrome, page: Path, width: int, scheme: str, picture: Path) -> Any:
    """Open a page, take a picture of it, and return how wide it is."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 1_200, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    browser.save_screenshot(str(picture))
    return browser.execute_script("return document.documentElement.scrollWidth")


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_no_page_sticks_out_or_has_columns_of_single_letters(
    browser: webdriver.Chrome, tmp_path: Path, scheme: str
) -> None:
    home = tmp_path / "home"
    pages = []
    for number, summary in enumerate((released(), failed(), rehearsed(), hostile(), rolled_back())):
        folder = folder_of(home, f"release-{number}")
        (folder / "archive").mkdir()
        write_pages(home, {folder: summary.model_copy(update={"release_id": folder.name})})
        pages.append(folder / f"{summary.file_name}.html")
    pages += [index_of(home), write_difference(tmp_path, hostile_difference(), "What changed")]
    for number, page in enumerate(pages):
        for width in WIDTHS:
            seen = see(browser, page, width, scheme, tmp_path / f"{number}-{width}-{scheme}.png")
            assert seen <= width, page
            assert browser.execute_script(NARROW) == 0, page
            assert browser.execute_script(CONTRAST, scheme) > 5, page
