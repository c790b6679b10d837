"""The page of an ended file in a real browser: table, corrections in place, downloads."""

import io
from collections.abc import Callable
from pathlib import Path

import httpx
import openpyxl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import LOW_CONTRAST, UNLABELLED
from tests.conftest import Service

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
NARROW = {"width": 360, "height": 740}
HEADER = "Réf;Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Prix\n"
GOOD = "A{0};Dacia;Logan;2018;Diesel;Manuelle;{0}000;70000\n"
BAD = "B{0};Renault;Clio;avant-hier;Diesel;Manuelle;80000;\n"
ROWS = [GOOD.format(at) for at in range(1, 60)]
ROWS[3:3] = [BAD.format(1), BAD.format(2)]
PATHS = {"fr": "Réestimer les lignes corrigées", "ar": "إعادة تقدير الصفوف المصحَّحة"}


@pytest.fixture(scope="module")
def stock(service: Service) -> Callable[[], str]:
    """Return a function that uploads the file, and returns the address of its page."""

    def upload() -> str:
        data = (HEADER + "".join(ROWS)).encode()
        with httpx.Client(base_url=service.url, timeout=60) as http:
            answer = http.post("/batches", files={"file": ("parc.csv", data)})
            batch = answer.raise_for_status().json()
            http.get(f"/batches/{batch['id']}", params={"wait": 30}).raise_for_status()
        return f"/fichiers/{batch['id']}"

    return upload


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return width


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("language", ["fr", "ar"])
def test_two_rejected_rows_are_corrected_in_place(
    open_page: OpenPage, stock: Callable[[], str], language: str, *, script: bool
) -> None:
    address = stock()
    page = open_page(
        f"{address}?lang={language}&status=rejected",
        java_script_enabled=script,
        viewport=NARROW,
    )
    table = page.locator("section.rows table")
    expect(table.locator("tbody tr")).to_have_count(2)
    expect(table.locator("td.wrong").first).to_contain_text("avant-hier")
    if script:
        assert overflow(page) <= 0
    for box in table.get_by_role("checkbox").all():
        box.check()
    page.locator("section.rows form button[type=submit]").last.click()
    wrong = page.locator(".field.wrong input[type=text]")
    expect(wrong).to_have_count(2)
    for entry in wrong.all():
        entry.fill("2017")
    if script:
        assert overflow(page) <= 0
    page.get_by_role("button", name=PATHS[language]).click()
    expect(page.locator("section.rows tbody tr, section.rows .quiet").first).to_be_visible()
    page.goto(f"{address}?lang={language}")
    rows = page.locator("section.rows tbody tr")
    expect(rows.nth(3)).to_contain_text("B1")
    expect(rows.nth(4)).to_contain_text("B2")
    expect(rows.nth(3).locator(".amount b")).not_to_be_empty()
    assert page.locator("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")


@pytest.mark.parametrize("language", ["fr", "en", "ar"])
def test_a_phone_shows_whole_prices(
    open_page: OpenPage, stock: Callable[[], str], language: str
) -> None:
    page = open_page(f"{stock()}?lang={language}", viewport=NARROW)
    frame = page.locator("section.rows .scroll").bounding_box()
    assert frame is not None
    for part in page.locator("section.rows tbody .amount b, section.rows tbody .amount bdi").all():
        box = part.bounding_box()
        assert box is not None
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]


def test_the_table_is_paged_sorted_and_filtered_by_keyboard(
    open_page: OpenPage, stock: Callable[[], str]
) -> None:
    page = open_page(f"{stock()}?lang=en")
    rows = page.locator("section.rows tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next").first.focus()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(11)
    page.get_by_role("link", name="Estimate (MAD)").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Estimate")
    page.locator("#status").focus()
    page.locator("#status").select_option("rejected")
    page.get_by_role("button", name="Show", exact=True).focus()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(2)
    assert "sort=price" in page.url
    assert "lang=en" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_result_pages_are_readable_and_labelled(
    open_page: OpenPage, stock: Callable[[], str], scheme: str
) -> None:
    address = stock()
    for path in (address, f"{address}/lignes?ligne=4&ligne=1"):
        page = open_page(path, color_scheme=scheme)
        unlabelled = page.evaluate(UNLABELLED)
        assert [one for one in unlabelled if 'type="hidden"' not in one] == []
        assert page.evaluate(LOW_CONTRAST) == []


def test_the_workbook_of_the_arabic_page_has_numeric_prices(
    open_page: OpenPage, stock: Callable[[], str]
) -> None:
    page = open_page(f"{stock()}?lang=ar")
    with page.expect_download() as download:
        page.locator(".downloads a").first.click()
    data = Path(download.value.path()).read_bytes()
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    assert sheet is not None
    assert sheet.sheet_view.rightToLeft
    header, first, *_ = sheet.iter_rows(values_only=True)
    own = HEADER.strip().split(";")
    assert list(header[: len(own)]) == own
    assert all(isinstance(value, int | float) for value in first[len(own) : len(own) + 3])
