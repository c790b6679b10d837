"""Lists of cars are read by columns as their cars are read one by one."""

import random
from typing import Any

import msgpack
import pytest

from shared.domain.errors import InvalidInput
from shared.domain.lists.requests import COLUMNS_MIN_CARS, RequestList
from shared.domain.reading import Match
from shared.domain.valuation import Extra
from shared.fields.car import CAR_FIELDS
from shared.fields.lists import loading
from shared.fields.lists.loading import load_columns, load_list, load_one_by_one
from shared.fields.requests import load_car_request

NAMES = (
    ("Toyota", "Corolla"), ("toyota", "COROLLA "), ("VW", "Golf VII"), ("Dacia", "Sandeero"),
    ("Peugeot", 208), ("Peugeot", "208"), ("Xyzzy", "Plugh"), ("Renault", "Clio 4 phase 2"),
)  # fmt: skip
VALUES: dict[str, tuple[Any, ...]] = {
    "year": (2015, "2015", 2015.0, 2020),
    "fuel": ("Diesel", "diesel", "gasoil", "Disel", None, ""),
    "transmission": ("Manual", "bva", None),
    "km_driven": (0, 150, 25_000, 25_000.0, "25 000 km", "150k", 1_500_000, None, -0.0),
    "edition": ("GTD", None, " ", 16),
    "owner": ("First", None),
    "seller_type": ("Dealer", "Individual", None),
    "mileage_mpg": (40, 40.04, "6 l/100 km", None),
    "engine_cc": (1600, 1.6, "1.6 L", 1600.0, None),
    "max_power_bhp": (120, "120 ch", None),
    "fiscal_power_cv": (7, "7 CV", None),
    "city": ("Casablanca", "الدار البيضاء", "Fès", None),
    "condition": ("Good", "For parts", None),
    "origin": ("WW Morocco", "unknown words", None),
    "doors": (5, "5 et plus", None),
    "asking_price_mad": (145_000, "145.000 DH", 99_999.5, None),
}
BROKEN = (
    ("year", 1016), ("year", True), ("year", None), ("km_driven", [1]), ("km_driven", {"a": 1}),
    ("company", ""), ("model", False), ("fuel", 7), ("engine_cc", "abc"), ("doors", 4.5),
    ("company", "x" * 200), ("km_driven", float("inf")),
)  # fmt: skip


def bodies(rng: random.Random, count: int = COLUMNS_MIN_CARS) -> list[dict[str, Any]]:
    """Cars of which each field has few or many different values."""
    fields = rng.sample(sorted(VALUES), rng.randint(1, len(VALUES)))
    choices = {name: rng.sample(VALUES[name], rng.randint(1, len(VALUES[name]))) for name in fields}
    names = rng.sample(NAMES, rng.randint(1, len(NAMES)))
    cars = []
    for _ in range(count):
        company, model = rng.choice(names)
        car: dict[str, Any] = {"company": company, "model": model, "year": 2018}
        car |= {name: rng.choice(values) for name, values in choices.items()}
        for name in rng.sample(fields, min(2, len(fields))):
            if name != "year":
                del car[name]
        cars.append(car)
    if rng.random() < 0.3:
        rng.choice(cars)["colour/~"] = "red"
    if rng.random() < 0.3:
        for number, car in enumerate(cars):
            car |= {"id": number, "portes": 5}
    if rng.random() < 0.1:
        rng.choice(cars).update((f"member {number}", number) for number in range(30))
    return cars


def outcome(load, cars, extras=()):
    """What loading gives: the requests, or the problems."""
    try:
        return tuple(load(cars, extras))
    except InvalidInput as error:
        return [(each.pointer, each.code, each.params) for each in error.problems]


@pytest.mark.parametrize("seed", range(60))
def test_columns_are_read_as_cars_one_by_one(seed):
    cars = bodies(random.Random(seed))
    extras = (Extra.DEPRECIATION,) if seed % 3 == 0 else ()
    found = load_list(cars, extras)
    assert isinstance(found, RequestList)
    expected = load_one_by_one(cars, extras)
    assert repr(tuple(found)) == repr(expected)
    assert (len(found), found[-1], list(found[2:5])) == (len(cars), expected[-1], [*expected[2:5]])


