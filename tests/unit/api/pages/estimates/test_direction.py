"""Latin names within Arabic lines of a document."""

import pypdfium2 as pdfium
import pytest

from api.pages.estimates.drawing import Sheet

RTL = {"direction": "rtl", "language": "ar", "car": "Dacia"}
NAMES = ["Dacia Logan 1.5 dCi", "Citroën C3", "Classe A 180 d"]


@pytest.mark.parametrize("name", NAMES)
def test_an_amount_after_a_latin_name_stands_at_its_left(name):
    sheet = Sheet(RTL, "mm", "A4")
    sheet.set_y(20)
    sheet.line_of(f"{name}: 76.543 درهم", 12)
    page = pdfium.PdfDocument(bytes(sheet.output()))[0].get_textpage()
    text = page.get_text_range()
    assert "\u25a1" not in text
    starts = [page.get_charbox(text.index(part))[0] for part in (name[:3], "76.543")]
    assert starts[0] > starts[1]
