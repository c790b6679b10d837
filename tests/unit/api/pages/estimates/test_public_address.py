"""Absolute addresses: those of `PUBLIC_URL`, else of the request, and never of another reader."""

import dataclasses

import pypdfium2 as pdfium
import pytest

from api.app import create_app
from shared.settings import Settings, SettingsError
from tests.unit.api.pages.estimates.conftest import ask

PUBLIC = "https://prices.example"
FORGED = {"Host": "evil.example"}


@pytest.fixture
def shared_path(keyed, cached) -> str:
    """The path of an estimate that everybody may read, on a service with keys."""
    cached()
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    page.post(f"{path}/partage", data={"partage": "oui"}, auth=keyed.owner)
    return path


def text_of(pdf: bytes) -> str:
    """The text of the page of a document."""
    text: str = pdfium.PdfDocument(pdf)[0].get_textpage().get_text_range()
    return text


def test_the_host_of_one_reader_is_not_printed_for_the_next(keyed, shared_path):
    page = keyed.browser()
    assert "evil.example" in text_of(page.get(f"{shared_path}.pdf", headers=FORGED).data)
    text = text_of(page.get(f"{shared_path}.pdf").data)
    assert "evil.example" not in text
    assert f"localhost{shared_path}" in text


def test_a_document_is_stored_for_readers_at_the_same_address(keyed, shared_path, monkeypatch):
    page = keyed.browser()
    page.get(f"{shared_path}.pdf", headers=FORGED)
    first = page.get(f"{shared_path}.pdf").data
    monkeypatch.setattr("api.pages.estimates.documents._draw", None)
    assert page.get(f"{shared_path}.pdf").data == first


@pytest.mark.parametrize("setting", [PUBLIC, f"{PUBLIC}/"])
def test_pages_and_documents_state_the_public_address(keyed, shared_path, setting):
    page = create_app(dataclasses.replace(keyed.settings, public_url=setting)).test_client()
    html = page.get(shared_path, headers=FORGED | {"Accept": "text/html"}).text
    assert f'<meta property="og:url" content="{PUBLIC}{shared_path}?lang=' in html
    assert f'<meta property="og:image" content="{PUBLIC}{shared_path}.png' in html
    assert "https%3A%2F%2Fprices.example%2Festimations" in html, "link of WhatsApp"
    assert f"curl {PUBLIC}/predict" in html
    assert "evil.example" not in html
    text = text_of(page.get(f"{shared_path}.pdf", headers=FORGED).data)
    assert f"{PUBLIC}{shared_path}" in text
    assert f"curl {PUBLIC}/batches" in page.get("/", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("value", ["prices.example", "https://prices.example/cars", "ftp://a"])
def test_a_public_address_without_scheme_or_with_a_path_is_refused(value):
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        Settings.from_env({"PUBLIC_URL": value})
