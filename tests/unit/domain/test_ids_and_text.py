"""Ids and folded text."""

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.brands import canonical_brand
from shared.domain.ids import ID_LENGTH, is_id, new_id
from shared.domain.text import fold


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


def test_spellings_of_one_name_fold_together():
    assert fold("Citroën  C-4") == fold("citroen c4 ".replace("c4", "c 4"))
    assert canonical_brand(fold("Mercedes")) == canonical_brand(fold("MERCEDES-BENZ"))
