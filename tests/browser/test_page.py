"""The valuation page in a real browser, with the real service."""

import re
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Service

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
NARROW = {"width": 360, "height": 740}
PRICE_FORMAT = re.compile(r"\d{1,3}(\u202f\d{3})+")

UNLABELLED = """
() => [...document.querySelectorAll("input, select, textarea, button")]
  .filter((one) => !one.labels?.length && !one.textContent.trim() && !one.ariaLabel)
  .map((one) => one.outerHTML)
"""
LOW_CONTRAST = """
() => {
  const channel = (value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = ([red, green, blue]) =>
    0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const one of document.querySelectorAll("body *:not(svg *)")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.checkVisibility() || one.matches("option")) continue;
    const style = getComputedStyle(one);
    const [dark, light] = [luminance(numbers(style.color)), luminance(behind(one))].sort(
      (a, b) => a - b,
    );
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${one.tagName} ${one.textContent.trim()}`);
  }
  return faint;
}
"""


def fill(page: Page, **changes: str) -> None:
    """Fill in the reference example with changes."""
    car = {"company": "Toyota", "model": "Corolla", "year": "2020", "km_driven": "25 000"} | changes
    for name, value in car.items():
        page.fill(f"#{name}", value)
    page.select_option("#fuel", "Petrol")
    page.select_option("#transmission", "Manual")


def submit(page: Page) -> None:
    page.get_by_role("button", name="Estimer le prix").click()


def test_the_reference_example_gets_a_price_and_an_interval(open_page: OpenPage) -> None:
    page = open_page()
    fill(page)
    submit(page)
    result = page.get_by_role("region", name="Toyota Corolla 2020")
    expect(result.locator("data")).to_have_text(PRICE_FORMAT)
    price = float(result.locator("data").get_attribute("value") or 0)
    assert 50_000 < price < 500_000
    low, high = (
        float(re.sub(r"\D", "", text)) for text in result.locator(".reading b").all_inner_texts()
    )
    assert low < price < high
    expect(result.locator("svg.range")).to_be_visible()
    expect(result.locator(".basis")).to_contain_text("Prix demandés dans les annonces")
    expect(page.locator("#km_driven")).to_have_value("25\u202f000")


