"""The address of an estimate in a real browser, with the real service."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import NARROW, fill, submit

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
ADDRESS = re.compile(r"/estimations/[0-9a-z]{26}")
WIDTH = "document.documentElement.scrollWidth"


def price(page: Page) -> str:
    """The price that a page shows."""
    return page.locator(".result data").inner_text()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_the_address_shows_the_same_price_elsewhere_and_no_form_is_sent_twice(
    open_page: OpenPage, *, has_scripts: bool
) -> None:
    page = open_page(viewport=NARROW, java_script_enabled=has_scripts)
    fill(page, km_driven="31 000")
    submit(page)
    page.wait_for_url(ADDRESS)
    shown, address = price(page), page.url
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.method))
    page.go_back()
    expect(page.locator("#company")).to_be_visible()
    page.go_forward()
    assert price(page) == shown
    page.reload()
    assert price(page) == shown
    assert "POST" not in sent
    assert price(open_page(address)) == shown


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_estimates_is_wider_than_the_phone(
    open_page: OpenPage, language: str, scheme: str
) -> None:
    page = open_page(f"/?lang={language}", viewport=NARROW, color_scheme=scheme)
    for year in ("2017", "2019"):
        page.goto(f"/?lang={language}")
        fill(page, year=year)
        page.locator("form.main .actions [type=submit]").click()
        page.wait_for_url(ADDRESS)
        assert page.evaluate(WIDTH) == NARROW["width"]
    page.goto(f"/estimations?lang={language}")
    expect(page.locator(".kept li")).to_have_count(2)
    assert page.evaluate(WIDTH) == NARROW["width"]
    for box in page.locator(".kept input").all():
        box.check()
    page.locator("#historique [type=submit]").click()
    expect(page.locator(".compare [role=columnheader]")).to_have_count(2)
    assert page.evaluate(WIDTH) == NARROW["width"]
    assert page.evaluate("document.documentElement.lang") == language
    expect(page.locator(".compare .differs")).not_to_have_count(0)


def test_the_list_of_this_browser_is_deleted_entry_by_entry_and_as_a_whole(
    open_page: OpenPage,
) -> None:
    page = open_page()
    for year in ("2016", "2018", "2020"):
        page.goto("/")
        fill(page, year=year)
        submit(page)
        page.wait_for_url(ADDRESS)
    page.goto("/estimations")
    page.locator(".kept .remove").first.click()
    expect(page.locator(".kept li")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#effacer").click()
    expect(page.locator(".kept li")).to_have_count(0)
    page.reload()
    expect(page.locator(".empty")).to_be_visible()


def test_the_link_is_copied_and_paper_shows_the_code(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    fill(page)
    submit(page)
    page.wait_for_url(ADDRESS)
    page.locator("#copier").click()
    expect(page.locator("#copier")).to_have_text("Copié")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#adresse").input_value()
    assert ADDRESS.search(copied)
    expect(page.locator(".qr")).to_be_hidden()
    page.emulate_media(media="print")
    expect(page.locator(".qr")).to_be_visible()
    expect(page.locator("form.main")).to_be_hidden()
    expect(page.locator(".facts", has_text="référence")).to_be_visible()


def test_a_form_waits_for_a_service_that_is_gone(open_page: OpenPage) -> None:
    page = open_page()
    fill(page, km_driven="77 000")
    page.route("**/*", lambda route: route.abort())
    page.locator("form.main .actions [type=submit]").click()
    expect(page.locator("form.main .gone")).to_contain_text("ne répond pas")
    expect(page.locator("#km_driven")).to_have_value(re.compile("77"))
    page.unroute_all()
    page.wait_for_url(ADDRESS)