@pytest.mark.parametrize("seed", range(30))
def test_a_list_in_which_rules_are_broken_has_the_problems_of_its_cars(seed):
    rng = random.Random(seed)
    cars = bodies(rng)
    for name, value in rng.sample(BROKEN, 3):
        rng.choice(cars)[name] = value
    if seed % 5 == 0:
        cars[3] = "no car"  # type: ignore[call-overload]
    if seed % 7 == 0:
        del cars[5]["year"], cars[5]["company"]
    found = outcome(load_list, cars)
    assert isinstance(found, list)
    assert found == outcome(load_one_by_one, cars)


def test_broken_names_have_the_problems_of_their_cars():
    cars: list[dict[str, Any]] = [{"company": "Toyota", "model": "Corolla", "year": 2018}] * 20
    cars[7] = {"company": "Diesel 2.0", "model": "2019", "year": 2018}
    cars[9] = {"marque": "Toyota", "model": "Corolla", "year": 2018}
    cars[11] = {"instances": [{"company": "Toyota"}]}
    assert outcome(load_list, cars) == outcome(load_one_by_one, cars)


@pytest.mark.parametrize("field", sorted(CAR_FIELDS))
def test_equal_values_of_other_types_are_not_read_alike(field):
    """True equals 1, and -0.0 equals 0.0."""
    car: dict[str, Any] = {"company": "Toyota", "model": "Corolla", "year": 2018}
    for values in ((1, True), (True, 1), (0.0, -0.0), (-0.0, 0.0, 0), (5, 5.0), (2018.0, 2018)):
        cars = [car | {field: values[number % len(values)]} for number in range(20)]
        assert repr(outcome(load_list, cars)) == repr(outcome(load_one_by_one, cars))


def test_only_values_with_a_remark_are_read_again(monkeypatch):
    """The columns alone are read, unless something is to be said of a car."""
    read = []
    real = load_car_request

    def counted(*arguments, **options):
        read.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(loading, "load_car_request", counted)
    cars: list[dict[str, Any]] = [
        {"company": "VW", "model": "Golf", "year": 2018, "km_driven": number}
        for number in range(20)
    ]
    assert load_list(cars, ())[3].match is Match.ALIAS
    load_list([car | {"fuel": "LPG", "transmission": "Manual", "id": 7} for car in cars], ())
    assert read == []
    cars[4]["fuel"] = "Disel"
    load_list(cars, ())
    assert read == [1]


@pytest.mark.parametrize("seed", range(20))
def test_stored_columns_are_read_as_they_were(seed):
    cars = bodies(random.Random(seed), count=40)
    found = load_columns(cars, (Extra.COMPARABLES,))
    assert found is not None
    wire = msgpack.unpackb(msgpack.packb(found.to_wire() | {"of a newer version": 1}))
    assert repr(tuple(RequestList.from_wire(wire))) == repr(tuple(found))


def test_columns_of_a_newer_version_are_refused_if_they_cannot_be_understood():
    stored = load_columns(
        [{"company": "Kia", "model": "Rio", "year": 2018, "fuel": "LPG"}] * 16, ()
    )
    assert stored is not None
    wire = stored.to_wire()
    assert len(RequestList.from_wire(wire | {"cars": wire["cars"] | {"tyres": [4]}})) == 16
    with pytest.raises(ValueError, match="Hydrogen"):
        RequestList.from_wire(wire | {"cars": wire["cars"] | {"fuel": ["Hydrogen"]}})
    with pytest.raises(ValueError, match="15 values of 16"):
        RequestList.from_wire(wire | {"cars": wire["cars"] | {"year": [2018] * 15}})


@pytest.mark.parametrize("member", ["kilometrage", "carburant"])
def test_another_name_of_a_field_that_is_missing_is_refused(member):
    """The price would be that of a car that lacks the field."""
    cars: list[dict[str, Any]] = [{"company": "Toyota", "model": "Corolla", "year": 2018}] * 20
    cars[7] = {**cars[7], member: "5"}
    found = outcome(load_list, cars)
    assert [problem[:2] for problem in found] == [(f"/7/{member}", "misnamed-member")]
    assert found == outcome(load_one_by_one, cars)
