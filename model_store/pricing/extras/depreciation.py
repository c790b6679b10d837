"""Expected price of the same car in the next years.

The model prices the car as if it were registered earlier. From one year of registration to the
next these prices contain noise, and steps where a new generation of the model begins, which a
single car never passes through. A smooth curve is therefore fitted to them.
"""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from data.market.typical_cars import typical_market
from model_store.pricing.scenarios import mixed_quantiles
from shared.domain.car import CarFeatures, mileage_warning_code
from shared.domain.outlook import Depreciation, DepreciationPoint, Pace
from shared.domain.valuation import QUANTILE_LEVELS

MAX_PACE_RATIO = 3.0
"""A car driven more than this many times the market's yearly mileage is not extrapolated."""
HORIZON_YEARS = (1, 2, 3, 4, 5)
_MEDIAN = QUANTILE_LEVELS.index(0.50)


Quantiles = Callable[[Sequence[CarFeatures]], NDArray[np.float64]]
"""(n, 9) prices at `QUANTILE_LEVELS`, one row per car, in order."""


def depreciation(
    car: CarFeatures,
    scenarios: Sequence[tuple[CarFeatures, float]],
    quantiles_mad: Quantiles,
    *,
    usual_km: int,
    data_as_of: str,
    years: Sequence[int] = HORIZON_YEARS,
) -> Depreciation:
    """Price the same car in the coming years, at today's price level.

    Neither a price nor an end of an interval rises from one year to the next.

    Args:
        car: as it is today.
        scenarios: the complete cars that it may be, and their shares; itself if it is complete.
            Each ages by itself, so that fuel and gearbox stay the same.
        quantiles_mad: prices cars; see `LoadedModel.quantiles_of_ages_mad`.
        usual_km: kilometres from which those of a car that does not state them are counted.
        data_as_of: month (YYYY-MM) whose price level the model quotes.
        years: numbers of years from today, increasing.
    """
    km_driven = usual_km if car.km_driven is None else car.km_driven
    km_per_year, pace = _km_per_year(car, km_driven, int(data_as_of[:4]))
    quantiles = _quantiles(car, scenarios, quantiles_mad, years, km_per_year)
    prices = quantiles[:, _MEDIAN]
    declines = fit_depreciation_curve(
        np.asarray(years, dtype=np.float64), np.log(prices[0] / prices[1:])
    )
    # Each year keeps the relative width of its own interval.
    quantiles[1:] *= (prices[0] * np.exp(-declines) / prices[1:])[:, None]
    falling = np.minimum.accumulate(quantiles)[1:].round(2).tolist()
    return Depreciation(
        km_per_year=km_per_year,
        pace=pace,
        points=tuple(
            DepreciationPoint(
                years=count,
                km_driven=km_driven + count * km_per_year,
                price_mad=row[_MEDIAN],
                quantiles_mad=tuple(row),
            )
            for count, row in zip(years, falling, strict=True)
        ),
    )


def _quantiles(
    car: CarFeatures,
    scenarios: Sequence[tuple[CarFeatures, float]],
    quantiles_mad: Quantiles,
    years: Sequence[int],
    km_per_year: int,
) -> NDArray[np.float64]:
    """Prices (1 + len(years), 9) of the car today, and of the mixture of its scenarios later."""
    aged = [
        dataclasses.replace(
            one,
            year=one.year - count,
            km_driven=None if one.km_driven is None else one.km_driven + count * km_per_year,
        )
        for count in years
        for one, _ in scenarios
    ]
    quantiles = quantiles_mad([car, *aged])
    if len(scenarios) == 1:
        return quantiles
    weights = np.array([weight for _, weight in scenarios] * len(years))
    starts = np.arange(len(years) + 1) * len(scenarios)
    later = np.exp(mixed_quantiles(np.log(quantiles[1:]), weights, starts))
    return np.concatenate([quantiles[:1], later])


def fit_depreciation_curve(
    years: NDArray[np.float64], declines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least-squares curve through 0 with a price that never rises and a loss that never grows.

    Args:
        years: (n,) numbers of years from today, increasing.
        declines: (n,) logarithm of today's price over that year's price.

    Returns:
        (n,) declines on `first * years - slowing * years**2` with `slowing` >= 0. A constant rate
        where this curve would let the price rise again; zeros where that rate is negative.
    """
    columns = np.stack([years, -(years**2)], axis=1)
    first, slowing = np.linalg.lstsq(columns, declines, rcond=None)[0]
    turns_up = first - 2 * slowing * years[-1] < 0
    if slowing < 0 or turns_up:
        first, slowing = max(0.0, float(years @ declines / (years @ years))), 0.0
    return np.asarray(columns @ np.array([first, slowing]))


def _km_per_year(car: CarFeatures, km_driven: int, priced_in: int) -> tuple[int, Pace]:
    """The car's own yearly mileage; the market's for a new car or an unusual mileage.

    A car that does not state its kilometres has the mileage of its usual ones.
    """
    usual = typical_market().km_per_year
    age_years = priced_in - car.year
    unusual = mileage_warning_code(
        year=car.year, km_driven=car.km_driven, this_year=max(priced_in, datetime.now(UTC).year)
    )
    is_extreme = km_driven > MAX_PACE_RATIO * usual * age_years
    if age_years < 1 or is_extreme or unusual is not None:
        return usual, Pace.MARKET
    pace = Pace.MARKET if car.km_driven is None else Pace.OWN
    return round(km_driven / age_years), pace
