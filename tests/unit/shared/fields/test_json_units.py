"""A JSON object in place of a number is refused with what to write instead."""

import pytest

from shared.domain.errors import InvalidInput
from shared.fields.requests import load_car_request
from shared.messages.texts import describe

CAR = {"company": "Seat", "model": "Leon", "year": 2016}


@pytest.mark.parametrize(
    ("field", "value", "example"),
    [
        ("km_driven", {"value": 5, "unit": "mi"}, "'25000 km'"),
        ("asking_price_mad", {"amount": 90000, "currency": "EUR"}, "'145000 MAD'"),
        ("max_power_bhp", {"value": 77, "unit": "kW"}, "'120 bhp'"),
        ("engine_cc", {}, "'1600 cc'"),
    ],
)
def test_an_object_with_a_unit_is_refused_with_an_example(
    field: str, value: object, example: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        load_car_request({**CAR, field: value})
    (problem,) = refused.value.problems
    assert (problem.code, problem.pointer) == ("object", f"/{field}")
    assert example in describe(problem, "en")
    assert "un texte avec son unité" in describe(problem, "fr")


def test_the_text_that_the_refusal_proposes_is_accepted() -> None:
    car = load_car_request({**CAR, "km_driven": "5 mi", "max_power_bhp": "77 kW"}).car
    assert (car.km_driven, car.max_power_bhp) == (8, 103.3)
