"""What the same car is expected to cost in the next years.

A forest prices a car of 2018 from cars of 2018. Read one after the other, the years hold noise,
and steps where another generation of the model begins, which no single car goes through. So the
curve is a smooth one through what the model says of the older cars.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.market.typical_cars import typical_market
from model_store.pricing.outlook_model import CarPricer
from shared.domain.car import CarFeatures
from shared.domain.outlook import Depreciation, DepreciationPoint, Pace
from shared.domain.valuation import QUANTILE_LEVELS

MAX_PACE_RATIO = 3.0
"""A car that was driven more than so many times the market's pace is not taken to go on so."""
HORIZON_YEARS = (1, 2, 3, 4, 5)
_MEDIAN = QUANTILE_LEVELS.index(0.50)


def depreciation(
    model: CarPricer, car: CarFeatures, years: Sequence[int] = HORIZON_YEARS
) -> Depreciation:
    """The same car some years on, at today's price level.

    Age and wear alone never make a car dearer: no price, and no end of an interval, ever rises.

    Args:
        model: what prices the car as if it were older.
        car: as it is today.
        years: how many years on, rising.
    """
    km_per_year, pace = _km_per_year(model, car)
    aged = [
        dataclasses.replace(
            car, year=car.year - count, km_driven=car.km_driven + count * km_per_year
        )
        for count in years
    ]
    quantiles = model.quantiles_mad([car, *aged])
    prices = quantiles[:, _MEDIAN]
    declines = fit_depreciation_curve(
        np.asarray(years, dtype=np.float64), np.log(prices[0] / prices[1:])
    )
    # Each year keeps the spread of its own interval.
    quantiles[1:] *= (prices[0] * np.exp(-declines) / prices[1:])[:, None]
    falling = np.minimum.accumulate(quantiles)[1:].round(2).tolist()
    return Depreciation(
        km_per_year=km_per_year,
        pace=pace,
        points=tuple(
            DepreciationPoint(
                years=count,
                km_driven=older.km_driven,
                price_mad=row[_MEDIAN],
                quantiles_mad=tuple(row),
            )
            for count, older, row in zip(years, aged, falling, strict=True)
        ),
    )


def fit_depreciation_curve(
    years: NDArray[np.float64], declines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The curve through 0 closest to `declines` that never rises and loses less each year.

    Args:
        years: (n,) years on, rising.
        declines: (n,) logarithm of today's price over that year's.

    Returns:
        (n,) declines on `first * years - slowing * years**2` with `slowing` not negative; a steady
        rate where the best such curve would turn back up, and no fall at all where even that
        would rise.
    """
    columns = np.stack([years, -(years**2)], axis=1)
    first, slowing = np.linalg.lstsq(columns, declines, rcond=None)[0]
    turns_up = first - 2 * slowing * years[-1] < 0
    if slowing < 0 or turns_up:
        first, slowing = max(0.0, float(years @ declines / (years @ years))), 0.0
    return np.asarray(columns @ np.array([first, slowing]))


def _km_per_year(model: CarPricer, car: CarFeatures) -> tuple[int, Pace]:
    """The car's own pace once it is a year old, unless it is beyond what cars are driven."""
    usual = typical_market().km_per_year
    age_years = int(model.version.data_as_of[:4]) - car.year
    if age_years < 1 or car.km_driven > MAX_PACE_RATIO * usual * age_years:
        return usual, Pace.MARKET
    return round(car.km_driven / age_years), Pace.OWN
