"""Texts are found in the cells of rows, whatever their case, accents and quotation."""

import csv
import io
import unicodedata
from typing import Literal

import pytest

from shared.domain.text_search import TextQuery

Form = Literal["NFC", "NFD"]
ROW = (
    "A-1", "Citroën", "ŠKODA \u2013 Œuvre", "98\u202f500", 'dit "le rouge"', "a;b\nc",
    "سيّارة أوتوماتيكية", "=1+1", "hidden",
)  # fmt: skip
SHOWN = range(len(ROW) - 1)


def record(cells=ROW, delimiter=";") -> bytes:
    """A row of results."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


@pytest.mark.parametrize(
    "text",
    [
        "citroen", "CITROËN", "skoda", "Škoda", "98 500", "98\u00a0500", 'dit "LE', "a;b", "b\nc",
        "اوتوماتيكيه", "=1+1", "œuvre", "-1", "\u2013 o",
    ],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_text_is_found_in_its_cell(text: str, delimiter: str) -> None:
    assert TextQuery(text, delimiter, SHOWN).is_in(record(delimiter=delimiter))
    # Without quotation marks in the row, too.
    alone = [cell for cell in ROW if text in cell]
    if alone:
        row = record(["x", *alone[:1], "y"], delimiter)
        assert TextQuery(text, delimiter, {1}).is_in(row)
        assert not TextQuery(text, delimiter, {0, 2}).is_in(row)


@pytest.mark.parametrize("text", ["hidden", "A-1;Citro", "citroen;", "zzz", '""', "漢"])
def test_other_cells_and_what_stands_between_cells_are_no_text(text: str) -> None:
    assert not TextQuery(text, ";", SHOWN).is_in(record())
    assert not TextQuery(text, ";", {0, 1}).is_in(record(["A-1", "Citroën", "hidden"]))


@pytest.mark.parametrize("text", ["citroen", "zzz", "a b", "٢", '"b', "c3"])
def test_rows_are_searched_together_as_one_by_one(text: str) -> None:
    rows = [record(["x", cell, "citroen"]) for cell in ("Citroën", "A;B", 'a "b"', "٢", "", "C3")]
    query = TextQuery(text, ";", {0, 1})
    assert query.in_lines(b"".join(rows)) == [query.is_in(row) for row in rows]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("Témara", "témara"),
        ("Mégane E-TECH", "MEGANE"),
        ("Œuvre", "oeuvre"),
        ("Soeur", "sœur"),
        ("Cæsar", "caesar"),
        ("Straße", "strasse"),
        ("70 000 €", "000 €"),
        ("Prix ?", "x ?"),
        ("سيّارة", "سيارة"),
        ("آخر", "اخر"),
        ("مـــراكش", "مراكش"),
        ("ⵜⴰⵎⴰⵣⵉⵖⵜ Dacia", "dacia"),
        ("Łódź № 7", "lodz № 7"),
        ("ΔΩ ώ", "δω ω"),
        ("Tan\u0303a \u1ea5", "tana \u1ea5"),
        ("a\u00ad\u200bb", "ab"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("query_form", ["NFC", "NFD"])
def test_composed_and_decomposed_texts_are_the_same(
    cell: str, text: str, form: Form, query_form: Form
) -> None:
    row = record(["x", unicodedata.normalize(form, cell), "y"])
    query = TextQuery(unicodedata.normalize(query_form, text), ";", {1})
    assert query.is_in(row)
    assert query.in_lines(row + b"a;b;c\n" + row) == [True, False, True]
    assert not TextQuery(f"{text}z", ";", {1}).is_in(row)


@pytest.mark.parametrize("text", ["?", "€", "№", "\x01", "\u0301", "日", "0\u20ac", "."])
def test_a_character_is_no_other_one(text: str) -> None:
    rows = [record(["x", cell]) for cell in ("£ 20 µ", "Été", "漢字")]
    query = TextQuery(text, ";", {0, 1})
    assert [query.is_in(row) for row in rows] == [False] * 3
    assert query.in_lines(b"".join(rows)) == [False] * 3


def test_characters_without_a_place_in_the_alphabet_are_found_as_they_are() -> None:
    assert TextQuery("٢٠١٩", ";", {0, 1}).is_in("سنة ٢٠١٩;x\n".encode())
    assert not TextQuery("٢٠٢٠", ";", {0, 1}).is_in("سنة ٢٠١٩;x\n".encode())
    assert TextQuery("ⵜⴰ", ";", {1}).is_in("x;ⵜⴰⵎⴰⵣⵉⵖⵜ\n".encode())


def test_a_text_that_comes_first_in_another_cell_is_found_in_its_own() -> None:
    assert TextQuery("golf", ";", {1}).is_in(b"golf;golf\n")
    assert not TextQuery("golf", ";", {2}).is_in(b"golf;golf;polo\n")
