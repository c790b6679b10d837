"""Old and incomplete listings count less, and kinds of cars have their own trend of prices."""

import numpy as np
import pandas as pd
import pytest

from data.hedonic.date_covariates import date_covariates
from data.hedonic.fit import Covariates, fit_hedonic
from data.hedonic.predictor import HedonicPredictor
from data.hedonic.terms import TERMS
from data.listings.table import LISTING_DATE, PRICE, car_columns, latest_month
from data.listings.weights import HALF_LIFE_MONTHS, listing_weights
from data.market.reference import date_curve, month_number

from .conftest import made_listings


def test_a_listing_counts_half_after_the_half_life() -> None:
    table = made_listings(2)
    table[LISTING_DATE] = ["2022-01", f"20{22 + round(HALF_LIFE_MONTHS) // 12}-01"]
    old, new = listing_weights(table)
    assert new == pytest.approx(2 * old)


def test_a_listing_without_kilometres_counts_less_where_most_state_them() -> None:
    table = made_listings(10)
    table[LISTING_DATE] = "2025-01"
    table.loc[0, "km_driven"] = np.nan
    weights = listing_weights(table)
    assert weights[0] < weights[1] / 2
    assert weights.mean() == pytest.approx(1.0)


def test_listings_that_differ_in_neither_date_nor_kilometres_are_equal() -> None:
    table = made_listings(10)
    table["km_driven"] = np.nan
    table[LISTING_DATE] = None
    assert listing_weights(table).tolist() == [1.0] * 10


def test_weights_move_the_fit_towards_the_heavy_listings() -> None:
    table = made_listings(400, noise=0.02)
    log_price = np.log(table[PRICE].to_numpy())
    is_dear = np.arange(len(table)) % 2 == 0
    log_price[is_dear] += 0.1
    heavy = fit_hedonic(table, log_price, TERMS, weights=np.where(is_dear, 1.9, 0.1)).model
    even = fit_hedonic(table, log_price, TERMS).model
    columns = car_columns(table)
    by_weight = [np.mean(HedonicPredictor(m).predict(columns, len(table))) for m in (heavy, even)]
    assert by_weight[0] > by_weight[1] + 0.03


def test_young_cars_that_lost_more_value_are_priced_as_of_the_last_month() -> None:
    """The latest month has few young cars: their price follows from the trend of older listings."""
    table = dated_listings()
    months = month_columns(table)
    log_price = np.log(table[PRICE].to_numpy())
    is_young = (table["year"] >= 2020).to_numpy()
    age_in_years = -months.sum(axis=1)
    log_price += np.where(is_young, 0.2, 0.0) * age_in_years
    newest = made_listings(300, seed=5, noise=0.0)
    newest = newest[newest["year"] >= 2020]
    truth = np.log(newest[PRICE].to_numpy())

    def bias(covariates: Covariates) -> float:
        model = fit_hedonic(table, log_price, TERMS, nuisance=covariates).model
        return float(
            np.mean(HedonicPredictor(model).predict(car_columns(newest), len(newest)) - truth)
        )

    own_trend = date_covariates(table, months)
    assert abs(bias(own_trend)) < 0.5 * abs(bias(months))


def test_covariates_are_zero_in_the_month_that_prices_are_quoted_for() -> None:
    table = dated_listings()
    columns = date_covariates(table, month_columns(table)).toarray()
    assert not columns[(table[LISTING_DATE] == latest_month(table)).to_numpy()].any()


def test_one_listing_with_a_later_date_does_not_extrapolate_the_trends() -> None:
    """Young cars become cheaper every year; ten more years of that would halve their prices."""
    table = dated_listings()
    elapsed = table[LISTING_DATE].str.slice(0, 4).astype(float).to_numpy() - 2025.0
    is_young = (table["year"] >= 2018).to_numpy()
    log_price = np.log(table[PRICE].to_numpy()) - 0.1 * elapsed * is_young
    above_old_cars = []
    for last in ("2025-02", "2035-02"):
        table.loc[0, LISTING_DATE] = last
        covariates = date_covariates(table, month_columns(table))
        model = fit_hedonic(table, log_price, TERMS, nuisance=covariates).model
        price = HedonicPredictor(model).predict(car_columns(table), len(table))
        above_old_cars.append(price[is_young].mean() - price[~is_young].mean())
    assert above_old_cars[1] == pytest.approx(above_old_cars[0], abs=0.05)


def test_without_dates_there_are_no_covariates() -> None:
    table = made_listings(20)
    assert date_covariates(table, np.empty((20, 0))).shape == (20, 0)


def dated_listings() -> pd.DataFrame:
    """Listings of three years, few of them in the last month."""
    table = made_listings(1500, noise=0.02)
    rng = np.random.default_rng(3)
    months = ["2022-02", "2023-02", "2024-02", "2025-02"]
    table[LISTING_DATE] = rng.choice(months, len(table), p=[0.4, 0.3, 0.2, 0.1])
    return table


def month_columns(table: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    curve = date_curve(table[LISTING_DATE].min(), latest_month(table))
    return curve.columns(table[LISTING_DATE].map(month_number).to_numpy(dtype=np.float64))
