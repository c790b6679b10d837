"""A real Chromium in front of the real service."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """An installed Chromium; none is downloaded."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"install one of {', '.join(PROGRAMS)}: it is what these tests drive"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, service: Service) -> Iterator[Callable[..., Page]]:
    """Opens pages of the service; afterwards, none may have asked another address or complained.

    The function takes the options of Playwright's `new_context`.
    """
    contexts, asked, complaints = [], [], []

    def open_(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=service.url, locale="fr-FR", **options)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    allowed = (service.url, "data:", f"blob:{service.url}")
    assert [url for url in asked if not url.startswith(allowed)] == []
    # A form that is refused (422) is in the console too; that is what the test asked for.
    assert [text for text in complaints if "422" not in text] == []
