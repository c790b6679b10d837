"""Documents with more than a page holds: nothing is lost, and nothing is drawn over other text."""

import itertools

import pypdfium2 as pdfium
import pytest

from api.pages.estimates.drawing import draw_pdf
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.kinds.text import FoldedText
from shared.i18n.languages import LANGUAGES, Language, direction
from shared.messages.texts import choice_name

LONG = {
    "fr": "Boîte automatique à neuf rapports et finition haut de gamme, comme neuve",
    "ar": "علبة سرعات أوتوماتيكية بتسع سرعات وتجهيز فاخر كأنها جديدة",
    "en": "Automatic gearbox with nine gears and the highest trim, as good as new",
}


def longest_values(language: Language) -> list[list[str]]:
    """Label and longest value of every field."""
    facts = []
    for name, field in CAR_FIELDS.items():
        value = "1,999,999 km"
        if isinstance(field, Category):
            value = max((choice_name(each, language) for each in field.choices), key=len)
        elif isinstance(field, FoldedText):
            value = (f"{LONG['en']} 4x4 " * 3)[: field.max_length]
        facts.append([field.label(language), f"{value} F{len(facts)}x"])
    return facts


def content(language: Language, facts: int, sentences: int) -> dict[str, object]:
    texts = dict.fromkeys(("price", "interval", "verdict", "date", "reference", "basis"), "Q")
    return {
        **texts,
        "direction": direction(language),
        "language": language,
        "site": "CarPricePredictor-MA",
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


def boxes(page: pdfium.PdfPage) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right and top of the pieces of text of a page, points."""
    text = page.get_textpage()
    return [text.get_rect(number) for number in range(text.count_rects())]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("facts", "sentences"), [(3, 2), (len(CAR_FIELDS), 4), (19, 20), (19, 60)])
def test_every_fact_and_sentence_has_its_place(
    language: Language, facts: int, sentences: int
) -> None:
    document = pdfium.PdfDocument(draw_pdf(content(language, facts, sentences)))
    assert (len(document) == 1) == (facts == 3), "a short one stays on one page"
    found = "".join(page.get_textpage().get_text_range() for page in document)
    for marks in ([f"F{n}x" for n in range(facts)], [f"S{n}x" for n in range(sentences)]):
        assert [mark for mark in marks if mark not in found] == []
    for page in document:
        width, height = page.get_size()
        drawn = boxes(page)
        assert drawn
        for left, bottom, right, top in drawn:
            assert 0 < left < right < width
            assert 0 < bottom < top < height
        for one, other in itertools.combinations(drawn, 2):
            assert not overlap(one, other), (one, other)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes share more than the edges of their letters."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return across > 1 and along > 2
