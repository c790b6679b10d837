"""Stored notes on rows are said again in the language of their reader."""

from itertools import permutations

import pytest

from shared.domain.files.notes import MODEL_NOTES
from shared.domain.valuation import MODEL_UNKNOWN
from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import LANGUAGES, Language
from shared.messages.row_notes import notes_in
from shared.messages.texts import (
    FIELD_MESSAGES,
    describe_model_note,
    describe_note,
    describe_warning,
)

VALUES = ("beaucoup", "", "a » b", "it's 'so'", "«قيمة»", "12 000.", "x" * 200, "\n", "a (b). c")
DIRECTIONS = list(permutations(LANGUAGES, 2))


def said(value: str, language: Language) -> list[str]:
    """Every sentence that a row may have."""
    cells = [
        describe_note(field, code, value, language)
        for field in CAR_FIELDS
        for code in FIELD_MESSAGES
    ]
    unknown = describe_warning({"pointer": "/model", "code": MODEL_UNKNOWN}, language)
    return [*cells, unknown, *(describe_model_note(*note, language) for note in MODEL_NOTES)]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("written", "wanted"), DIRECTIONS)
def test_every_sentence_is_said_in_the_wanted_language(
    value: str, written: Language, wanted: Language
) -> None:
    for before, after in zip(said(value, written), said(value, wanted), strict=True):
        assert notes_in(before, written, wanted) == (after, wanted)


@pytest.mark.parametrize(("written", "wanted"), DIRECTIONS)
def test_several_sentences_keep_their_order(written: Language, wanted: Language) -> None:
    def cell(language: Language) -> str:
        return " ".join(
            [
                describe_note("km_driven", "not-a-number", "a). b", language),
                describe_note("fuel", "misspelt", "Essance", language),
                describe_note("doors", "unknown-category", "x (got 'y').", language),
                describe_warning({"pointer": "/model", "code": MODEL_UNKNOWN}, language),
                *(describe_model_note(*note, language) for note in MODEL_NOTES),
            ]
        )

    assert notes_in(cell(written), written, wanted) == (cell(wanted), wanted)


def test_a_sentence_of_another_version_stays_in_its_language() -> None:
    known = describe_note("km_driven", "not-a-number", "x", "fr")
    text = f"{known} Phrase d'une autre version."
    assert notes_in(text, "fr", "ar") == (text, "fr")
    assert notes_in(known + "!", "fr", "ar") == (known + "!", "fr")
    assert notes_in("", "fr", "ar") == ("", "ar")
    assert notes_in(text, "fr", "fr") == (text, "fr")
