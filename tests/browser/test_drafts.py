"""The page of a file before it is valued, in a real browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import LOW_CONTRAST, UNLABELLED

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
BRITISH = (
    "make,model,year,price,transmission,mileage,fuelType\n"
    "Dacia,Logan,2018,9500,Manual,31000,Diesel\n"
    "Renault,Cleo,1016,8000,Manual,41000,Petrol\n"
)
PHONE = {"width": 360, "height": 740}
OPEN = {"fr": "Ouvrir le fichier", "ar": "فتح الملف", "en": "Open the file"}
VALUE = {"fr": "Estimer le fichier", "ar": "تقدير الملف", "en": "Value the file"}


def open_draft(page: Page, folder: Path, language: str, text: str = BRITISH) -> None:
    file = folder / "cars.csv"
    file.write_text(text, encoding="utf-8")
    page.set_input_files("#file", file)
    page.get_by_role("button", name=OPEN[language]).click()
    expect(page.locator("#choix")).to_be_visible()


def assert_fits(page: Page) -> None:
    sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_a_british_file_is_completed_on_a_phone(
    open_page: OpenPage, tmp_path: Path, language: str, *, script: bool
) -> None:
    page = open_page(f"/fichiers?lang={language}", java_script_enabled=script, viewport=PHONE)
    assert_fits(page)
    open_draft(page, tmp_path, language)
    assert_fits(page)
    assert page.locator("html").get_attribute("lang") == language
    expect(page.locator("#unit-km_driven")).to_have_value("km")
    expect(page.locator("#apercu tbody tr.rejected")).to_have_count(1)
    page.select_option("#unit-km_driven", "miles")
    page.select_option("#unit-asking_price_mad", "other")
    page.locator("#choix .actions button").first.click()
    expect(page.locator("#unit-km_driven")).to_have_value("miles")
    expect(page.locator("#column-asking_price_mad")).to_have_value("")
    page.locator("#choix").get_by_role("button", name=VALUE[language]).click()
    page.wait_for_url(lambda url: "/brouillons/" not in url)
    assert f"lang={language}" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1920])
def test_the_page_is_readable_and_labelled(
    open_page: OpenPage, tmp_path: Path, scheme: Any, width: int
) -> None:
    page = open_page("/fichiers", color_scheme=scheme, viewport={"width": width, "height": 800})
    open_draft(page, tmp_path, "fr")
    for summary in page.locator("summary").all():
        summary.click()
    assert [each for each in page.evaluate(UNLABELLED) if 'type="hidden"' not in each] == []
    assert page.evaluate(LOW_CONTRAST) == []
    assert_fits(page)


def test_a_file_is_opened_and_valued_by_the_keyboard_alone(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/fichiers?lang=en")
    file = tmp_path / "cars.csv"
    file.write_text(BRITISH, encoding="utf-8")
    page.set_input_files("#file", file)  # the dialog of the system has its own keys
    page.locator("#file").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#choix")).to_be_visible()
    page.locator("#unit-km_driven").focus()
    page.keyboard.press("m")
    expect(page.locator("#unit-km_driven")).to_have_value("miles")
    page.keyboard.press("Enter")
    button = page.locator("#choix").get_by_role("button", name="Show the preview")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#apercu")).to_contain_text("Renault Clio")
    page.wait_for_load_state("networkidle")  # the page of before has the same text
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Value the file":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/brouillons/" not in url)


def test_wrong_types_are_refused_before_they_are_sent(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/fichiers?lang=en")
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    for name, reason in (("a.xls", "save it as an Excel workbook"), ("a.pdf", "is no table")):
        file = tmp_path / name
        file.write_bytes(b"x")
        page.set_input_files("#file", file)
        expect(page.locator("#envoi-etat")).to_contain_text(reason)
        page.get_by_role("button", name="Open the file").click()
    assert "POST" not in sent
    file = tmp_path / "a.csv"
    file.write_bytes(b"%PDF-1.7\n" + b"\0" * 900)
    page.set_input_files("#file", file)
    expect(page.locator("#envoi-etat")).to_have_text("")


def test_a_dropped_file_is_chosen(open_page: OpenPage) -> None:
    page = open_page("/fichiers?lang=en")
    page.evaluate(
        """text => {
          const carried = new DataTransfer();
          carried.items.add(new File([text], "cars.csv", { type: "text/csv" }));
          const zone = document.getElementById("depot");
          zone.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true }));
        }""",
        BRITISH,
    )
    page.get_by_role("button", name="Open the file").click()
    expect(page.locator("#column-company")).to_have_value("#1")


def test_a_draft_is_deleted(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page("/fichiers?lang=en")
    open_draft(page, tmp_path, "en")
    page.get_by_role("button", name="Delete this draft").click()
    expect(page.get_by_role("heading", name="What is a whole fleet worth?")).to_be_visible()
