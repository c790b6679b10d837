"""axe-core finds nothing on pages that wait or report an outage, in any language and theme."""

import dataclasses
import io
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, Route, expect

from api.app import create_app
from shared.i18n.languages import LANGUAGES, Language
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.browser.test_accessibility import STOCK, check
from tests.conftest import Servers, Service
from tests.unit.api.pages.arabic_text import assert_arabic

__all__ = ["check"]
pytestmark = pytest.mark.browser

CAR = {"company": "Dacia", "model": "Logan", "year": "2018", "km_driven": "87654"}
SHOWN = "/etat"
NAMES = (*STOCK.replace("\n", ";").split(";"), "stock.csv", "Logan")


class State(NamedTuple):
    """A page as the service answered it."""

    status: int
    html: str
    policy: str


@contextmanager
def suspended_workers(service: Service) -> Iterator[None]:
    """Within the context the interactive workers are suspended, so that an estimate waits."""
    workers = [
        process
        for process in psutil.Process(service.process.pid).children(recursive=True)
        if "interactive" in process.cmdline() and "celery" in " ".join(process.cmdline())
    ]
    assert workers
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def idle(
    service: Service, session_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FlaskClient, Path]:
    """A service with a broker and without workers, and the folder of its files."""
    folder = tmp_path_factory.mktemp("idle")
    settings = dataclasses.replace(
        session_servers.settings, models_path=service.models_path, blobs_path=folder / "blobs",
        audit_path=folder / "audit", predict_wait_s=0.1,
    )  # fmt: skip
    return create_app(settings).test_client(), folder / "blobs"


@pytest.fixture(scope="module")
def states(
    service: Service,
    idle: tuple[FlaskClient, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[Language, dict[str, State]]:
    """The pages of each state, in each language."""
    client, blobs = idle
    home = tmp_path_factory.mktemp("gone")
    gone = create_app(with_server_urls(Settings(home=home, models_path=service.models_path)))
    file = {"file": (io.BytesIO(STOCK.encode()), "stock.csv")}
    car = client.post("/", data=CAR).headers["Location"].partition("#")[0]
    draft = client.post("/fichiers", data=file).headers["Location"].partition("#")[0]
    file = {"file": (io.BytesIO(STOCK.encode()), "stock.csv")}
    batch = (client.post("/batches", data=file).json or {})["id"]
    (manifest,) = blobs.rglob(f"{batch}/manifest.json")
    found: dict[Language, dict[str, State]] = {}
    policy = "Content-Security-Policy"
    for language in LANGUAGES:
        query = {"lang": language}
        pages = {
            name: client.get(path, query_string=query, headers={"Accept": "text/html"})
            for name, path in (("idle", car), ("draft", draft), ("file", f"/fichiers/{batch}"))
        }
        pages["queue"] = gone.test_client().post("/", data=CAR, query_string=query)
        manifest.rename(manifest.with_name("kept"))
        manifest.mkdir()
        pages["store"] = client.get(f"/fichiers/{batch}", query_string=query)
        manifest.rmdir()
        manifest.with_name("kept").rename(manifest)
        found[language] = {
            name: State(page.status_code, page.text, page.headers[policy])
            for name, page in pages.items()
        }
    with suspended_workers(service), service.client() as http:
        busy = http.post("/", data=CAR).headers["Location"].partition("#")[0]
        for language in LANGUAGES:
            page = http.get(busy, params={"lang": language}, headers={"Accept": "text/html"})
            found[language]["busy"] = State(page.status_code, page.text, page.headers[policy])
    return found


EXPECTED = {
    "busy": HTTPStatus.ACCEPTED, "idle": HTTPStatus.ACCEPTED, "draft": HTTPStatus.OK,
    "file": HTTPStatus.OK, "queue": HTTPStatus.SERVICE_UNAVAILABLE,
    "store": HTTPStatus.SERVICE_UNAVAILABLE,
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_that_wait_or_report_an_outage(
    check: Callable[..., Page], states: dict[Language, dict[str, State]], language: Language
) -> None:
    page = check()
    shown = iter(EXPECTED)
    name = ""

    def answer(route: Route) -> None:
        path = route.request.url.partition("?")[0]
        if path.endswith(SHOWN):
            state = states[language][name]
            headers = {"Content-Type": "text/html", "Content-Security-Policy": state.policy}
            route.fulfill(body=state.html, headers=headers)
        elif "/assets/" in path:
            route.continue_()
        # Nothing answers what the page loads again: it stays as it is while it is looked at.

    page.route("**/*", answer)
    for name in shown:
        assert states[language][name].status == EXPECTED[name], name
        check(SHOWN)
        expect(page.locator("h1")).to_have_count(1)


def test_no_other_language_is_on_arabic_pages_that_wait(
    states: dict[Language, dict[str, State]],
) -> None:
    for state in states["ar"].values():
        assert_arabic(state.html, NAMES)
