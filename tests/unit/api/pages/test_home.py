"""Content negotiation and security headers of `/`."""

import pytest

from api.app import create_app
from api.middleware.security_headers import DENY_ALL_CSP
from api.pages.car.views import JSON_GREETING
from shared.redis.servers import with_server_urls
from shared.settings import Settings

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def client(tmp_path):
    """A service without servers and without a model."""
    return create_app(
        with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    ).test_client()


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/html;q=0.5, application/json;q=0.4", True),
        ("*/*", False),
        (None, False),
        ("application/json", False),
        ("application/json, text/html;q=0.9", False),
        ("text/*;q=0.3, application/json", False),
        ("image/png", False),
    ],
)
def test_people_get_a_page_and_programs_json(client, accept, html):
    answer = client.get("/", headers={"Accept": accept} if accept else {})
    assert answer.status_code == 200
    assert "Accept" in answer.vary
    assert (answer.mimetype == "text/html") is html
    assert html or answer.json == JSON_GREETING


def test_an_address_that_nothing_answers_is_a_page_for_people_and_a_problem_for_programs(client):
    page = client.get("/nothing-here", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "Page introuvable" in page.get_data(as_text=True)
    problem = client.get("/nothing-here")
    assert (problem.status_code, problem.mimetype) == (404, "application/problem+json")
    assert "Accept" in page.vary
    assert "Accept" in problem.vary


@pytest.mark.parametrize(
    "call",
    [("GET", "/health"), ("GET", "/nothing-here"), ("POST", "/predict"), ("DELETE", "/health")],
)
def test_answers_that_are_no_page_allow_a_browser_nothing(client, call):
    method, address = call
    headers = client.open(address, method=method).headers
    assert headers["Content-Security-Policy"] == DENY_ALL_CSP
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert len(headers.getlist("Content-Security-Policy")) == 1
