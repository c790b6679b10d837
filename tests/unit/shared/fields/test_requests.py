"""The quick way to load a car says what marshmallow's schema says, of whatever is sent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, validate

from shared.domain.errors import InvalidInput
from shared.fields.car import CAR_FIELDS, CAR_REQUEST_SCHEMA
from shared.fields.kinds.category import Category
from shared.fields.kinds.text import FoldedText
from shared.fields.requests import QuickLoader, load_car_request
from shared.messages.texts import describe

LOADER = QuickLoader(CAR_FIELDS)
EXAMPLES = {name: field.example for name, field in CAR_FIELDS.items()}
WORDS = [word for field in CAR_FIELDS.values() if isinstance(field, Category)
         for word in (*field.spellings, *field.enum)]  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**8),
    st.integers(),
    st.floats(),
    st.text(max_size=130),
    st.sampled_from([*WORDS, "", " N/A ", "25 000 km", "1,5", "2020.0", "1.6 l", "\x00", "é" * 90]),
    st.lists(st.none(), max_size=1),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)
BODIES = st.dictionaries(
    st.one_of(st.sampled_from(list(CAR_FIELDS)), st.text(max_size=8)), VALUES, max_size=6
)


def loaded_by_marshmallow(body):
    """The normal forms; None if a rule is broken."""
    try:
        return CAR_REQUEST_SCHEMA.load(body)
    except ValidationError:
        return None


def comparable(loaded):
    """Values with their types: 1, 1.0 and True are equal, and are not the same."""
    return loaded and {name: (type(value), value) for name, value in loaded.items()}


def quickly_loaded(body):
    """The normal forms, or None if a rule is broken."""
    loaded = LOADER.load(body)
    return None if loaded is None else loaded.given


@settings(max_examples=600, deadline=None)
@given(changes=BODIES, missing=st.sets(st.sampled_from(list(CAR_FIELDS)), max_size=3))
def test_verdict_and_normal_form_are_those_of_the_schema(changes, missing):
    body = {name: value for name, value in EXAMPLES.items() if name not in missing} | changes
    assert comparable(quickly_loaded(body)) == comparable(loaded_by_marshmallow(body))


@pytest.mark.parametrize("name", CAR_FIELDS)
def test_each_example_and_each_absence_is_loaded_as_by_the_schema(name):
    for value in (EXAMPLES[name], str(EXAMPLES[name]), None, "", " - ", [], True):
        body = EXAMPLES | {name: value}
        assert comparable(quickly_loaded(body)) == comparable(loaded_by_marshmallow(body))
    without = {each: value for each, value in EXAMPLES.items() if each != name}
    assert comparable(quickly_loaded(without)) == comparable(loaded_by_marshmallow(without))


@pytest.mark.parametrize(
    "option", [{"validate": validate.Length(max=3)}, {"data_key": "x"}, {"attribute": "x"}]
)
def test_a_field_with_more_than_its_own_rules_is_refused_at_once(option):
    field = FoldedText(label="x", example="x", **option)
    with pytest.raises(ValueError, match="not known here"):
        QuickLoader({"name": field})


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ({"company": "Seat Ibiza"}, "model"),
        ({"model": "Kia Picanto GT"}, "company"),
        ({"company": "Land Rover Evoque", "model": " "}, "model"),
    ],
)
def test_a_missing_name_is_told_that_the_other_one_holds_both(names, missing):
    with pytest.raises(InvalidInput) as refused:
        load_car_request({**names, "year": 2016})
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == (f"/{missing}", "names-in-one")
    given = names["company" if missing == "model" else "model"]
    assert f"« {given} »" in describe(problem, "fr")


@pytest.mark.parametrize("names", [{"company": "Seat"}, {"model": "Ibiza"}, {"company": "Qwerty"}])
def test_a_missing_name_is_only_required_if_the_other_one_holds_one(names):
    with pytest.raises(InvalidInput) as refused:
        load_car_request({**names, "year": 2016})
    assert [problem.code for problem in refused.value.problems] == ["required"]
