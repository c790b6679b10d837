"""Slips in words of fuels and gearboxes, and words around a distance, are understood."""

import pytest
from marshmallow import ValidationError

from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds.category import Category
from shared.fields.requests import load_car_request
from shared.messages.texts import describe_note, describe_warning


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("fuel", "Essnce", "Petrol"),
        ("fuel", "Dieesel", "Diesel"),
        ("fuel", "gazoile", "Diesel"),
        ("fuel", "Hybrdie", "Hybrid"),
        ("fuel", "essense + GPL", "LPG"),
        ("transmission", "Manuellle", "Manual"),
        ("transmission", "boîte automatque", "Automatic"),
    ],
)
def test_a_wrong_letter_in_a_long_word_is_corrected_and_noted(field, text, value):
    assert CAR_FIELDS[field].read_with_code(text) == (value, "misspelt")
    assert CAR_FIELDS[field].deserialize(text) == value
    category = CAR_FIELDS[field]
    assert isinstance(category, Category)
    assert not category.is_unknown(text)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("fuel", "esance"),  # two letters
        ("fuel", "gpk"),
        ("fuel", "hydrogene"),
        ("transmission", "mensuel"),
        ("transmission", "autp"),
        ("condition", "excellemt"),
    ],
)
def test_other_words_are_not_corrected(field, text):
    assert CAR_FIELDS[field].read_with_code(text) == (None, "unknown-category")


def test_the_note_says_what_a_slip_was_read_as():
    body = {"company": "Kia", "model": "Rio", "year": 2017, "fuel": "dieseel", "km_driven": 9e4}
    request = load_car_request({**body, "transmission": "manuel"})
    assert (request.car.fuel, len(request.warnings)) == ("Diesel", 1)
    assert describe_warning(request.warnings[0], "fr").endswith("lu comme Diesel.")
    assert describe_warning(request.warnings[0], "en").endswith("read as Diesel.")
    values, errors, notes = ColumnValidator().validate({"fuel": ["Essance", "Essence"]})
    assert (values["fuel"], errors) == (["Petrol", "Petrol"], [])
    assert [(note.row, note.code) for note in notes] == [(0, "misspelt")]
    assert "« Essance » lu comme Essence" in describe_note("fuel", "misspelt", "Essance", "fr")
    assert "'Essance' was read as Petrol" in describe_note("fuel", "misspelt", "Essance", "en")


@pytest.mark.parametrize("text", ["مازوط", "المازوط", "مازوت"])
def test_diesel_has_its_moroccan_names(text):
    assert CAR_FIELDS["fuel"].read_with_code(text) == ("Diesel", None)


@pytest.mark.parametrize(
    ("text", "distance"),
    [
        ("87 000 km au compteur", 87_000),
        ("87 000 km (certifiés)", 87_000),
        ("87.000 km réel", 87_000),
        ("kilométrage réel : 87 000", 87_000),
        ("compteur : 87000 km", 87_000),
        ("87 000 km d'origine, garantis", 87_000),
        ("80 000 - 89 999 km réels", 85_000),
        ("٨٧٠٠٠ كم حقيقية", 87_000),
        ("50 000 miles only", 80_467),
    ],
)
def test_words_around_a_distance_do_not_change_it(text, distance):
    assert CAR_FIELDS["km_driven"].read(text) == distance


@pytest.mark.parametrize(
    "text",
    [
        "87 000 km non certifié",
        "87 000 km, compteur changé",
        "87 000 km pas réels",
        "87 réels mois",
    ],
)
def test_words_that_deny_a_distance_leave_it_unread(text):
    with pytest.raises(ValidationError, match="not-a-number"):
        CAR_FIELDS["km_driven"].read(text)
