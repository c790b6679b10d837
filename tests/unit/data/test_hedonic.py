"""The hedonic model recovers the effects that generated the prices."""

import numpy as np
import pandas as pd
import pytest

from data.hedonic import predictor
from data.hedonic.fit import fit_hedonic
from data.hedonic.model import HedonicModel, PiecewiseLinear
from data.hedonic.predictor import HedonicPredictor
from data.hedonic.terms import TERMS
from data.listings.table import car_columns
from data.vehicles.columns import CategoricalColumn, CategoryTable, Column
from tests.oracles import hedonic_sums

from .conftest import made_listings

Columns = dict[str, list[object]]


@pytest.fixture(scope="module")
def fitted(listings: pd.DataFrame) -> HedonicModel:
    return fit_hedonic(listings, np.log(listings["price_mad"].to_numpy()), TERMS).model


def log_prices(
    model: HedonicModel, columns: Columns
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return HedonicPredictor(model).predict(columns, len(columns["year"]))


def car(**changes: object) -> dict[str, object]:
    return {
        "company": "renault",
        "model": "clio",
        "year": 2016,
        "fuel": "Diesel",
        "transmission": "Manual",
        "km_driven": 120_000,
        "fiscal_power_cv": 6,
    } | changes


def priced(model: HedonicModel, *cars: dict[str, object]) -> list[float]:
    columns = {name: [each[name] for each in cars] for name in cars[0]}
    return log_prices(model, columns).tolist()


def test_errors_on_unseen_cars_are_at_the_noise_level(
    fitted: HedonicModel,
) -> None:
    unseen = made_listings(500, seed=9)
    error = log_prices(fitted, car_columns(unseen)) - np.log(unseen["price_mad"].to_numpy())
    assert np.median(np.abs(error)) < 0.085


def test_the_effect_of_the_gearbox_is_recovered(fitted: HedonicModel) -> None:
    manual, automatic = priced(fitted, car(), car(transmission="Automatic"))
    assert automatic - manual == pytest.approx(0.1, abs=0.04)


def test_a_model_never_gains_by_age_or_kilometres(fitted: HedonicModel) -> None:
    by_year = priced(fitted, *(car(year=year) for year in range(2005, 2025)))
    assert (np.diff(by_year) >= -1e-9).all()
    by_km = priced(fitted, *(car(km_driven=km) for km in range(0, 400_000, 10_000)))
    assert (np.diff(by_km) <= 1e-9).all()


def test_typing_errors_in_prices_do_not_bias_the_model() -> None:
    clean = made_listings(800, seed=2)
    dirty = clean.copy()
    dirty.loc[:15, "price_mad"] *= 10
    models = [
        fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model
        for table in (clean, dirty)
    ]
    prices = [priced(model, car(), car(model="megane", year=2012)) for model in models]
    assert prices[0] == pytest.approx(prices[1], abs=0.06)


def test_cells_with_too_few_listings_are_left_out() -> None:
    table = made_listings(300, seed=3)
    table.loc[:8, "company"], table.loc[:8, "model"] = "ferrari", "roma"
    model = fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model
    assert "ferrari|roma" not in model.vehicle_years
    assert all("ferrari" not in key for cells in model.cells.values() for key in cells)
    assert all(cell.count >= 10 for cells in model.cells.values() for cell in cells.values())


def test_the_model_survives_json(fitted: HedonicModel) -> None:
    assert HedonicModel.from_json(fitted.to_json()).to_json() == fitted.to_json()


def test_a_curve_is_zero_at_its_origin_and_constant_outside_its_knots() -> None:
    curve = PiecewiseLinear(variable="km_driven", knots=(0, 100, 200), origin=100)
    columns = curve.columns(np.array([100.0, np.nan, -50.0, 0.0, 200.0, 999.0]))
    assert columns.tolist() == [[0, 0], [0, 0], [-1, 0], [-1, 0], [0, 1], [0, 1]]


def test_one_dear_year_of_a_model_does_not_make_the_next_one_cheaper() -> None:
    table = made_listings(2500, seed=4)
    odd = (table["model"] == "clio") & (table["year"] == 2016)
    assert odd.sum() >= 10
    table.loc[odd, "price_mad"] *= 1.5
    model = fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model
    by_year = priced(model, *(car(year=year) for year in range(2005, 2025)))
    assert (np.diff(by_year) >= -1e-3).all()


def with_editions(table: pd.DataFrame) -> pd.DataFrame:
    """Half the cars are "1.5 luxe" and a fifth dearer for it, the others are "1.5 base"."""
    luxe = np.arange(len(table)) % 2 == 0
    table = table.assign(edition=np.where(luxe, "1.5 luxe", "1.5 base"))
    table.loc[luxe, "price_mad"] *= 1.2
    return table


def test_the_effects_of_the_words_of_an_edition_are_recovered() -> None:
    table = with_editions(made_listings(2000, seed=6))
    model = fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model
    luxe, base, mixed = priced(
        model, car(edition="1.5 luxe"), car(edition="1.5 base"), car(edition="phantom luxe 1.5")
    )
    assert luxe - base == pytest.approx(np.log(1.2), abs=0.03)
    assert mixed == pytest.approx(luxe)


def test_a_missing_field_has_the_imputed_effect_of_its_vehicle() -> None:
    table = with_editions(made_listings(2000, seed=6))
    model = fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model
    unstated, unread, luxe, base = priced(
        model,
        car(edition=None),
        car(edition="phantom"),
        car(edition="1.5 luxe"),
        car(edition="1.5 base"),
    )
    assert unstated == unread
    assert base < unstated < luxe
    assert unstated == pytest.approx((luxe + base) / 2, abs=0.02)
    assert HedonicModel.from_json(model.to_json()).to_json() == model.to_json()


def test_columns_as_codes_give_the_same_price_as_lists() -> None:
    table = with_editions(made_listings(2000, seed=6))
    model = fit_hedonic(table, np.log(table["price_mad"].to_numpy()), TERMS).model
    cars = [car(edition="1.5 luxe"), car(edition=None), car(edition="phantom"), car(edition="luxe")]
    listed = {name: [each[name] for each in cars] for name in cars[0]}
    coded: dict[str, Column] = {name: coded_column(each) for name, each in listed.items()}
    for name in ("year", "km_driven", "fiscal_power_cv"):
        coded[name] = np.array(listed[name], dtype=np.float64)
    np.testing.assert_array_equal(log_prices(model, coded), log_prices(model, listed))


def test_the_compiled_sum_equals_the_oracle_to_the_bit(
    fitted: HedonicModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns: Columns = {
        "company": ["renault", "bmw", "tatra"],
        "model": ["clio", "x5", "613"],
        "year": [2016, None, 1950],
        "km_driven": [120_000, 10_000_000, None],
        "fiscal_power_cv": [None, 8, 6],
    }
    compiled = log_prices(fitted, columns)
    monkeypatch.setattr(predictor, "sum_parts", hedonic_sums.sum_parts)
    np.testing.assert_array_equal(log_prices(fitted, columns), compiled)


def coded_column(values: list[object]) -> CategoricalColumn:
    distinct = list(dict.fromkeys(values))
    return CategoricalColumn(
        CategoryTable(distinct), np.array([distinct.index(value) for value in values])
    )


def test_prices_that_are_all_the_same_are_found_again(listings: pd.DataFrame) -> None:
    same = np.full(len(listings), np.log(100_000.0))
    model = fit_hedonic(listings, same, TERMS).model
    assert np.exp(priced(model, car())[0]) == pytest.approx(100_000.0, rel=0.01)
