"""Readers who ask for the same drawing at once, and drawings that take too long."""

import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from api.pages.estimates import documents
from tests.unit.api.pages.estimates.conftest import SECOND_CAR, ask

READERS = 6


@pytest.fixture
def client_of(browser):
    """Readers of one process of the service, each with a client of its own."""
    return browser.application.test_client


def test_readers_at_once_share_one_drawing(browser, client_of, cached, monkeypatch):
    cached()
    path = ask(browser)
    all_ask, looks, drawings = threading.Barrier(READERS), itertools.count(), []
    look = documents._stored

    def look_together(*args: object) -> bytes | None:
        found = look(*args)
        if next(looks) < READERS:
            all_ask.wait(timeout=20)
        return found

    def draw(content: dict[str, object]) -> bytes:
        drawings.append(content)
        return b"%PDF of one drawing"

    monkeypatch.setattr(documents, "_stored", look_together)
    monkeypatch.setattr(documents, "_draw", draw)
    with ThreadPoolExecutor(READERS) as readers:
        answers = [readers.submit(client_of().get, f"{path}.pdf") for _ in range(READERS)]
    assert {each.result().data for each in answers} == {b"%PDF of one drawing"}
    assert len(drawings) == 1


def test_a_reader_who_finds_no_place_is_told_so(browser, cached, monkeypatch):
    cached()
    path = ask(browser)
    monkeypatch.setattr(documents, "_being_drawn", {("other", "a"), ("other", "b")})
    monkeypatch.setattr(documents, "WAIT_S", 0.01)
    assert browser.get(f"{path}.pdf").status_code == 503


def test_a_place_is_free_again_after_a_failure(browser, cached, monkeypatch):
    cached()
    cached(SECOND_CAR)
    paths = [ask(browser), ask(browser, SECOND_CAR)]
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "false")
        for path in paths:
            assert browser.get(f"{path}.pdf").status_code == 500
    assert documents._being_drawn == set()
    assert browser.get(f"{paths[0]}.pdf").status_code == 200


def test_a_drawing_that_takes_too_long_is_logged_and_an_outage(browser, cached, monkeypatch):
    cached()
    path = ask(browser)
    monkeypatch.setattr(documents, "TIMEOUT_S", 0.001)
    with capture_logs() as logs:
        answer = browser.get(f"{path}.pdf")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert [each["log_level"] for each in logs if each["event"] == "drawing_failed"] == ["error"]
