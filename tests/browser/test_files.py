"""The file page in a real browser: upload, progress, download."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import LOW_CONTRAST, UNLABELLED

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
FRENCH = (
    "Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Réf\n"
    "Dacia;Logan;2018;Diesel;Manuelle;120 000;A1\n"
    "Renault;Clio;avant-hier;Diesel;Manuelle;80 000;A2\n"
)
NARROW = {"width": 360, "height": 740}


STRANGE = "Firme;Gamme zz;Circule;Tableau\nOpel;Corsa;2015;110 000\nFord;Fiesta;2017;beaucoup\n"


def upload(page: Page, folder: Path, text: str, button: str = "L'estimer tout de suite") -> None:
    file = folder / "mon parc.csv"
    file.write_text(text, encoding="cp1252")
    page.set_input_files("#file", file)
    page.get_by_role("button", name=button).click()


def cells_of(workbook: Path) -> list[list[Any]]:
    """The rows of a workbook, with the header."""
    sheet = openpyxl.load_workbook(io.BytesIO(workbook.read_bytes())).active
    assert sheet is not None
    return [list(row) for row in sheet.iter_rows(values_only=True)]


@pytest.mark.parametrize("script", [True, False])
def test_a_file_is_uploaded_followed_and_its_results_are_downloaded(
    open_page: OpenPage, tmp_path: Path, *, script: bool
) -> None:
    page = open_page("/fichiers", java_script_enabled=script, viewport=NARROW)
    upload(page, tmp_path, FRENCH)
    expect(page.get_by_role("heading", name="mon parc.csv")).to_be_visible()
    # With JavaScript the page follows events; without it the page reloads itself.
    expect(page.get_by_role("heading", name="des lignes sont à corriger")).to_be_visible()
    found = page.get_by_role("region", name="Colonnes reconnues")
    expect(found.get_by_role("row", name="Kilométrage Kilométrage")).to_be_visible()
    expect(found).to_contain_text("Rendues telles quelles : Réf.")
    with page.expect_download() as download:
        page.get_by_role("link", name="Résultats pour Excel").click()
    header, *rows = cells_of(Path(download.value.path()))
    status, price = header.index("État de la ligne"), header.index("Prix estimé (MAD)")
    assert [row[status] for row in rows] == ["valued", "rejected"]
    assert isinstance(rows[0][price], float)
    with page.expect_download() as download:
        page.get_by_role("link", name="Lignes refusées", exact=True).click()
    _, rejected = cells_of(Path(download.value.path()))
    assert "avant-hier" in rejected
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= NARROW["width"], "the page fits a small phone"
    page.get_by_role("link", name="Un autre fichier").click()
    recent = page.get_by_role("region", name="Vos derniers fichiers")
    expect(recent).to_contain_text("Terminé")
    expect(recent).to_contain_text("mon parc.csv")


def test_a_file_that_is_not_a_table_of_cars_is_refused_on_the_page(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/fichiers")
    upload(page, tmp_path, "a;b\n1;2\n")
    alert = page.get_by_role("region").filter(has_text="Il manque")
    expect(alert).to_be_visible()
    expect(page.get_by_role("button", name="Ouvrir le fichier")).to_be_visible()


@pytest.mark.parametrize("script", [True, False])
def test_a_file_with_unknown_headers_is_completed_in_the_browser(
    open_page: OpenPage, tmp_path: Path, *, script: bool
) -> None:
    page = open_page("/fichiers", java_script_enabled=script, viewport=NARROW)
    upload(page, tmp_path, STRANGE)
    expect(page.locator(".alert.error")).to_contain_text("Il manque")
    expect(page.locator("#column-model")).to_contain_text("Gamme zz (Corsa, Fiesta)")
    if script:
        expect(page.locator(".alert.error")).to_be_focused()
        kept = page.evaluate("document.getElementById('file').files[0].name")
        assert kept == "mon parc.csv"
    else:
        page.set_input_files("#file", tmp_path / "mon parc.csv")
    for field, column in (("company", 1), ("model", 2), ("year", 3), ("km_driven", 4)):
        page.select_option(f"#column-{field}", f"#{column}")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= NARROW["width"], "the page fits a small phone"
    page.get_by_role("button", name="L'estimer tout de suite").click()
    expect(page.get_by_role("heading", name="mon parc.csv")).to_be_visible()
    found = page.get_by_role("region", name="Colonnes reconnues")
    expect(found.get_by_role("row", name="Marque Firme")).to_be_visible()
    expect(page.get_by_role("link", name="Résultats pour Excel")).to_be_visible()
    # What was ignored is said with its column, count and an example.
    expect(found).to_contain_text("Tableau")
    expect(found).to_contain_text("1 (beaucoup)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_of_columns_and_options_is_readable_and_labelled(
    open_page: OpenPage, tmp_path: Path, scheme: str
) -> None:
    page = open_page("/fichiers", color_scheme=scheme)
    upload(page, tmp_path, STRANGE)
    expect(page.locator("#column-model")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.locator("#constant-company")).to_be_visible()
    assert page.evaluate(UNLABELLED) == []
    assert page.evaluate(LOW_CONTRAST) == []
    for landmark in ("banner", "main", "contentinfo", "form"):
        expect(page.get_by_role(landmark)).to_have_count(1)


def test_common_values_and_a_missing_header_are_options(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/fichiers")
    page.locator("summary").filter(has_text="Options").click()
    page.fill("#constant-company", "Toyota")
    page.select_option("#header", label="Non, aucune")
    upload(page, tmp_path, "Yaris;2016\nAuris;2014\n")
    expect(page.locator(".alert.error")).to_be_visible()
    page.select_option("#column-model", "#1")
    page.select_option("#column-year", "#2")
    expect(page.locator("#constant-company")).to_have_value("Toyota")
    page.get_by_role("button", name="Ouvrir le fichier").click()
    expect(page.locator("#constant-company")).to_have_value("Toyota")
    page.get_by_role("button", name="Vérifier seulement").click()
    expect(page.get_by_role("heading", name="Vérifié")).to_be_visible()
    expect(page.locator("#valid")).to_have_text("2")


def test_an_upload_that_a_proxy_answers_can_be_sent_again(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page("/fichiers")
    page.route(
        re.compile(r"/fichiers(/[a-z]+)?(\?.*)?$"),
        lambda route: route.fulfill(content_type="text/html", body="<p>Sign in first</p>"),
    )
    upload(page, tmp_path, FRENCH)
    expect(page.get_by_text("Vérifiez la connexion et réessayez.")).to_be_visible()
    expect(page.get_by_role("button", name="L'estimer tout de suite")).to_be_enabled()
