"""A file's columns mean the same fields, and its cells get the same verdict, as a JSON body."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from shared.domain.car import FIELD_NAMES, REQUIRED_FIELDS, Condition
from shared.fields.car import CAR_FIELDS, CAR_REQUEST_SCHEMA
from shared.fields.columns import READ_CODES, ColumnValidator
from shared.fields.kinds.category import Category

GOOD = {
    "company": "Toyota", "model": "Corolla", "year": "2020", "fuel": "Essence",
    "transmission": "Manuelle", "km_driven": "25 000 km",
}  # fmt: skip

CELLS = st.one_of(
    st.text(max_size=50),
    st.from_regex(r"[+-]?\d{1,7}([.,]\d{1,3})?( ?(km|cv|DH|cc|ch))?", fullmatch=True),
    st.from_regex(r"\d{1,3}([. ']\d{3}){1,2}(,\d{2})?", fullmatch=True),
    st.from_regex(r"\d{1,2}([.,]\d{1,3})? ?([lL]|litres?)?\.?", fullmatch=True),
    st.from_regex(r"\d{4}-\d\d(-\d\d)?( 00:00:00)?", fullmatch=True),
    st.from_regex(r"\d{1,2}[/.-]\d\d[/.-]20[0-3]\d", fullmatch=True),
    st.sampled_from(
        [
            *(c for f in CAR_FIELDS.values() if isinstance(f, Category) for c in f.spellings),
            "", "-", "N/A", "nan", "n.c.", "Autre", "#REF!", "Plus de 300 000", "51,000 mi.",
            "66 kW", "17.6@ 4300(kgm@ rpm)", "7,1 l/100 km", "12 500 €", "14 millions", "mars 2019",
            "NaN", "inf", "1e3", "1e400", "é" * 200, "2020.0", "٢٠٢٠",
        ]
    ),
)  # fmt: skip


def json_verdict(name: str, cell: str) -> tuple[Any, set[str]]:
    """What the JSON body's schema says of one text in one field."""
    body = GOOD | {name: cell}
    try:
        loaded = CAR_REQUEST_SCHEMA.load(body)
    except ValidationError as error:
        return None, {code for codes in error.normalized_messages().values() for code in codes}
    return loaded[name], set()


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(FIELD_NAMES), cells=st.lists(CELLS, min_size=1, max_size=8))
def test_a_cell_gets_the_verdict_and_the_normal_form_of_the_same_text_in_json(
    name: str, cells: list[str]
) -> None:
    validator = ColumnValidator()
    for _ in range(2):  # the second time from memory
        values, errors, notes = validator.validate({name: cells})
        assert not (errors if name not in REQUIRED_FIELDS else notes)
        for row, cell in enumerate(cells):
            value, codes = json_verdict(name, cell)
            assert values[name][row] == value
            assert type(values[name][row]) is type(value)
            found = {error.code for error in errors if error.row == row}
            found |= {note.code for note in notes if note.row == row}
            if name in {"company", "model"} and codes == {"required"}:
                codes = set()
            # JSON warns of what a file notes: a word (unknown, without prices), a unit, a range.
            assert found - codes <= {"unknown-category", "unpriced", "converted", "open-range"}
            assert codes <= found
            assert validator.normalize(name, cell) == (value, next(iter(found), None))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(list(CAR_FIELDS)), cell=CELLS)
def test_the_normal_form_of_a_cell_is_read_as_itself(name: str, cell: str) -> None:
    validator = ColumnValidator()
    value, _ = validator.normalize(name, cell)
    if value is not None:
        assert validator.normalize(name, str(value)) == (value, None)


def test_only_cells_of_required_fields_are_errors() -> None:
    values, errors, notes = ColumnValidator().validate(
        {
            "year": ["2015", "hier", ""],
            "fuel": ["Diesel", "charbon", ""],
            "km_driven": ["80 000", "beaucoup", "31 miles"],
            "asking_price_mad": ["9 000 €", "", "95 000 DH"],
        }
    )
    assert [tuple(error) for error in errors] == [
        (1, "year", "not-a-number"),
        (2, "year", "required"),
    ]
    assert {tuple(note) for note in notes} == {
        (1, "fuel", "unknown-category"),
        (1, "km_driven", "not-a-number"),
        (2, "km_driven", "converted"),
        (0, "asking_price_mad", "foreign-currency"),
    }
    assert values["km_driven"] == [80_000, None, 50]
    assert [note.code in READ_CODES for note in notes] == [
        values[note.field][note.row] is not None for note in notes
    ]


def test_a_blank_brand_or_model_is_no_error_since_the_other_may_hold_both() -> None:
    values, errors, notes = ColumnValidator().validate(
        {"company": ["", "\\N"], "model": ["?", "Up"]}
    )
    assert values == {"company": [None, None], "model": [None, "up"]}
    assert not errors
    assert not notes


def test_the_unit_of_a_column_holds_for_numbers_without_one() -> None:
    validator = ColumnValidator(units={"km_driven": "miles", "max_power_bhp": "kW"})
    values, _, notes = validator.validate(
        {"km_driven": ["10000", "10 000 km", "10k"], "max_power_bhp": ["100", "100 bhp", ""]}
    )
    assert values["km_driven"] == [16_093, 10_000, 16_093]
    assert values["max_power_bhp"] == [134.1, 100.0, None]
    assert not notes
    assert dict(validator.units) == {"km_driven": "miles", "max_power_bhp": "kW"}


def test_beside_decimal_commas_a_dot_only_groups() -> None:
    cells = {"engine_cc": ["1.600", "1.598,5", "1600"]}
    assert ColumnValidator(",").validate(cells)[0]["engine_cc"] == [1600.0, 1598.5, 1600.0]
    assert ColumnValidator("auto").validate(cells)[0]["engine_cc"] == [1600.0, 1598.5, 1600.0]


def test_beside_decimal_points_a_comma_only_groups() -> None:
    cells = {"engine_cc": ["1,600", "1,598.5"]}
    assert ColumnValidator(".").validate(cells)[0]["engine_cc"] == [1600.0, 1598.5]


def test_what_is_remembered_of_a_column_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.fields.columns.MEMO_MAX_VALUES", 10)
    validator = ColumnValidator()
    for start in range(0, 100, 20):
        cells = [str(number) for number in range(start, start + 20)]
        values, _, notes = validator.validate({"km_driven": [*cells, "many"]})
        assert values["km_driven"] == [*range(start, start + 20), None]
        assert [(note.row, note.code) for note in notes] == [(20, "not-a-number")]


def test_a_condition_that_is_priced_as_another_is_kept_and_noted() -> None:
    values, errors, notes = ColumnValidator().validate({"condition": ["Bon", "Pour pièces"]})
    assert values == {"condition": [Condition.GOOD, Condition.FOR_PARTS]}
    assert (errors, [(note.row, note.code) for note in notes]) == ([], [(1, "unpriced")])
