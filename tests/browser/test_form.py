"""The form and the result in three languages: suggestions, usual values, charts, keyboard."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
NARROW = {"width": 360, "height": 740}
LANGUAGES = {"fr": "ltr", "ar": "rtl", "en": "ltr"}
WIDTH = "document.documentElement.scrollWidth"
CAR = "company=Dacia&model=Logan&year=2018&fuel=Diesel&transmission=Manual&km_driven=75000"
AMOUNT = re.compile(r"\d[\d.,\u202f]*")


def keep_screenshot(page: Page, name: str) -> None:
    """Write the page to the folder `CARPRICE_SCREENSHOTS`, if it is set."""
    if folder := os.environ.get("CARPRICE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def amounts(texts: list[str]) -> list[int]:
    """Signed amounts in any language."""
    found = []
    for text in texts:
        match = AMOUNT.search(text)
        assert match, text
        amount = int(re.sub(r"\D", "", match[0]))
        found.append(-amount if "\u2212" in text else amount)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_car_is_priced_with_the_keyboard_alone(open_page: OpenPage, language: str) -> None:
    page = open_page(f"/?lang={language}", viewport=NARROW)
    expect(page.locator("html")).to_have_attribute("dir", LANGUAGES[language])
    page.locator("#company").focus()
    page.keyboard.type("dac")
    brands = page.locator("#company-list [role=option]")
    expect(brands.first).to_have_text("Dacia")
    page.keyboard.press("ArrowDown")
    chosen = page.locator("#company-list [aria-selected=true]")
    expect(chosen).to_have_text("Dacia")
    active = page.locator("#company").get_attribute("aria-activedescendant")
    assert active == chosen.get_attribute("id")
    page.keyboard.press("Enter")
    expect(page.locator("#company")).to_have_value("Dacia")
    expect(page.locator("#company")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Tab")
    expect(page.locator("#model-list [role=option]").first).to_have_text("Logan")
    page.keyboard.type("sandreo")
    expect(page.locator("#model-list [role=option]")).to_have_count(1)
    expect(page.locator("#model-list [role=option]")).to_have_text("Sandero")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator("#model")).to_have_value("Sandero")
    page.keyboard.type("2018")
    page.keyboard.press("Tab")
    expect(page.locator("#km_driven-usual")).to_have_text(re.compile(r"\d{2,3}[.,\u202f]000"))
    expect(page.locator("#fuel-usual")).to_contain_text("%")
    for name in ("km_driven", "fuel", "transmission"):
        assert page.input_value(f"#{name}") == "", "what is usual is never entered"
    keep_screenshot(page, f"form-{language}-360")
    page.keyboard.type("80000")
    page.keyboard.press("Enter")
    expect(page.locator(".result h2")).to_contain_text("Dacia Sandero 2018")
    assert page.evaluate(WIDTH) == NARROW["width"]


def test_escape_closes_the_suggestions_and_keeps_the_text(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#company").press_sequentially("ren")
    suggestions = page.get_by_role("listbox", name="Marque")
    expect(suggestions).to_be_visible()
    page.keyboard.press("Escape")
    expect(suggestions).to_be_hidden()
    expect(page.locator("#company")).to_have_value("ren")


def test_a_model_of_any_brand_brings_its_brand(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#model").press_sequentially("clio")
    page.get_by_role("option", name="Clio Renault").click()
    expect(page.locator("#company")).to_have_value("Renault")
    expect(page.locator("#model")).to_have_value("Clio")
    expect(page.locator("#model")).to_be_focused()


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_javascript_the_models_of_a_brand_are_a_button_away(
    open_page: OpenPage, language: str
) -> None:
    page = open_page(f"/?lang={language}", java_script_enabled=False, viewport=NARROW)
    page.fill("#company", "dacia")
    page.fill("#year", "2018")
    page.locator("noscript button.second").click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    options = page.locator("#model-options option")
    names = options.evaluate_all("(all) => all.map((one) => one.value)")
    assert names[:3] == ["Logan", "Sandero", "Duster"]
    expect(page.locator("#year")).to_have_value("2018")
    expect(page.locator(".message")).to_have_count(0)
    page.fill("#model", "Logan")
    page.locator("#model").press("Enter")
    expect(page.locator(".result h2")).to_contain_text("Dacia Logan 2018")
    expect(page.locator("#km_driven-usual")).to_have_text(re.compile(r"\d{2,3}[.,\u202f]000"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_result_explains_itself_and_its_charts_have_axes(
    open_page: OpenPage, language: str, scheme: str
) -> None:
    page = open_page(
        f"/?{CAR}&asking_price_mad=900000&lang={language}", viewport=NARROW, color_scheme=scheme
    )
    result = page.locator("#resultat")
    expect(result).to_have_attribute("tabindex", "-1")
    result.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
    *parts, price = amounts(result.locator("table").first.locator(".amount").all_inner_texts())
    assert sum(parts) == price
    assert price == int(result.locator("data").get_attribute("value") or 0)
    for chart in result.locator("svg.chart").all():
        assert chart.locator("title").inner_html()
        assert len(chart.locator("desc").inner_html()) > 20
        inside = chart.evaluate(
            """(svg) => [...svg.querySelectorAll("text, circle")].every((one) => {
              const [box, all] = [one.getBoundingClientRect(), svg.getBoundingClientRect()];
              return box.left >= all.left - 1 && box.right <= all.right + 1;
            })"""
        )
        assert inside, "no label is cut off"
        prices = chart.locator("text[text-anchor=end], text[text-anchor=start]").all_inner_texts()
        assert len(prices) >= 4
    expect(result.locator("svg.chart")).to_have_count(2)
    zero, last = result.locator("svg.chart").first.locator("text[text-anchor=middle]").all()[0:6:5]
    boxes = zero.bounding_box(), last.bounding_box()
    assert boxes[0] and boxes[1]  # noqa: PT018 (one statement for the type checker)
    assert (boxes[0]["x"] < boxes[1]["x"]) == (language != "ar"), "Arabic reads from the right"
    assert page.evaluate(WIDTH) == NARROW["width"]
    keep_screenshot(page, f"result-{language}-360-{scheme}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_errors_stand_beside_their_fields_in_the_language_of_the_page(
    open_page: OpenPage, language: str
) -> None:
    page = open_page(f"/?company=Dacia&model=&year=1890&km_driven=12&lang={language}")
    page.locator("#model").press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("#model-error")).to_contain_text("Corolla")
    expect(page.locator("#year-error")).to_contain_text("1990")
    expect(page.locator("#km_driven")).to_have_value("12")
    is_arabic = bool(re.search("[\u0600-\u06ff]", page.locator("#model-error").inner_text()))
    assert is_arabic == (language == "ar")


def test_the_first_page_is_small_and_takes_few_requests(open_page: OpenPage) -> None:
    page = open_page("/", viewport=NARROW)
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate(
        """() => ["navigation", "resource"].flatMap((kind) =>
          performance.getEntriesByType(kind).map((one) => one.transferSize))"""
    )
    assert all(sizes)
    assert len(sizes) <= 9
    assert sum(sizes) < 40_000
