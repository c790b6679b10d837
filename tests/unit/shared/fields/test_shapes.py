"""A body of another shape is refused with what to do, and never read as a car without fields."""

import pytest

from shared.domain.errors import InvalidInput
from shared.fields.requests import load_car_request
from shared.i18n.languages import LANGUAGES
from shared.messages.texts import describe, describe_warning

OTHER_CAR = {
    "company": "Seat", "model": "Ibiza", "year": 2017, "fuel": "Petrol",
    "transmission": "Manual", "km_driven": 83_500,
}  # fmt: skip


def problems_of(body, pointer=""):
    with pytest.raises(InvalidInput) as error:
        load_car_request(body, pointer=pointer)
    for problem in error.value.problems:
        assert all(describe(problem, language) for language in LANGUAGES)
    return {each.pointer: each for each in error.value.problems}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"instances": [OTHER_CAR, OTHER_CAR]}, "/instances"),
        ({"inputs": [OTHER_CAR]}, "/inputs"),
        ({"inputs": {"company": ["Seat"], "model": ["Ibiza"]}}, "/inputs"),
        ({"data": OTHER_CAR}, "/data"),
        ({"parameters": {"n": 1}, "records": [["Seat", "Ibiza"]]}, "/records"),
        ({"a/b": [OTHER_CAR]}, "/a~1b"),
    ],
)
def test_an_object_around_cars_is_refused_as_such(body, pointer):
    problems = problems_of(body)
    assert {place: each.code for place, each in problems.items()} == {pointer: "wrapped-cars"}
    assert "POST /jobs" in describe(problems[pointer], "en")


@pytest.mark.parametrize("body", [[], [OTHER_CAR], [[1, 2]]])
def test_a_list_is_sent_to_the_route_that_takes_lists(body):
    assert "POST /jobs" in describe(problems_of(body)[""], "en")
    assert problems_of(body, "/3")["/3"].code == "not-an-object"


@pytest.mark.parametrize(
    "names",
    [
        ("Constructeur", "Modele", "Année", "Énergie", "boite_de_vitesses", "KMs"),
        ("COMPANY", "Model", "year", "Fuel", "TRANSMISSION", "kmDriven"),
        ("brand", "carModel", "modelYear", "fuelType", "GearBox", "odometer"),
        ("compagny", "model", "year", "fuel", "transmision", "kms_driven"),
    ],
)
def test_each_member_of_another_name_is_named_with_the_right_one(names):
    body = dict(zip(names, OTHER_CAR.values(), strict=True))
    problems = problems_of(body)
    wrong = {f"/{name}" for name, right in zip(names, OTHER_CAR, strict=True) if name != right}
    assert set(problems) == wrong
    for name, right in zip(names, OTHER_CAR, strict=True):
        if name != right:
            assert right in describe(problems[f"/{name}"], "fr")


def test_what_is_missing_is_named_beside_what_has_another_name():
    problems = problems_of({"Marque": "Seat", "year": 2017})
    assert problems["/Marque"].code == "misnamed-member"
    assert problems["/model"].code == "required"
    assert "/company" not in problems


@pytest.mark.parametrize("name", ["mileage", "Kilometrage", "KM"])
def test_a_price_never_ignores_a_mileage_of_another_name(name):
    body = {field: value for field, value in OTHER_CAR.items() if field != "km_driven"}
    assert problems_of(body | {name: 310_000})[f"/{name}"].code == "misnamed-member"


def test_a_complete_car_may_have_other_members_and_is_told_what_they_may_mean():
    body = OTHER_CAR | {"Ville": "Agadir", "prix": 90_000, "Marque": "Seat", "colour": "red"}
    warnings = {each["pointer"]: each for each in load_car_request(body).warnings}
    assert "asking_price_mad" in describe_warning(warnings["/prix"], "en")
    assert "city" in describe_warning(warnings["/Ville"], "en")
    assert warnings["/Marque"]["code"] == warnings["/colour"]["code"] == "unknown-field"


def test_a_large_body_of_unknown_members_is_refused_like_a_small_one():
    body = {f"member_{number}": number for number in range(2_000)}
    assert "/company" in problems_of(body)
