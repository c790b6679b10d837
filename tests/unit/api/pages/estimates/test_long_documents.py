"""Documents with more than a page holds: nothing is lost, and nothing is drawn over other text."""

import re

import pypdfium2 as pdfium
import pytest

from api.pages.estimates.drawing import draw_pdf
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.kinds.text import FoldedText
from shared.i18n.languages import LANGUAGES, Language, direction
from shared.messages.texts import choice_name

MARGIN = 18 * 72 / 25.4
"""Points."""
LONG = {
    "fr": "Boîte automatique à neuf rapports et finition haut de gamme, comme neuve",
    "ar": "علبة سرعات أوتوماتيكية بتسع سرعات وتجهيز فاخر كأنها جديدة",
    "en": "Automatic gearbox with nine gears and the highest trim, as good as new",
}


def longest_values(language: Language) -> list[list[str]]:
    """Label and longest value of every field."""
    facts = []
    for field in CAR_FIELDS.values():
        value = "1,999,999 km"
        if isinstance(field, Category):
            value = max((choice_name(each, language) for each in field.choices), key=len)
        elif isinstance(field, FoldedText):
            value = (f"{LONG['en']} 4x4 " * 3)[: field.max_length]
        # In an Arabic value the mark would not be found: its letters are stored as they are drawn.
        mark = "" if isinstance(field, Category) else f" F{len(facts)}x"
        facts.append([field.label(language), f"{value}{mark}"])
    return facts


def content(language: Language, facts: int, sentences: int) -> dict[str, object]:
    texts = dict.fromkeys(("price", "interval", "verdict", "reference", "basis"), "Q")
    return {
        **texts,
        "direction": direction(language),
        "language": language,
        "site": "CarPricePredictor-MA",
        "date": "FOOT",
        "title": LONG[language],
        "car": "Mercedes-Benz Classe C 220 d 4MATIC AMG Line Edition Avantgarde 2019",
        "facts_title": "Q",
        "facts": longest_values(language)[:facts],
        "explanation_title": "Q",
        "explanation": [f"{LONG[language]}: {LONG[language]}. S{n}x" for n in range(sentences)],
        "model": "2026-11-30T100336-d67b94",
        "address": f"https://{'a' * 60}.example/estimations/01m8fqj4f7z0kj5s71amqzvc4r",
        "qr": ["10" * 20, "01" * 20] * 20,
    }


def height_of(page: pdfium.PdfPage, text: str) -> float | None:
    """Upper edge of a text in points above the lower edge of its page; None if it is elsewhere."""
    found = page.get_textpage()
    place = found.search(text).get_next()
    return None if place is None else found.get_charbox(place[0])[3]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("facts", "sentences"), [(3, 2), (len(CAR_FIELDS), 5), (19, 20)])
def test_every_fact_and_sentence_has_its_place(
    language: Language, facts: int, sentences: int
) -> None:
    document = pdfium.PdfDocument(draw_pdf(content(language, facts, sentences)))
    pages = list(document)
    assert (len(pages) == 1) == (facts == 3), "a short one stays on one page"
    foot = height_of(pages[-1], "FOOT")
    assert foot
    marked = (re.findall(r"F\d+x", value) for _, value in longest_values(language)[:facts])
    marks = [mark for found in marked for mark in found] + [f"S{n}x" for n in range(sentences)]
    before = (0, -900.0)
    for mark in marks:
        (place,) = [
            (number, -top)
            for number, page in enumerate(pages)
            if (top := height_of(page, mark)) is not None
        ]
        assert place > before, "in their order, each below the one before"
        before = place
        lowest = foot + 5 if place[0] == len(pages) - 1 else MARGIN
        assert lowest < -place[1] < pages[0].get_height()
