"""The catalogue translates every text into every language, with the same gaps."""

import re
from collections.abc import Iterator
from string import Formatter

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from scripts.messages import TRANSLATED, collect, forms, po_file, render, untranslated, updated
from shared.i18n.catalogue import (
    mark_in_context,
    translate,
    translate_in_context,
    translate_plural,
)
from shared.i18n.languages import LANGUAGES, Language

ARABIC_FORMS = 6
GAP = re.compile(r"\{[^{}]*\}|%\(\w+\)[sd]|`[^`]*`")
PERCENT_GAP = re.compile(r"%\(\w+\)[sd]")


@pytest.fixture(scope="module")
def template():
    return collect()


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_files_of_the_catalogue_are_up_to_date(language: str, template) -> None:
    """`make messages` would change nothing, and every text has its translation."""
    catalog = updated(language, template)
    assert untranslated(catalog) == []
    po = po_file(language)
    assert render(catalog) == (po.read_bytes(), po.with_suffix(".mo").read_bytes())


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_gaps_of_its_text(language: str) -> None:
    wrong = [
        (text, translation)
        for message in _messages(language)
        for text, translation in _pairs(message)
        if _gaps(translation) - _allowed(message) or _lost(message, text, translation)
    ]
    assert wrong == []


def test_english_texts_write_the_currency_behind_the_amount() -> None:
    before = re.compile(r"\b(?:MAD|dirhams?)\s*[{%\d]")
    texts = [text for message in _messages("fr") for text, _translation in _pairs(message)]
    assert [text for text in texts if before.search(text)] == []


def test_arabic_has_all_of_its_plural_forms() -> None:
    plurals = [message for message in _messages("ar") if message.pluralizable]
    assert plurals
    assert {len(forms(message)) for message in plurals} == {ARABIC_FORMS}


def test_arabic_translations_are_in_arabic() -> None:
    """At least one Arabic letter: a text that was copied from another language has none."""
    latin = [
        text
        for message in _messages("ar")
        for text in forms(message)
        if re.search(r"[A-Za-z]{3}", GAP.sub("", text)) and not re.search("[\u0621-\u064a]", text)
    ]
    assert latin == []


ARABIC_TERMS = {
    "line": ("line", r"(?:سطر|أسطر|سطور)"),
    "row": ("row", r"(?<![ء-ي])[وبلكف]?(?:ال|لل)?صف(?:وف)?[اًينه]*(?![ء-ي])"),
}
"""Of each term the English word, and its Arabic ones in all their forms."""


@pytest.mark.parametrize("term", ARABIC_TERMS)
def test_arabic_has_one_word_for_a_line_of_text_and_one_for_a_row(term: str) -> None:
    english, arabic = ARABIC_TERMS[term]
    wrong = [
        texts
        for message in _messages("ar")
        for texts in [" ".join(message.id if message.pluralizable else (message.id,))]
        if re.search(arabic, " ".join(forms(message)))
        and not re.search(rf"\b{english}s?\b|the first one", texts, re.IGNORECASE)
    ]
    assert wrong == []


def test_arabic_has_one_word_for_price_for_asked_and_for_the_model_of_a_car() -> None:
    other = re.compile("سعر|أسعار|طراز|(?:ثمن|أثمنة) (?:ال)?معروض")
    texts = [text for message in _messages("ar") for text in forms(message)]
    assert [text for text in texts if other.search(text)] == []
    assert any("الثمن المطلوب" in text for text in texts)


@pytest.mark.parametrize(
    ("number", "arabic"),
    [
        (0, "0 مليون سنتيم"),
        (1, "1 مليون سنتيم"),
        (2, "2 مليون سنتيم"),
        (5, "5 ملايين سنتيم"),
        (18, "18 مليون سنتيم"),
        (100, "100 مليون سنتيم"),
    ],
)
def test_a_number_chooses_its_plural_form(number: int, arabic: str) -> None:
    text = "{number} million centimes"
    assert translate_plural(text, text, number, "ar").format(number=number) == arabic
    french = translate_plural(text, text, number, "fr").format(number=number)
    assert french == f"{number} million{'' if number < 2 else 's'} de centimes"


def test_a_context_tells_the_meanings_of_a_word_apart() -> None:
    assert translate_in_context("choice", "First", "fr") == "Première main"
    assert translate_in_context("choice", "First", "ar") == "يد أولى"
    assert translate("First", "fr") != "Première main"
    assert mark_in_context("choice", "First") == "First"


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_unknown_text_stays_as_it_is(language: Language) -> None:
    assert translate("A text of no catalogue", language) == "A text of no catalogue"
    assert translate("", language) == translate_in_context("choice", "", language) == ""


def _messages(language: str) -> Iterator[Message]:
    with po_file(language).open("rb") as source:
        return iter([message for message in read_po(source) if message.id])


def _pairs(message: Message) -> Iterator[tuple[str, str]]:
    """Each translation with its English text; all forms of a plural with that of many."""
    text = message.id[-1] if message.pluralizable else message.id
    for translation in forms(message):
        yield text, translation


def _gaps(text: str) -> set[str]:
    if PERCENT_GAP.search(text):
        return set(PERCENT_GAP.findall(text))
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _allowed(message: Message) -> set[str]:
    """The gaps that a translation may have; any form of a plural may have those of all."""
    texts = message.id if message.pluralizable else (message.id,)
    return set().union(*map(_gaps, texts))


def _lost(message: Message, text: str, translation: str) -> bool:
    """Whether a gap is missing; "one row" may leave out its number."""
    return not message.pluralizable and _gaps(translation) != _gaps(text)
