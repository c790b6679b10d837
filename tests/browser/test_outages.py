"""Pages whose service is away: they say so, keep what was entered, and go on by themselves."""

import dataclasses
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from api.app import create_app
from tests.browser.test_files import FRENCH
from tests.conftest import Servers, Service

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
SLOW_MS = 20_000
"""Pages ask again after some seconds."""
AWAY = re.compile("ne répond pas")
ADDRESS = re.compile(r"/fichiers/[0-9a-z]{26}($|\?)")


@pytest.fixture(scope="module")
def batch(service: Service) -> str:
    """The address of the page of an ended file with a rejected row."""
    with httpx.Client(base_url=service.url, timeout=60) as http:
        sent = http.post("/batches", files={"file": ("parc.csv", FRENCH.encode())})
        found = http.get(f"/batches/{sent.raise_for_status().json()['id']}", params={"wait": 30})
        return f"/fichiers/{found.raise_for_status().json()['id']}"


@pytest.fixture(scope="module")
def waiting(
    service: Service, session_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Pages of a service without workers: of a file and a draft that wait, and without a store."""
    folder = tmp_path_factory.mktemp("waiting")
    settings = dataclasses.replace(
        session_servers.settings, models_path=service.models_path, blobs_path=folder
    )
    client = create_app(settings).test_client()
    pages = {}
    for name, query in (("draft", ""), ("file", "?estimer=1")):
        data = {"file": (io.BytesIO(FRENCH.encode()), "parc.csv")}
        address = client.post(f"/fichiers{query}", data=data).headers["Location"]
        pages[name] = client.get(address.partition("#")[0]).text
    (manifest,) = folder.rglob(f"{address.rpartition('/')[2]}/manifest.json")
    manifest.unlink()
    manifest.mkdir()
    pages["store"] = client.get(address).text
    return pages


@contextmanager
def away(page: Page, answer: Callable[[Route], None]) -> Iterator[None]:
    """Inside, the service is away."""
    page.route("**/*", answer)
    yield
    page.unroute_all()


def drop(route: Route) -> None:
    """No server."""
    route.abort()


def proxy(route: Route) -> None:
    """A proxy without a service behind it."""
    route.fulfill(status=502, content_type="text/html", body="<h1>Bad Gateway</h1>")


@pytest.mark.parametrize("answer", [drop, proxy])
def test_an_upload_waits_and_is_sent_again(
    open_page: OpenPage, tmp_path: Path, answer: Callable[[Route], None]
) -> None:
    page = open_page("/fichiers")
    file = tmp_path / "mon parc.csv"
    file.write_text(FRENCH, encoding="utf-8")
    page.set_input_files("#file", file)
    with away(page, answer):
        page.get_by_role("button", name="L'estimer tout de suite").click()
        expect(page.locator("#envoi-absence")).to_have_text(AWAY, timeout=SLOW_MS)
        assert page.evaluate("document.getElementById('file').files[0].name") == file.name
    page.wait_for_url(ADDRESS)
    expect(page.get_by_role("heading", name=file.name)).to_be_visible()


def test_choices_of_a_draft_wait_and_are_sent(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/fichiers")
    file = tmp_path / "parc.csv"
    file.write_text(FRENCH, encoding="utf-8")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Ouvrir le fichier").click()
    page.select_option("#column-km_driven", index=0)
    with away(page, drop):
        page.get_by_role("button", name="Estimer le fichier").first.click()
        expect(page.locator("#choix .gone")).to_have_text(AWAY, timeout=SLOW_MS)
        expect(page.locator("#column-km_driven")).to_have_value("-")
    page.wait_for_url(ADDRESS)


def test_corrected_cells_wait_and_are_sent(open_page: OpenPage, batch: str) -> None:
    page = open_page(f"{batch}/lignes?refusees=1")
    cell = page.locator(".field.wrong input[type=text]")
    cell.fill("2017")
    with away(page, drop):
        page.locator("form.cells [type=submit]").click()
        expect(page.locator("form.cells .gone")).to_have_text(AWAY, timeout=SLOW_MS)
        expect(cell).to_have_value("2017")
    page.wait_for_url(re.compile(f"{batch}(\\?|$)"))


def is_asset(route: Route) -> bool:
    return "/assets/" in route.request.url


@pytest.mark.parametrize("name", ["file", "draft", "store"])
def test_a_page_that_waits_says_when_nobody_answers(
    open_page: OpenPage, waiting: dict[str, str], name: str
) -> None:
    is_away = True

    def answer(route: Route) -> None:
        if route.request.is_navigation_request():
            route.fulfill(content_type="text/html; charset=utf-8", body=waiting[name])
        elif is_asset(route) and (route.request.method == "GET" or not is_away):
            route.continue_()
        else:
            route.abort()

    page = open_page("/estimations")
    page.route("**/*", answer)
    page.goto("/fichiers/waiting")
    said = page.locator("main .gone").filter(has_text=AWAY)
    expect(said).to_be_visible(timeout=SLOW_MS)
    is_away = False
    expect(said).to_have_count(0, timeout=SLOW_MS)
