"""Ten tasks of a new user, on a phone, in each language, with at most twelve actions each."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import LANGUAGES, Language
from shared.messages.texts import choice_name
from tests.browser.newcomer import LOCALES, PHONE, Newcomer

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("language", LANGUAGES)]

OpenPage = Callable[..., Page]
COLUMNS = ("company", "model", "year", "fuel", "transmission", "km_driven", "asking_price_mad")
YEARS = ("2018", "2016", "?", "2019", "1890", "2015", "2o17")
CARS = ("Dacia;Logan", "Renault;Clio", "Peugeot;208")
"""Cars of the invented stock; three of the years are wrong."""
PRINTED = "window.print = () => { window.isPrinted = true; }"


@pytest.fixture
def newcomer(open_page: OpenPage, language: Language, request: Any) -> Iterator[Newcomer]:
    """A person on the first page, whose browser asks for the language; looked at in the end."""
    page = open_page(
        "/",
        locale=LOCALES[language],
        viewport=PHONE,
        permissions=["clipboard-read", "clipboard-write"],
    )
    person = Newcomer(page, language)
    yield person
    person.keeps_screenshot(request.function.__name__.removeprefix("test_").replace("_", "-"))


@pytest.fixture
def stock(language: Language, tmp_path: Path) -> Path:
    """A file of seven cars in the language."""
    return write_stock(tmp_path, language)


def write_stock(folder: Path, language: Language) -> Path:
    """Write a file of seven cars with the headers and values of a language."""
    rows = [";".join(CAR_FIELDS[column].label(language) for column in COLUMNS)]
    fuel, gearbox = (choice_name(choice, language) for choice in ("Diesel", "Manual"))
    for at, year in enumerate(YEARS):
        rows.append(f"{CARS[at % 3]};{year};{fuel};{gearbox};{90 + at}000;{80 + at}000")
    file = folder / "stock.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def shown_price(page: Page) -> float:
    """The price of the estimate that a page shows, in dirhams."""
    return float(page.locator(".result data").get_attribute("value") or 0)


def test_price_a_car(newcomer: Newcomer) -> None:
    newcomer.choose("fuel", "Diesel")
    newcomer.choose("transmission", "Manual")
    newcomer.value_car("Dacia", "Logan", "2018", km_driven="120000")
    result = newcomer.page.get_by_role("region", name="Dacia Logan 2018")
    expect(result).to_be_in_viewport()
    assert 20_000 < shown_price(newcomer.page) < 200_000
    newcomer.looks_at_page()


def test_understand_why(newcomer: Newcomer) -> None:
    newcomer.value_car("Dacia", "Logan", "2018", km_driven="220000")
    heading = newcomer.page.locator("summary", has_text=newcomer.text("Why this price?"))
    why = newcomer.page.locator("details").filter(has=heading)
    expect(why.locator("tbody tr").nth(1)).to_be_visible()
    expect(why.locator("tfoot th")).to_have_text(newcomer.text("Estimated price"))
    newcomer.open_section("And in the next years?")
    expect(newcomer.page.locator("details[open] svg.chart, details[open] figure")).to_be_visible()
    newcomer.open_section("Similar cars")
    newcomer.looks_at_page()


def test_judge_an_asking_price(newcomer: Newcomer) -> None:
    newcomer.value_car("Dacia", "Logan", "2018", asking_price_mad="900000")
    verdict = newcomer.page.locator(".verdict")
    expect(verdict.get_by_role("heading")).to_have_text(newcomer.text("Above the market"))
    newcomer.looks_at_page()


def test_share_it(newcomer: Newcomer, open_page: OpenPage) -> None:
    newcomer.value_car("Renault", "Clio", "2017")
    newcomer.click("button", "Copy the link")
    done = newcomer.page.get_by_role("button", name=newcomer.text("Copied"))
    expect(done).to_be_visible()
    whatsapp = newcomer.page.get_by_role("link", name="WhatsApp")
    address = newcomer.page.evaluate("navigator.clipboard.readText()")
    assert "/estimations/" in address
    assert "wa.me" in (whatsapp.get_attribute("href") or "")
    other = open_page(re.sub(r"^https?://[^/]+", "", address))
    assert shown_price(other) == shown_price(newcomer.page)
    newcomer.looks_at_page()


def test_value_a_stock_file(newcomer: Newcomer, stock: Path) -> None:
    newcomer.click("link", "A file")
    newcomer.looks_at_page()
    newcomer.choose_file("File of cars", stock)
    newcomer.click("button", "Open the file")
    expect(newcomer.page.locator("#apercu")).to_be_visible()
    newcomer.looks_at_page()
    newcomer.click("button", "Value the file", newcomer.page.locator("#choix"))
    worth = newcomer.page.locator(".worth .price")
    expect(worth).to_be_visible()
    expect(newcomer.page.locator("#valid")).to_have_text("4")
    with newcomer.page.expect_download() as download:
        newcomer.click("link", "Results for Excel")
    assert download.value.suggested_filename.endswith(".xlsx")
    newcomer.looks_at_page()


def test_fix_three_rows(newcomer: Newcomer, stock: Path) -> None:
    page = newcomer.page
    newcomer.click("link", "A file")
    newcomer.choose_file("File of cars", stock)
    newcomer.click("button", "Value it at once")
    newcomer.click("link", "Correct the rejected rows")
    expect(page.get_by_role("group").filter(has=page.locator(".field.wrong"))).to_have_count(3)
    newcomer.looks_at_page()
    for at, year in ((4, "2017"), (6, "2018"), (8, "2017")):
        line = page.get_by_role(
            "group", name=newcomer.text("Line %(line)s", is_start=True, line=at)
        )
        newcomer.fill("year", year, line)
    newcomer.click("button", "Value the corrected rows again")
    expect(page.locator("section.rows tr.valued")).to_have_count(7)
    expect(page.locator("section.rows tr.rejected")).to_have_count(0)
    newcomer.looks_at_page()


def test_find_an_old_estimate(newcomer: Newcomer) -> None:
    newcomer.value_car("Peugeot", "208", "2016")
    price = shown_price(newcomer.page)
    newcomer.click("link", "My estimates")
    expect(newcomer.page.locator(".kept li")).to_have_count(1)
    newcomer.looks_at_page()
    newcomer.click("link", "Open", is_start=True)
    expect(newcomer.page.locator(".result")).to_be_visible()
    assert shown_price(newcomer.page) == price
    newcomer.looks_at_page()


def test_compare_two_cars(newcomer: Newcomer) -> None:
    page = newcomer.page
    newcomer.value_car("Renault", "Clio", "2017")
    newcomer.click("link", "Another car")
    newcomer.value_car("Peugeot", "208", "2016")
    newcomer.click("link", "Compare")
    page.locator("#connues").get_by_role("button", name="Renault Clio").wait_for()
    newcomer.act("Renault Clio", page.get_by_role("button", name="Renault Clio").click)
    newcomer.click("button", "Compare")
    heads = page.locator(".compare").get_by_role("columnheader")
    expect(heads).to_have_count(2)
    expect(page.locator(".compare .differs")).not_to_have_count(0)
    newcomer.looks_at_page()


def test_read_the_api_page(newcomer: Newcomer) -> None:
    page = newcomer.page
    newcomer.act("API", page.get_by_role("link", name="API", exact=True).first.click)
    operation = page.locator(".opblock", has=page.locator('[data-path="/predict"]'))
    newcomer.act("Value one car", operation.click)
    expect(operation.get_by_role("button", name="Try it out")).to_be_visible()
    newcomer.looks_at_page()
    expect(page.locator("body > main")).to_have_attribute("lang", "en")
    expect(page.locator("body > main")).to_have_attribute("dir", "ltr")


def test_print(newcomer: Newcomer) -> None:
    page = newcomer.page
    page.add_init_script(PRINTED)
    newcomer.value_car("Dacia", "Logan", "2018")
    newcomer.click("button", "Print")
    assert page.evaluate("window.isPrinted")
    page.emulate_media(media="print")
    expect(page.locator(".qr")).to_be_visible()
    expect(page.locator("form.main")).to_be_hidden()
    expect(page.locator(".reference")).to_be_visible()
    newcomer.looks_at_page()
