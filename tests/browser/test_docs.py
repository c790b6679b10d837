"""The API documentation pages in a real browser, without requests to other sites."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


def test_swagger_ui_shows_the_operations_and_calls_one(open_page: OpenPage) -> None:
    page = open_page("/docs")
    predict = page.locator(".opblock", has=page.locator('[data-path="/predict"]'))
    expect(predict).to_be_visible()
    assert page.locator(".opblock").count() >= 10
    page.locator(".opblock", has=page.locator('[data-path="/livez"]')).click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text("alive")


def test_redoc_shows_and_searches_the_operations(open_page: OpenPage) -> None:
    page = open_page("/redoc")
    expect(page.get_by_role("heading", name="Value one car").first).to_be_visible()
    page.get_by_role("textbox").first.fill("activate")
    expect(page.locator('[data-role="search:results"]')).to_contain_text(
        re.compile("activate", re.IGNORECASE)
    )


def test_the_type_of_a_problem_links_to_its_explanation(open_page: OpenPage) -> None:
    page = open_page("/docs/problems#job-expired")
    expect(page.locator("#job-expired")).to_contain_text("410")
