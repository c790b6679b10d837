"""Intervals widen with the age of the data: as measured up to a year, by a rule beyond it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.hedonic.terms import TERMS
from data.listings.table import LISTING_DATE, PRICE
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.error_growth import (
    MIN_GROWTH_PER_MONTH,
    REFERENCE_GROWTH,
    ErrorGrowth,
)
from model_store.training.horizon import (
    STATED_MONTHS,
    growth_of,
    measure_growth,
    resembles_later_cars,
)
from model_store.training.rolling_origins import ListingErrors
from shared.domain.clock import month_name, month_number

GROWTH = ErrorGrowth(
    initial=0.06,
    per_month=0.008,
    knots_log=(11.0, 13.0),
    below=(0.0, 0.2),
    above=(0.1, 0.1),
    young_below=0.5,
    levels=(0.0, 0.0, 0.0, 0.3, 0.3),
)
FIRST = month_number("2023-01")


def calibration(growth: ErrorGrowth | None) -> IntervalCalibration:
    steps = tuple(np.linspace(-2.0, 2.0, 9).tolist())
    ones = (1.0, 1.0)
    return IntervalCalibration(
        factors=(steps,) * 5, knots_log=(11.0, 13.0), below=ones, above=ones, growth=growth
    )


def half_widths(
    months: int, *, log_price: float = 13.0, is_young: bool = False, level: int = 0,
    growth: ErrorGrowth | None = GROWTH,
) -> tuple[float, float]:  # fmt: skip
    """The halves of the widest interval of one car, log scale."""
    one = np.array([log_price])
    quantiles = calibration(growth).quantiles_log(
        np.array([level], np.int8), one, np.array([0.1]), np.zeros(1),
        is_young=np.array([is_young]), months=months,
    )  # fmt: skip
    return float(log_price - quantiles[0, 0]), float(quantiles[0, -1] - log_price)


def test_the_width_never_shrinks_with_the_age_and_grows_beyond_the_horizon() -> None:
    widths = [sum(half_widths(months)) for months in range(60)]
    assert widths == sorted(widths)
    assert widths[12] < widths[13] < widths[36]


def test_either_half_grows_as_measured_at_the_price_and_age_of_the_car() -> None:
    new, later = half_widths(0), half_widths(8)
    course = GROWTH.course(8)
    assert later[0] / new[0] == pytest.approx(1 + 0.2 * course)
    assert later[1] / new[1] == pytest.approx(1 + 0.1 * course)
    assert half_widths(8, log_price=11.0)[0] == pytest.approx(half_widths(0)[0])
    young = half_widths(8, is_young=True)
    assert young[0] / later[0] == pytest.approx(1 + 0.5 * course)
    assert young[1] == later[1]
    assert half_widths(8, level=3)[1] / later[1] == pytest.approx(1 + 0.3 * course)


def test_beyond_the_horizon_the_growth_is_at_least_the_rule() -> None:
    slow = dataclasses.replace(GROWTH, per_month=0.0, above=(0.06, 0.06))
    at = [half_widths(months, growth=slow)[1] for months in (0, 12, 24)]
    assert (at[2] - at[1]) / at[0] == pytest.approx(12 * MIN_GROWTH_PER_MONTH)


def test_a_version_without_measured_growth_widens_beyond_the_horizon_only() -> None:
    at = [half_widths(months, growth=None)[0] for months in (0, 12, 22)]
    assert at[0] == at[1]
    assert at[2] / at[0] == pytest.approx(1 + 10 * MIN_GROWTH_PER_MONTH)


def test_growth_and_calibration_survive_json() -> None:
    text = json.dumps(calibration(GROWTH).to_json())
    assert IntervalCalibration.from_json(json.loads(text)) == calibration(GROWTH)


def test_an_aged_calibration_starts_with_the_widths_of_that_age() -> None:
    aged = calibration(GROWTH).aged(9)
    one, level = np.array([12.0]), np.zeros(1, np.int8)
    for is_young in (np.array([False]), np.array([True])):
        arguments = (level, one, np.array([0.1]), np.zeros(1))
        expected = calibration(GROWTH).quantiles_log(*arguments, is_young=is_young, months=9)
        found = aged.quantiles_log(*arguments, is_young=is_young, months=0)
        assert found == pytest.approx(expected)
        assert np.ptp(aged.quantiles_log(*arguments, is_young=is_young, months=9)) > np.ptp(found)


def test_data_whose_last_months_are_scarce_is_older_than_its_date() -> None:
    lagging = dataclasses.replace(calibration(GROWTH), growth=None)
    assert [lagging.age_of_data(months) for months in (-3, 0, 7)] == [0, 0, 7]
    lagging = calibration(dataclasses.replace(GROWTH, lag_months=5))
    assert [lagging.age_of_data(months) for months in (-9, -5, 0, 7)] == [0, 0, 5, 12]
    assert lagging.aged(8).age_of_data(0) == 0


@pytest.fixture(scope="module")
def drifting() -> pd.DataFrame:
    """Listings of three years; the prices of each vehicle drift in a direction of its own."""
    table = generate(ReferenceMarket.load(), 9_000, seed=3)
    rng = np.random.default_rng(3)
    months = rng.integers(0, 36, len(table))
    names = {month: month_name(FIRST + month) for month in range(36)}
    codes = table.groupby(["company", "model"]).ngroup().to_numpy()
    drift = rng.normal(0.0, 0.012, codes.max() + 1)[codes] * (months - 18)
    dates = pd.Series(months).map(names).to_numpy(dtype=object)
    return table.assign(**{LISTING_DATE: dates, PRICE: table[PRICE] * np.exp(drift)})


def errors_of(table: pd.DataFrame, seed: int = 0) -> ListingErrors:
    """Errors of a model that knows the market of each month."""
    n = len(table)
    same = np.random.default_rng(seed).normal(0.0, 0.12, n)
    logs = np.log(table[PRICE].to_numpy(dtype=np.float64))
    scale = np.full(n, 0.12)
    return ListingErrors(
        table=table, baseline_error=same, estimate_log=logs - same, below=scale, above=scale,
        level=np.zeros(n, np.int8), is_young=np.zeros(n, np.bool_),
    )  # fmt: skip


def test_errors_are_found_to_grow_where_prices_drift(drifting: pd.DataFrame) -> None:
    growth, source = measure_growth(errors_of(drifting), drifting, TERMS)
    assert source["source"] == "measured"
    assert source["origins"][0] >= "2023-12"
    assert growth.per_month + growth.initial > 0.02
    assert min(growth.below) > 0.05
    assert growth.course(12) > growth.course(6) > growth.course(1) > growth.course(0) == 0.0


@pytest.mark.parametrize(
    ("dates", "code", "reason"),
    [
        (lambda n: np.full(n, None, dtype=object), "no-dates", "the listings have no dates"),
        (
            lambda n: np.full(n, "2025-03", dtype=object),
            "one-month",
            "all listings are of one month (2025-03)",
        ),
        (
            lambda n: np.resize(["2025-03", "2025-04"], n),
            "no-origin",
            "no month has a third of the listings",
        ),
    ],
)
def test_sparse_data_take_the_reference_growth_and_say_why(
    drifting: pd.DataFrame, dates: object, code: str, reason: str
) -> None:
    sparse = drifting.assign(**{LISTING_DATE: dates(len(drifting))})  # type: ignore[operator]
    growth, source = measure_growth(errors_of(sparse), sparse, TERMS)
    assert growth == REFERENCE_GROWTH
    assert source["source"] == "reference"
    assert source["reason"].startswith(reason)
    assert source["reason_code"] == code


def test_few_listings_of_later_months_do_not_make_the_data_newer(drifting: pd.DataFrame) -> None:
    dates = drifting[LISTING_DATE].to_numpy(dtype=object, copy=True)
    dates[:100] = "2026-05"
    table = drifting.assign(**{LISTING_DATE: dates})
    growth, source = measure_growth(errors_of(table), table, TERMS)
    assert (growth.lag_months, source["data_until"]) == (5, "2025-12")


def test_intervals_are_calibrated_on_recent_listings_where_there_are_enough(
    drifting: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resembles_later_cars("few.csv", drifting).all()
    monkeypatch.setattr("model_store.training.horizon.MIN_RECENT_LISTINGS", 3_000)
    found = resembles_later_cars("some.csv", drifting)
    recent = (drifting[LISTING_DATE] >= "2024-01").to_numpy()
    assert 3_000 < found.sum() < len(drifting)
    assert (found == (recent & drifting["km_driven"].notna().to_numpy())).all()
    assert resembles_later_cars("reference market", drifting).all()
    undated = drifting.assign(**{LISTING_DATE: None})
    assert (
        resembles_later_cars("some.csv", undated) == drifting["km_driven"].notna().to_numpy()
    ).all()


def test_generated_listings_do_not_age(drifting: pd.DataFrame) -> None:
    growth, source = growth_of("reference market", errors_of(drifting), drifting, TERMS)
    assert dataclasses.replace(growth, lag_months=0) == dataclasses.replace(
        REFERENCE_GROWTH, young_below=0.0, young_above=0.0
    )
    assert source["reason"] == "the listings are generated"
    assert source["reason_code"] == "generated"


def test_the_page_on_the_market_states_the_widths_that_cards_state() -> None:
    page = (Path(__file__).parents[3] / "docs" / "market.md").read_text(encoding="utf-8")
    widths = " | ".join(f"{REFERENCE_GROWTH.width(months):.2f}" for months in STATED_MONTHS)
    assert f"| width | {widths} |" in page
