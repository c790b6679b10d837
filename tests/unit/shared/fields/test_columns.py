"""A file's columns mean the same fields, and its cells get the same verdict, as a JSON body."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.car import FIELD_NAMES
from shared.domain.errors import InvalidInput
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds import Category
from shared.fields.requests import load_car_request

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
            "", "-", "N/A", "nan", "NaN", "inf", "1e3", "1e400", "é" * 200, "2020.0", "٢٠٢٠",
        ]
    ),
)  # fmt: skip


def json_verdict(name: str, cell: str) -> tuple[Any, set[str]]:
    """What the JSON body's schema says of one text in one field."""
    body = GOOD | {name: cell}
    try:
        car = load_car_request(body).car
    except InvalidInput as error:
        return None, {problem.code for problem in error.problems}
    return getattr(car, name), set()


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(FIELD_NAMES), cells=st.lists(CELLS, min_size=1, max_size=8))
def test_a_cell_gets_the_verdict_and_the_normal_form_of_the_same_text_in_json(
    name: str, cells: list[str]
) -> None:
    validator = ColumnValidator()
    for _ in range(2):  # the second time from memory
        values, errors = validator.validate({name: cells})
        for row, cell in enumerate(cells):
            value, codes = json_verdict(name, cell)
            assert values[name][row] == value
            assert type(values[name][row]) is type(value)
            assert {error.code for error in errors if error.row == row} == codes


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
        values, errors = validator.validate({"km_driven": [*cells, "?"]})
        assert values["km_driven"] == [*range(start, start + 20), None]
        assert [(error.row, error.code) for error in errors] == [(20, "not-a-number")]