def test_an_error_is_shown_beside_its_field_and_the_other_values_are_kept(
    open_page: OpenPage,
) -> None:
    page = open_page()
    fill(page, year="1890", asking_price_mad="145 000")
    submit(page)
    expect(page.locator("#year-error")).to_contain_text("1990")
    expect(page.locator("#year")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#year")).to_have_value("1890")
    expect(page.locator("#model")).to_have_value("Corolla")
    expect(page.locator("#fuel")).to_have_value("Petrol")
    expect(page.locator(".alert.error")).to_be_focused()
    page.get_by_role("region", name="Un champ est à corriger").get_by_role("link").click()
    expect(page.locator("#year")).to_be_focused()
    page.fill("#year", "2020")
    submit(page)
    expect(page.locator(".result")).to_be_visible()


@pytest.mark.parametrize(
    ("asking_price", "verdict"),
    [("20000", "En dessous du marché"), ("900000", "Au-dessus du marché")],
)
def test_an_asking_price_gets_a_verdict(
    open_page: OpenPage, asking_price: str, verdict: str
) -> None:
    page = open_page()
    fill(page, asking_price_mad=asking_price)
    submit(page)
    expect(page.get_by_role("heading", name=verdict)).to_be_visible()


def test_an_asking_price_equal_to_the_estimate_is_fair(open_page: OpenPage) -> None:
    page = open_page()
    fill(page)
    submit(page)
    page.fill("#asking_price_mad", page.locator(".result data").inner_text())
    submit(page)
    expect(page.get_by_role("heading", name="Dans le marché")).to_be_visible()


def test_the_page_shows_contributions_depreciation_and_comparables(open_page: OpenPage) -> None:
    page = open_page()
    fill(page)
    submit(page)
    expect(
        page.get_by_role("row", name="de moins que d\N{RIGHT SINGLE QUOTATION MARK}habitude")
    ).to_be_visible()
    page.get_by_text("Et dans les prochaines années").click()
    expect(page.get_by_role("row", name="Dans 5 ans")).to_be_visible()
    expect(page.locator("svg.chart polyline").first).to_be_visible()
    page.get_by_text("Voitures semblables").click()
    comparables = page.get_by_role("row", name=re.compile(r"\d\sannonces"))
    expect(comparables.first).to_be_visible()
    assert 3 <= comparables.count() <= 5


def test_the_explanation_names_only_what_was_stated_and_adds_up(open_page: OpenPage) -> None:
    page = open_page(viewport=NARROW)
    fill(page)
    page.select_option("#fuel", "Petrol")
    page.select_option("#transmission", "Manual")
    submit(page)
    table = page.locator("details[open] table").first
    expect(table).to_contain_text("Une Toyota Corolla de 2020 typique")
    expect(table).to_contain_text(
        "de moins que d\N{RIGHT SINGLE QUOTATION MARK}habitude pour une Toyota Corolla de 2020"
    )
    shown = table.locator(".amount").all_inner_texts()
    amounts = [int(re.sub(r"[^-\d]", "", one.replace("\u2212", "-"))) for one in shown]
    assert sum(amounts[:-1]) == amounts[-1]
    page.get_by_text("Voitures semblables").click()
    first = page.get_by_role("row", name=re.compile(r"\d\sannonces")).first
    expect(first).to_contain_text("Essence · manuelle")


def test_an_unknown_model_is_priced_with_a_warning(open_page: OpenPage) -> None:
    page = open_page()
    fill(page, model="Zébulon 9000")
    submit(page)
    expect(page.locator(".result data")).to_have_text(PRICE_FORMAT)
    expect(page.locator(".result")).to_contain_text("absent de nos données")


def test_fuel_gearbox_and_kilometres_may_be_unknown(open_page: OpenPage) -> None:
    page = open_page()
    for name, value in (("company", "Renault"), ("model", "Megane"), ("year", "2015")):
        page.fill(f"#{name}", value)
    expect(page.locator("#fuel option:checked")).to_have_text("Je ne sais pas")
    submit(page)
    result = page.get_by_role("region", name="Renault Mégane 2015")
    expect(result.locator("data")).to_have_text(PRICE_FORMAT)
    expect(result.locator(".facts").first).to_contain_text("Carburant non indiqué")
    expect(result).to_contain_text(
        "Sans le carburant, la boîte de vitesses et le kilométrage, le prix est une moyenne"
    )


@pytest.mark.parametrize("script", [True, False])
def test_a_suggestion_is_a_link_to_the_estimate_of_that_car(
    open_page: OpenPage, *, script: bool
) -> None:
    page = open_page(java_script_enabled=script, viewport=NARROW)
    fill(page, company="Peugeot", model="209", asking_price_mad="95 000")
    submit(page)
    box = page.locator("[data-match=ambiguous]")
    expect(box).to_contain_text("Modèle incertain")
    box.get_by_role("link", name="208", exact=True).click()
    expect(page.get_by_role("region", name="Peugeot 208 2020")).to_be_visible()
    expect(page.locator("[data-match]")).to_have_count(0)
    expect(page.locator("#model")).to_have_value("208")
    expect(page.locator("#asking_price_mad")).to_have_value(re.compile(r"95\s000"))
    expect(page.locator("#fuel")).to_have_value("Petrol")
    expect(page.locator(".verdict")).to_be_visible()


def test_a_typing_error_is_said_beside_the_price(open_page: OpenPage) -> None:
    page = open_page()
    fill(page, company="Dacia", model="Sandeero")
    submit(page)
    expect(page.locator("[data-match=corrected]")).to_contain_text(
        "Lu comme Dacia Sandero au lieu de «\u202fDacia Sandeero\u202f»."
    )
    expect(page.locator(".result h2")).to_contain_text("Dacia Sandero 2020")
    expect(page.locator("#model")).to_have_value("Sandeero")


def test_everything_works_without_javascript(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    fill(page, asking_price_mad="900000", year="1890")
    submit(page)
    expect(page.locator("#year-error")).to_be_visible()
    page.fill("#year", "2020")
    page.get_by_text("Ajouter des détails").click()
    page.select_option("#condition", label="Excellent")
    submit(page)
    expect(page.locator(".result data")).to_have_text(PRICE_FORMAT)
    expect(page.get_by_role("heading", name="Au-dessus du marché")).to_be_visible()


def test_brands_and_their_models_are_suggested(open_page: OpenPage) -> None:
    page = open_page()
    page.fill("#company", "dacia")
    page.locator("#model").focus()
    options = page.get_by_role("listbox", name="Modèle").get_by_role("option")
    expect(options.first).to_have_text("Logan")
    assert options.all_inner_texts()[:3] == ["Logan", "Sandero", "Duster"]


def test_large_numbers_are_grouped_when_the_field_loses_focus(open_page: OpenPage) -> None:
    page = open_page()
    page.fill("#asking_price_mad", "145000")
    page.locator("#km_driven").focus()
    expect(page.locator("#asking_price_mad")).to_have_value("145\u202f000")


@pytest.fixture
def suspended_workers(service: Service) -> Iterator[Callable[[], None]]:
    """The interactive workers are suspended until the returned function is called."""
    workers = [
        process
        for process in psutil.Process(service.process.pid).children(recursive=True)
        if "interactive" in process.cmdline() and "celery" in " ".join(process.cmdline())
    ]
    assert workers

    def resume() -> None:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)

    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    yield resume
    resume()


def test_a_busy_service_shows_a_waiting_page_that_loads_the_result(
    open_page: OpenPage, suspended_workers: Callable[[], None]
) -> None:
    page = open_page(java_script_enabled=False)
    fill(page, km_driven="123 456")
    submit(page)
    expect(page.locator("#attente")).to_be_visible()
    suspended_workers()
    expect(page.locator(".result data")).to_have_text(PRICE_FORMAT)
    assert "/estimations/" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "values", [{"year": "2020"}, {"year": "1890"}, {"model": "Corola"}, {"model": "Yarisse 22"}]
)
def test_every_text_has_enough_contrast_and_every_input_has_a_label(
    open_page: OpenPage, scheme: str, values: dict[str, str]
) -> None:
    page = open_page(color_scheme=scheme)
    fill(page, asking_price_mad="900000", **values)
    with page.expect_navigation(wait_until="load"):
        submit(page)
    page.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
    assert page.evaluate(UNLABELLED) == []
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate("document.documentElement.lang") == "fr"
    for landmark in ("banner", "main", "contentinfo", "form"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)


def test_the_page_fits_a_small_phone(open_page: OpenPage) -> None:
    page = open_page(viewport=NARROW)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == NARROW["width"]
    fill(page, company="Une-marque-au-nom-" + "très" * 10, asking_price_mad="20000")
    submit(page)
    expect(page.locator(".result h2")).to_be_visible()
    page.wait_for_load_state()  # including the style sheet
    page.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
    assert page.evaluate(width) == NARROW["width"]


def test_the_form_can_be_filled_in_with_the_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Aller au contenu")).to_be_focused()
    page.locator("#company").focus()
    for text in ("Dacia", "Logan", "2016", "120000", "Diesel", "Manuelle"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.locator("#asking_price_mad").press("Enter")
    expect(page.locator(".result h2")).to_contain_text("Dacia Logan 2016")
