"""The pictures of the documentation show pages as they are; `make screenshots` renews them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_form import CAR

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1120, "height": 860}


@pytest.mark.parametrize(("language", "size"), [("fr", DESKTOP), ("ar", PHONE)])
def test_the_result_has_price_interval_and_verdict(
    open_page: Callable[..., Page], language: str, size: dict[str, int]
) -> None:
    page = open_page(f"/?lang={language}&{CAR}&asking_price_mad=95000", viewport=size)
    page.locator("form button[type=submit]").first.click()
    page.wait_for_url("**/estimations/**")
    expect(page.locator("#resultat")).to_contain_text("95")
    expect(page.locator("#resultat svg").first).to_be_visible()
    if folder := os.environ.get("CARPRICE_SCREENSHOTS"):
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / f"result-{language}.png")
