"""Ids and folded text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.ids import ID_LENGTH, is_id, new_id
from shared.domain.names import (
    ARABIC_BRANDS,
    ARABIC_MODELS,
    FuzzyNameIndex,
    canonical_brand,
    fold,
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
    ("written", "brand"),
    [
        ("range rover", "land rover"),
        ("peugot", "peugeot"),
        ("mercedess", "mercedes benz"),
        ("hyunday", "hyundai"),
        ("renualt", "renault"),
        ("mini cooper", "mini"),
        ("kin", "kin"),
        ("lynk co", "lynk co"),
        ("nobody", "nobody"),
    ],
)
def test_brands_have_one_name(written, brand):
    assert canonical_brand(written) == brand


def test_a_slip_is_forgiven_only_where_one_name_is_near():
    near = FuzzyNameIndex(["corsa", "astra", "corna", "x trail", "serie3"])
    assert near.find("astrra") == "astra"
    assert near.find("corba") is None, "two names are as near"
    assert near.find("serie4") is None, "a digit is no slip"
    assert near.find("") is None
    assert near.find("a" * 10_000) is None


def test_spellings_of_one_name_fold_together():
    assert fold("Citroën  C-4") == fold("citroen c4 ".replace("c4", "c 4"))
    assert canonical_brand(fold("Mercedes")) == canonical_brand(fold("MERCEDES-BENZ"))
