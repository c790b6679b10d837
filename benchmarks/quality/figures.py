"""Scores of prices and intervals in addition to those of `carprice evaluate`."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from model_store.training.evaluation import scores
from shared.domain.valuation import QUANTILE_LEVELS

FloatArray = NDArray[np.float64]
LOW, HIGH = QUANTILE_LEVELS.index(0.05), QUANTILE_LEVELS.index(0.95)
YOUNG_YEARS = 3
MIN_BRAND_LISTINGS = 100
_MISSED = 2.0 / 0.10
"""Factor of the distance of a price outside a 90 % interval in the Winkler score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predicted and actual prices of n held-out cars.

    Args:
        actual: asking prices, (n,) MAD.
        price: predicted prices, (n,) MAD.
        quantiles: quantile prices at `QUANTILE_LEVELS`, (n, 9) MAD.
        known: whether the training data had the car's model, (n,).
        company: (n,)
        age_years: at the time of listing, (n,).
    """

    actual: FloatArray
    price: FloatArray
    quantiles: FloatArray
    known: NDArray[np.bool_]
    company: NDArray[np.object_]
    age_years: FloatArray

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Whether the actual price is inside the 90 % interval, (n,)."""
        low, high = self.quantiles[:, LOW], self.quantiles[:, HIGH]
        return np.asarray((self.actual >= low) & (self.actual <= high))


def joined(parts: list[Predictions]) -> Predictions:
    """Concatenate several sets of predictions."""
    return Predictions(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Predictions)
        }
    )


def figures(found: Predictions) -> dict[str, float]:
    """Return the scores, and the coverage of the 90 % interval by price and for unknown models.

    In addition to `training.evaluation.scores`: `lowest_decile_coverage` by the predicted price,
    which a user knows; `lowest_actual_decile_coverage` by the asking price, which includes extremes
    that no prediction can know; `unknown_rows`, `unknown_coverage`; `winkler`, the mean interval
    score in percent of the price; `median_width` of the interval, as a share of the estimate;
    `young_median_ape` of cars up to `YOUNG_YEARS`; `newest_coverage` of cars up to one year;
    `brand_bias`, the largest median error in percent, without its sign, of a brand with at least
    `MIN_BRAND_LISTINGS` of the cars.
    """
    inside, unknown = found.inside, ~found.known
    measured = scores(found.actual, found.price, found.quantiles)
    measured["lowest_decile_coverage"] = min(coverage_by_decile(found.price, inside))
    measured["lowest_actual_decile_coverage"] = min(coverage_by_decile(found.actual, inside))
    measured["unknown_rows"] = int(unknown.sum())
    if unknown.any():
        measured["unknown_coverage"] = round(float(inside[unknown].mean()), 4)
    low, high = found.quantiles[:, LOW], found.quantiles[:, HIGH]
    measured["winkler"] = winkler(found.actual, low, high)
    measured["median_width"] = round(float(np.median((high - low) / found.price)), 4)
    return measured | _of_young_cars(found) | _of_brands(found)


def _of_young_cars(found: Predictions) -> dict[str, float]:
    """Return the median error of young cars and the coverage of the newest, if there are any."""
    measured = {}
    young, newest = found.age_years <= YOUNG_YEARS, found.age_years <= 1
    if young.any():
        error = np.abs(found.price[young] / found.actual[young] - 1.0)
        measured["young_median_ape"] = round(float(np.median(error)) * 100, 2)
    if newest.any():
        measured["newest_coverage"] = round(float(found.inside[newest].mean()), 4)
    return measured


def _of_brands(found: Predictions) -> dict[str, float]:
    """Return the largest bias of a brand; nothing if each has too few cars."""
    ratio = found.price / found.actual - 1.0
    brands, counts = np.unique(found.company.astype(str), return_counts=True)
    biases = [
        abs(float(np.median(ratio[found.company == brand])))
        for brand in brands[counts >= MIN_BRAND_LISTINGS]
    ]
    return {"brand_bias": round(max(biases) * 100, 2)} if biases else {}


def coverage_by_decile(values: FloatArray, inside: NDArray[np.bool_]) -> list[float]:
    """Return the share inside the interval in each tenth of the cars, by rising `values`."""
    edges = np.quantile(values, np.arange(0.1, 0.95, 0.1))
    tenth = np.searchsorted(edges, values)
    return [
        round(float(inside[tenth == wanted].mean()), 4)
        for wanted in range(10)
        if (tenth == wanted).any()
    ]


def winkler(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Return the mean Winkler score of 90 % intervals in percent of the price; lower is better.

    The score is the width plus twenty times the distance of a price outside.
    """
    missed = np.maximum(low - actual, 0.0) + np.maximum(actual - high, 0.0)
    return round(float(np.mean((high - low + _MISSED * missed) / actual)) * 100, 2)
