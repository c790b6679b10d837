"""Ids and folded text."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.ids import ID_LENGTH, is_id, new_id
from shared.domain.names import (
    ARABIC_BRANDS,
    ARABIC_MODELS,
    clean_text,
    fold,
    fold_name,
    fold_script,
)


def test_ids_are_unique_and_sort_by_time():
    ids = [new_id(now_s=1_700_000_000 + second) for second in range(1000)]
    assert ids == sorted(ids)
    assert len({new_id(1.0) for _ in range(1000)}) == 1000
    assert all(is_id(each) for each in ids)


def test_what_is_no_id_is_recognised():
    good = new_id()
    assert not is_id(good[:-1])
    assert not is_id(good + "0")
    assert not is_id("u" * ID_LENGTH)  # u is left out of the alphabet
    assert not is_id(good.upper())


@given(st.text())
def test_folding_is_idempotent(text):
    assert fold(fold(text)) == fold(text)


LATIN_LETTERS = [chr(code) for code in range(0x80, 0x2100) if chr(code).isalpha()]


@given(st.text(st.sampled_from([*LATIN_LETTERS, *"aZ1 ²\u2019…€«\u0301\u0345\u00a0"])))
def test_letters_lose_their_accents_as_unicode_decomposes_them(text):
    plain = clean_text(text)
    for _ in range(2):
        plain = unicodedata.normalize("NFKD", plain.casefold())
    expected = "".join(letter for letter in plain if not unicodedata.combining(letter))
    assert fold(text) == " ".join(re.findall("[a-z0-9]+", expected))


@given(st.text(st.sampled_from([chr(code) for code in range(0x20, 0x180)])))
@example("10²")
def test_only_what_cannot_be_seen_is_removed_from_latin_text(text):
    """A soft hyphen anywhere changes nothing, although other code cleans such a text."""
    assert clean_text(text + "\N{SOFT HYPHEN}") == clean_text(text)


def test_capitals_of_other_shapes_are_letters_too():
    assert fold("\N{MATHEMATICAL BOLD CAPITAL A}udi") == "audi"
    assert fold_script("\N{MATHEMATICAL BOLD CAPITAL A}udi") == "audi"


@given(st.text())
def test_folding_in_other_letters_is_idempotent(text):
    assert fold_script(fold_script(text)) == fold_script(text)


def test_arabic_names_stand_as_they_are_folded():
    for names in (ARABIC_BRANDS, ARABIC_MODELS):
        assert [fold_script(name) for name in names] == list(names)
    assert fold_script("داسِيـا ") == "داسيا"


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Polo 1,4 TDI", "polo 1.4 tdi"),
        ("Ibiza 1.2TSI, 5 portes", "ibiza 1.2 tsi 5 portes"),
        ("307.0", "307"),
        ("3.008", "3 008"),
        ("ID.3", "id 3"),
        ("Golf+", "golf plus"),
        ("c e e ' d", "c e e d"),
        ("Go\u200blf", "golf"),
        ("داسيا Logan ٢", "داسيا logan 2"),
        ("تويوتة", "تويوته"),
        ("...", ""),
    ],
)
def test_names_keep_decimals_and_letters_of_other_scripts(written, folded):
    assert fold_name(written) == folded


@given(st.text())
def test_folding_names_is_idempotent(text):
    assert fold_name(fold_name(text)) == fold_name(text)


def test_spellings_of_one_name_fold_together():
    assert fold("Citroën  C-4") == fold("citroen c4 ".replace("c4", "c 4"))


def test_signs_of_trade_marks_are_no_letters() -> None:
    assert clean_text("Ibiza\N{TRADE MARK SIGN}") == "Ibiza"
    assert clean_text("Seat\N{REGISTERED SIGN} Leon\N{SERVICE MARK}") == "Seat Leon"
