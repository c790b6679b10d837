"""Languages by tag, and numbers as each language writes them."""

import pytest
from babel.numbers import format_decimal

from shared.i18n.languages import (
    LANGUAGES,
    Language,
    as_language,
    direction,
    stored_language,
)
from shared.i18n.numbers import MINUS, group, sign

LOCALES: dict[Language, str] = {"fr": "fr", "ar": "ar_MA", "en": "en"}


@pytest.mark.parametrize(
    ("tag", "language"),
    [("ar", "ar"), ("ar-MA", "ar"), ("AR_ma", "ar"), ("fr-CA", "fr"), ("EN", "en"), ("de", None),
     ("ary", "ar"), ("ary-Arab-MA", "ar"), ("arz-EG", "ar"), ("arb", "ar"), ("ARA", "ar"),
     ("fr-MA", "fr"), ("en-GB", "en"), ("fra", "fr"), ("eng", "en"), ("arn", None), ("frr", None),
     ("zgh-MA", None), ("", None), ("-", None)],
)  # fmt: skip
def test_a_tag_names_a_language(tag: str, language: Language | None) -> None:
    assert as_language(tag) == language
    assert stored_language(tag) == (language or "fr")


def test_only_arabic_is_written_from_right_to_left() -> None:
    assert {language: direction(language) for language in LANGUAGES} == {
        "fr": "ltr", "ar": "rtl", "en": "ltr",
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("number", [0, 7, 999, 1000, 187_300, 1_234_567.5])
def test_numbers_are_those_of_the_locale(language: Language, number: float) -> None:
    decimals = 0 if isinstance(number, int) else 1
    expected = format_decimal(number, locale=LOCALES[language])
    assert group(number, decimals, language) == expected


def test_a_sign_stays_to_the_left_of_its_number_in_arabic() -> None:
    assert sign(-5, "ar") == f"\u200e{MINUS}"
    assert sign(5, "ar", signed=True) == "\u200e+"
    assert (sign(-5, "fr"), sign(5, "fr"), sign(0, "en", signed=True)) == (MINUS, "", "")
