"""axe-core and Chromium's accessibility tree are right on any page.

Three languages, light and dark, phone and desktop.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from shared.i18n.languages import LANGUAGES, Language
from tests.browser.accessibility_tree import tree_problems
from tests.browser.test_page import LOW_CONTRAST, fill
from tests.conftest import Service, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("language", LANGUAGES)]

OpenPage = Callable[..., Page]
WIDTHS = (360, 1280)
EVERYTHING = {"rules": {"target-size": {"enabled": True}}}
"""All rules that axe-core applies by itself, and the size of what is pressed."""
COLORS = {"runOnly": ["cat.color"]}
"""What a theme can change."""
RUN = """
async (options) => {
  const { violations } = await axe.run({ resultTypes: ["violations"], ...options });
  return violations.map((rule) =>
    `${rule.id}: ${rule.nodes.map((node) => node.html.slice(0, 200)).join(" ")}`);
}
"""
UNFOLD = "for (const one of document.querySelectorAll('details')) one.open = true"
CARS = (
    {"company": "Dacia", "model": "Logan", "year": "2018", "km_driven": "120000"},
    {"company": "Dacia", "model": "Logn", "year": "2018", "asking_price_mad": "900000"},
    {"company": "Zzyzx", "model": "Q", "year": "2018"},
)
"""A usual car; a misspelt one with a verdict; an unknown one with warnings."""
STOCK = (
    "Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Prix\n"
    "Dacia;Logan;2018;Diesel;Manuelle;120000;70000\n"
    "Renault;Clio;avant-hier;Diesel;Manuelle;80000;60000\n"
    "Peugeot;208;2016;Diesel;Manuelle;90000;900000\n"
)
STRANGE = "Firme;Gamme zz;Circule\nOpel;Corsa;2015\n"
ENTERED = re.findall(r"[^\W\d]{2,}", f"{STOCK} {STRANGE} stock.csv Markdown Logn Zzyzx")
"""Words that names may hold on a page in any language."""


@pytest.fixture(scope="module")
def kept(service: Service) -> dict[str, list[str]]:
    """The addresses of estimates, of a draft and of a valued file."""
    with service.client() as http:
        estimates = [http.post("/", data=car).headers["Location"] for car in CARS]
        file = {"file": ("stock.csv", STOCK.encode())}
        draft = http.post("/fichiers", files=file).headers["Location"]
        wait_until(lambda: 'id="apercu"' in http.get(draft).text, what="the preview")
        batch = http.post("/batches", files=file).raise_for_status().json()["id"]
        http.get(f"/batches/{batch}", params={"wait": 20}).raise_for_status()
        version = http.get("/models").raise_for_status().json()["models"][0]["version"]
    table = f"/fichiers/{batch}"
    return {
        "estimates": [re.sub(r"[?#].*", "", address) for address in estimates],
        "files": ["/fichiers", re.sub(r"[?#].*", "", draft), table, f"{table}/lignes?ligne=2"],
        "others": ["/docs/problems", f"/models/{version}/card", "/ops"],
    }


@pytest.fixture
def check(open_page: OpenPage, language: Language) -> Iterator[Callable[..., Page]]:
    """Return a function that checks a page as it is, or the page of an address.

    After the test, nothing may have been found on any of them.
    """
    page, found = open_page(f"/?lang={language}", reduced_motion="reduce"), []

    def check_(path: str = "") -> Page:
        if path:
            page.goto(f"{path}{'&' if '?' in path else '?'}lang={language}")
        expect(page.locator("html")).to_have_attribute("lang", language)
        page.evaluate(UNFOLD)
        found.extend(f"{page.url} {one}" for one in tree_problems(page, language, ENTERED))
        page.evaluate(AXE_SCRIPT)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            for scheme, rules in (("light", EVERYTHING), ("dark", COLORS)):
                page.emulate_media(color_scheme=scheme)
                where = f"{page.url} {width} px {scheme}"
                found.extend(f"{where} {one}" for one in page.evaluate(RUN, rules))
                # axe-core does not look at the contrast of Arabic text.
                found.extend(f"{where} {one}" for one in page.evaluate(LOW_CONTRAST))
        return page

    yield check_
    assert found == []


def test_the_pages_of_one_car(check: Callable[..., Page], kept: dict[str, list[str]]) -> None:
    page = check()
    fill(page, year="1890")
    page.locator("form.main .actions [type=submit]").click()
    expect(page.locator("#year-error")).to_be_visible()
    check()
    for path in kept["estimates"]:
        check(path)
    check("/estimations")
    expect(page.locator(".kept li")).to_have_count(len(CARS))
    check(f"/comparer?id={kept['estimates'][0][-26:]}&id={kept['estimates'][1][-26:]}&id=x")
    expect(page.locator(".compare")).to_be_visible()


def test_the_pages_of_a_file(check: Callable[..., Page], kept: dict[str, list[str]]) -> None:
    for path in kept["files"]:
        page = check(path)
    page.goto(f"/fichiers?lang={page.locator('html').get_attribute('lang')}")
    strange = {"name": "strange.csv", "mimeType": "text/csv", "buffer": STRANGE.encode()}
    page.set_input_files("#file", strange)
    page.locator("#envoi .actions .second").click()
    expect(page.locator("#column-model")).to_be_visible()
    check()


def test_the_other_pages(check: Callable[..., Page], kept: dict[str, list[str]]) -> None:
    for path in kept["others"]:
        check(path)
