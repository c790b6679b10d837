"""The language switch and the writing direction in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from shared.i18n.languages import LANGUAGES, Language, direction

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
PATHS = ("/", "/fichiers", "/docs/problems", "/ops")
WIDTHS = (360, 768, 1920)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_is_wider_than_its_window(open_page: OpenPage, language: Language) -> None:
    page = open_page("/")
    for path in PATHS:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(f"{path}?lang={language}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            html = page.locator("html")
            expect(html).to_have_attribute("lang", language)
            expect(html).to_have_attribute("dir", direction(language))


def test_the_switch_keeps_the_page_and_what_it_shows(open_page: OpenPage) -> None:
    page = open_page("/?company=Dacia")
    switch = page.locator("nav.languages")
    expect(switch.locator("[aria-current]")).to_have_text("Français")
    switch.get_by_text("العربية").click()
    expect(page).to_have_url(re.compile(r"company=Dacia.*lang=ar"))
    expect(page.locator("[name=company]")).to_have_value("Dacia")
    page.locator("nav.sections a[href^='/fichiers']").click()
    expect(page).to_have_url(re.compile(r"/fichiers\?lang=ar$"))
    page.locator("nav.languages").get_by_text("English").click()
    expect(page.locator("html")).to_have_attribute("dir", "ltr")


def test_the_switch_is_reached_by_keyboard(open_page: OpenPage) -> None:
    page = open_page("/docs/problems")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.hreflang") == "ar":
            break
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "ar")


def test_the_browser_s_language_is_the_page_s(open_page: OpenPage) -> None:
    page = open_page("/docs/problems", locale="ar-MA")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    # The first column is on the right.
    first, last = (page.locator(".codes thead th").nth(number) for number in (0, 2))
    left, right = last.bounding_box(), first.bounding_box()
    assert left
    assert right
    assert left["x"] < right["x"]
