"""The operations dashboard in a real browser: live, without a script, and its form to sign in."""

from collections.abc import Callable

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from shared.i18n.languages import LANGUAGES, Language
from tests.browser.test_accessibility import EVERYTHING, RUN, WIDTHS
from tests.conftest import REFERENCE_CAR, Service

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


def test_the_parts_are_kept_up_to_date(open_page: OpenPage, service: Service) -> None:
    page = open_page("/ops?lang=en")
    expect(page.locator("#live")).to_contain_text("Kept up to date")
    with service.client() as http:
        for year in range(2000, 2020):
            http.post("/predict", json=REFERENCE_CAR | {"year": year}).raise_for_status()
    busiest = page.locator("[data-part=traffic] tbody tr").first
    expect(busiest).to_contain_text("ms", timeout=60_000)
    median = page.locator("dt", has_text="One car, median").locator("+ dd")
    expect(median).to_contain_text("ms", timeout=60_000)
    plots = page.locator("[data-part=traffic] svg.plot")
    expect(plots).not_to_have_count(0, timeout=60_000)  # two measurements make a line
    expect(page.locator("[data-part=workers] li")).not_to_have_count(0)


def test_it_works_without_a_script(open_page: OpenPage) -> None:
    page = open_page("/ops?lang=en", java_script_enabled=False)
    expect(page.locator("#live")).to_have_text("")
    expect(page.locator("[data-part=queues] tbody tr")).to_have_count(3)
    page.get_by_label("State").select_option("FAILED")
    page.get_by_label("Caller", exact=True).fill("nobody")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#work")).to_contain_text("Nothing matches.")
    expect(page.get_by_label("Caller", exact=True)).to_have_value("nobody")
    page.get_by_role("link", name="Load again").click()
    expect(page).to_have_url(f"{page.url.partition('?')[0]}?lang=en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_phone_shows_all_of_a_row(
    open_page: OpenPage, service: Service, language: Language
) -> None:
    with service.client() as http:
        http.post("/jobs", json=REFERENCE_CAR).raise_for_status()
    page = open_page(f"/ops?lang={language}", viewport={"width": 360, "height": 800})
    for part in ("#work", "#models"):
        expect(page.locator(f"{part} tbody tr")).not_to_have_count(0)
    for row in page.locator("#work tbody tr, #models tbody tr").all():
        for cell in row.locator("th, td:not(:empty)").all():
            box = cell.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 360


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_to_sign_in_is_accessible(
    browser: Browser, service: Service, language: Language
) -> None:
    proxied = {"X-Forwarded-For": "192.0.2.1"}
    context = browser.new_context(base_url=service.url, extra_http_headers=proxied)
    page = context.new_page()
    page.goto(f"/ops?lang={language}")
    expect(page.locator("#key")).to_be_visible()
    page.locator("#key").fill("cp_wrong")
    page.locator("form.key button").click()
    expect(page.locator("[role=alert]")).to_be_visible()
    page.evaluate(AXE_SCRIPT)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(RUN, EVERYTHING) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
