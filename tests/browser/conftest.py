"""A real Chromium in front of the real service."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import Service

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 20_000
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The installed Chromium; the tests download none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"these tests need one of {', '.join(PROGRAMS)}"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, service: Service) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page; it takes the options of Playwright's `new_context`.

    After the test, no page may have requested another site or logged an error.
    """
    contexts, requested, errors = [], [], []

    def open_(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**{"base_url": service.url, "locale": "fr-FR"} | options)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    allowed = (service.url, "data:", f"blob:{service.url}")
    assert [url for url in requested if not url.startswith(allowed)] == []
    # The console also logs a refused form (422) and a service that is away, which tests expect.
    expected = ("422", "502", "net::ERR_FAILED")
    assert [text for text in errors if not any(one in text for one in expected)] == []
