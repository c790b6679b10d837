"""The PDF and the preview image of an estimate."""

import io

import pypdfium2 as pdfium
import pytest
from PIL import Image

from tests.unit.api.pages.estimates.conftest import ask

PAPER = (595, 842)
"""A4 in points."""


def text_of(pdf: bytes) -> str:
    """The text of the only page of a document."""
    document = pdfium.PdfDocument(pdf)
    assert len(document) == 1
    assert [round(side) for side in document[0].get_size()] == list(PAPER)
    return document[0].get_textpage().get_text_range()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ["Estimation d\u2019une voiture", "Au-dessus du marché", "Référence"]),
        ("en", ["Estimate of a used car", "Above the market", "Reference"]),
        ("ar", ["Dacia Logan 2020"]),
    ],
)
def test_the_pdf_is_one_page_in_the_language_of_the_reader(browser, cached, language, words):
    cached()
    path = ask(browser)
    answer = browser.get(f"{path}.pdf?lang={language}")
    assert answer.mimetype == "application/pdf"
    assert path.rsplit("/", 1)[-1] in answer.headers["Content-Disposition"]
    text = text_of(answer.data)
    for word in [*words, "Dacia Logan 2020", path]:
        assert word in text


def test_arabic_letters_are_joined_in_the_pdf(browser, cached):
    """Its fonts hold forms of letters that only shaped text uses: an unjoined one has none."""
    cached()
    data = browser.get(f"{ask(browser)}.pdf?lang=ar").data
    page = pdfium.PdfDocument(data)[0].get_textpage()
    # The text layer states the letters of each line in the order of reading.
    assert "السوق" in page.get_text_range() or "قوسلا" in page.get_text_range()


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_the_preview_is_an_image_that_messengers_take(browser, cached, language):
    cached()
    answer = browser.get(f"{ask(browser)}.png?lang={language}")
    assert answer.mimetype == "image/png"
    image = Image.open(io.BytesIO(answer.data))
    assert image.size == (1200, 630)
    assert len(image.convert("RGB").getcolors(1 << 20) or []) > 10, "something is drawn"
    assert len(answer.data) < 300_000


def test_a_file_is_drawn_once(browser, cached, monkeypatch):
    cached()
    path = ask(browser)
    first = browser.get(f"{path}.png").data
    monkeypatch.setattr("api.pages.estimates.documents._draw", None)
    assert browser.get(f"{path}.png").data == first
