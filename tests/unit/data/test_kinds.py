"""Fuels and gearboxes by model: what is published, what follows from it, and bounds of prices."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.hedonic.model import SEPARATOR, YEARS, HedonicModel, split_vehicle
from data.hedonic.predictor import HedonicPredictor
from data.listings.table import listing_table
from data.market.distributions import MIN_CELL_COUNT
from data.market.kinds import (
    known_vehicles,
    listed_kinds,
    measure_kind_shares,
    measure_kinds,
    new_car_kinds,
)
from data.market.new_cars import NewCarLevel, NewCars
from data.market.reference import ReferenceMarket
from shared.domain.car import Fuel, Transmission

MARKET = ReferenceMarket.load()
LEVELS = MARKET.new_cars.levels
FIRST_RISING_YEAR = 1998


@pytest.fixture(scope="module")
def price_model() -> HedonicModel:
    return MARKET.price_model


def listings(rows: int = 400) -> pd.DataFrame:
    """Koleos that were manual until 2013 and automatic since 2017, and nine petrol ones."""
    rng = np.random.default_rng(3)
    new = rng.random(rows) < 0.6
    year = np.where(new, rng.integers(2017, 2023, rows), rng.integers(2008, 2014, rows))
    fuel = np.where(np.arange(rows) < 9, "Petrol", "Diesel")
    return listing_table(
        {
            "company": ["renault"] * rows,
            "model": ["koleos"] * rows,
            "year": year.tolist(),
            "fuel": fuel.tolist(),
            "transmission": np.where(new, "Automatic", "Manual").tolist(),
            "price_mad": [150_000.0] * rows,
        }
    )


def test_every_published_figure_is_based_on_ten_listings_or_more() -> None:
    rows = [row for group in MARKET.kinds.values() for row in group.values()]
    assert len(MARKET.kinds) > 300
    assert min(row[0] for row in rows) >= MIN_CELL_COUNT
    assert all(row[1:] == sorted(row[1:]) for row in rows)
    assert min(row[0] for row in measure_kinds(listings())["renault|koleos"].values()) >= 10


def test_the_kinds_of_each_year_follow_from_what_is_published() -> None:
    table = listings()
    found = listed_kinds(measure_kinds(table), {})["renault|koleos"]
    assert set(found) >= {"Diesel|Automatic", "Diesel|Manual"}
    for year in (2009, 2012, 2018, 2021):
        of_year = table[table["year"] == year]
        for kind, other in (("Automatic", "Manual"), ("Manual", "Automatic")):
            expected = (of_year["transmission"] == kind).mean()
            counts = [found[f"Diesel|{each}"].get(str(year), 0.0) for each in (kind, other)]
            assert counts[0] / sum(counts) == pytest.approx(expected, abs=0.03)
    total = sum(sum(years.values()) for years in found.values())
    assert total == pytest.approx(len(table), abs=9.1)
    petrol = sum(sum(years.values()) for kind, years in found.items() if kind.startswith("Petrol"))
    assert petrol <= 9.01, "less than ten are not published, but known to be left"


def seldom_listed() -> pd.DataFrame:
    """Twelve RX, half of them hybrid, and of its brand forty automatic diesels."""
    fuels = ["Diesel"] * 40 + ["Hybrid", "Petrol"] * 6
    return listing_table(
        {
            "company": ["lexus"] * len(fuels),
            "model": ["ls"] * 40 + ["rx"] * 12,
            "year": [2015] * 40 + [2004, 2004, 2005, 2005, 2019, 2019] * 2,
            "fuel": fuels,
            "transmission": ["Automatic"] * len(fuels),
            "price_mad": [300_000.0] * len(fuels),
        }
    )


def test_a_model_that_is_seldom_listed_has_its_own_kinds() -> None:
    """No kind of it has ten listings: it had the kinds of the market, mostly diesel."""
    table = seldom_listed()
    kinds, shares = measure_kinds(table), measure_kind_shares(table)
    assert shares == {"lexus|rx": {"Hybrid|Automatic": [12, 0.5], "Petrol|Automatic": [12, 0.5]}}
    found = listed_kinds(kinds, shares)["lexus|rx"]
    totals = {kind: sum(years.values()) for kind, years in found.items()}
    assert totals == pytest.approx({"Hybrid|Automatic": 6.0, "Petrol|Automatic": 6.0}, abs=0.1)
    assert "lexus|rx" in known_vehicles(kinds, NewCars(), shares)
    assert "lexus|rx" not in known_vehicles(kinds, NewCars(), {})


@pytest.mark.parametrize(
    ("petrol", "diesel", "expected"),
    [
        (1, 9, {"Diesel"}),
        (2, 10, set()),
        (3, 9, {"Diesel", "Petrol"}),
        (3, 6, set()),
        (3, 60, {"Petrol"}),
        (3, 300, set()),
    ],
)
def test_shares_are_published_of_ten_cars_or_more_and_never_of_one_or_two(
    petrol: int, diesel: int, expected: set[str]
) -> None:
    """Kinds with ten have a count of their own; shares that round to nothing are left out."""
    table = listings(petrol + diesel)
    table["transmission"] = "Manual"
    table["fuel"] = ["Petrol"] * petrol + ["Diesel"] * diesel
    shares = measure_kind_shares(table).get("renault|koleos", {})
    assert set(shares) == {f"{fuel}|Manual" for fuel in expected}
    for count, share in shares.values():
        assert count == petrol + diesel >= MIN_CELL_COUNT
        assert round(share * count) < MIN_CELL_COUNT


def test_the_published_kinds_are_those_of_the_listings() -> None:
    assert MARKET.kind_shares["lexus|rx"] == {
        "Hybrid|Automatic": [12, 0.5], "Petrol|Automatic": [12, 0.5],
    }  # fmt: skip
    known = known_vehicles(MARKET.kinds, NewCars(), MARKET.kind_shares)
    assert len(known & set(MARKET.hedonic.vehicle_years)) >= 345
    for group, rows in MARKET.kind_shares.items():
        stated = MARKET.kinds[group]["|"][0]
        for kind, (count, share) in rows.items():
            assert count == stated >= MIN_CELL_COUNT
            assert kind not in MARKET.kinds[group]
            assert 0.02 <= share <= 0.9


def test_no_car_has_a_gearbox_for_which_the_published_counts_leave_no_listing() -> None:
    found = listed_kinds(MARKET.kinds, MARKET.kind_shares)
    vehicles = known_vehicles(MARKET.kinds, NewCars(), MARKET.kind_shares)
    assert len(vehicles) > 250
    for vehicle in vehicles:
        rows = MARKET.kinds[vehicle]
        halves = {gearbox: rows.get(f"|{gearbox}", [0])[0] for gearbox in Transmission}
        for gearbox, published in halves.items():
            if not any(halves.values()):
                continue
            expected = published or rows["|"][0] - sum(halves.values())
            kinds = [years for kind, years in found[vehicle].items() if kind.endswith(gearbox)]
            count = sum(sum(years.values()) for years in kinds)
            assert count == pytest.approx(expected, rel=0.02, abs=0.8), (vehicle, gearbox)


def test_new_cars_count_as_listings_of_their_fuels() -> None:
    levels = {
        "xpeng|g6": NewCarLevel(versions=4, level_mad=553_000, fuel="Electric"),
        "new|cheap": NewCarLevel(
            versions=6, level_mad=150_000, fuel="Petrol", fuels={"Petrol": (6, 150_000)}
        ),
        "renault|koleos": NewCarLevel(
            versions=3, level_mad=400_000, fuel="Hybrid", fuels={"Hybrid": (3, 400_000)}
        ),
    }
    new_cars = NewCars(as_of="2026-06", levels=levels)
    kinds = measure_kinds(listings())
    found = new_car_kinds(new_cars, listed_kinds(kinds, {}))
    assert found["xpeng|g6"] == {"Electric|Automatic": {"2026": 4.0}}
    cheap = {"Petrol|Automatic": {"2026": 3.0}, "Petrol|Manual": {"2026": 3.0}}
    assert found["new|cheap"] == cheap
    assert found["renault|koleos"] == {"Hybrid|Automatic": {"2026": 3.0}}
    assert known_vehicles(kinds, new_cars, {}) == {"xpeng|g6", "new|cheap", "renault|koleos"}


def test_an_automatic_car_is_not_cheaper_than_a_manual_one_of_its_fuel(
    price_model: HedonicModel,
) -> None:
    prices = prices_by_kind(price_model)
    assert (prices[:, 1] >= prices[:, 0] - 1e-3).all()
    rises = np.diff(prices[:, :, YEARS >= FIRST_RISING_YEAR], axis=2)
    assert rises.min() > -1e-3


def test_a_nearly_new_car_is_not_dearer_than_the_new_ones_of_its_fuel(
    price_model: HedonicModel,
) -> None:
    kinds = kinds_of(price_model)
    highest = prices_by_kind(price_model)[:, :, YEARS == 2026].max(axis=(1, 2))
    compared = 0
    for (vehicle, fuel), price in zip(kinds, highest, strict=True):
        if vehicle in LEVELS and fuel in LEVELS[vehicle].fuels:
            assert np.exp(price) <= LEVELS[vehicle].fuels[fuel][1], (vehicle, fuel)
            compared += 1
    assert compared > 120


def test_a_model_of_new_cars_has_its_price_with_and_without_its_fiscal_power(
    price_model: HedonicModel,
) -> None:
    names = [
        name for name, level in LEVELS.items()
        if name not in MARKET.hedonic.vehicle_years and level.fiscal_power_cv
    ]  # fmt: skip
    assert len(names) > 50
    companies, models = zip(*map(split_vehicle, names), strict=True)
    columns = {
        "company": companies,
        "model": models,
        "fuel": [LEVELS[name].fuel for name in names],
        "transmission": ["Automatic"] * len(names),
        "year": [2025] * len(names),
    }
    predictor = HedonicPredictor(price_model)
    without = predictor.predict(columns, len(names))
    powers = [float(LEVELS[name].fiscal_power_cv or 0) for name in names]
    stated = predictor.predict({**columns, "fiscal_power_cv": powers}, len(names))
    np.testing.assert_allclose(without, stated, atol=1e-3)
    more = predictor.predict(
        {**columns, "fiscal_power_cv": [power + 4.0 for power in powers]}, len(names)
    )
    assert (more >= stated).all()


def kinds_of(model: HedonicModel) -> list[tuple[str, str]]:
    """Model and fuel of which there are listings or new cars."""
    (term,) = (each for each in model.terms if each.name == "vehicle_x_fuel")
    found = (key.rsplit(SEPARATOR, 1) for key in model.cells[term.name])
    return [(vehicle, fuel) for vehicle, fuel in found if fuel in set(Fuel)]


def prices_by_kind(model: HedonicModel) -> np.ndarray:
    """Log price (kinds, manual and automatic, years) of cars with few kilometres."""
    kinds = kinds_of(model)
    cars = [
        (*split_vehicle(vehicle), fuel, gearbox, int(year))
        for vehicle, fuel in kinds
        for gearbox in ("Manual", "Automatic")
        for year in YEARS
    ]
    names = ("company", "model", "fuel", "transmission", "year")
    columns: dict[str, Any] = dict(zip(names, zip(*cars, strict=True), strict=True))
    prices = HedonicPredictor(model).predict(
        {**columns, "km_driven": [10.0] * len(cars)}, len(cars)
    )
    return prices.reshape(len(kinds), 2, -1)
