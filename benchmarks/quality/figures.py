"""Figures of prices and intervals beyond those of `carprice evaluate`."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from model_store.training.evaluation import scores
from shared.domain.valuation import QUANTILE_LEVELS

FloatArray = NDArray[np.float64]
LOW, HIGH = QUANTILE_LEVELS.index(0.05), QUANTILE_LEVELS.index(0.95)
_MISSED = 2.0 / 0.10
"""What a price outside a 90 % interval costs, in times of its distance (Winkler)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """Prices of n cars that the model had not seen, beside what was asked.

    Args:
        actual: (n,) MAD.
        price: (n,) MAD.
        quantiles: (n, 9) MAD, at `QUANTILE_LEVELS`.
        known: (n,) whether training had seen the car's model.
    """

    actual: FloatArray
    price: FloatArray
    quantiles: FloatArray
    known: NDArray[np.bool_]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which real prices lie in the 90 % interval, (n,)."""
        low, high = self.quantiles[:, LOW], self.quantiles[:, HIGH]
        return np.asarray((self.actual >= low) & (self.actual <= high))


def joined(parts: list[Predictions]) -> Predictions:
    """Several sets of predictions as one."""
    return Predictions(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Predictions)
        }
    )


def figures(found: Predictions) -> dict[str, float]:
    """The scores, and how well the 90 % interval holds by price and for unknown models.

    Besides `training.evaluation.scores`: `lowest_decile_coverage` by the estimated
    price, which is what a user knows; `lowest_actual_decile_coverage` by the asked price, which
    also counts the extremes that no estimate can know of; `unknown_rows`, `unknown_coverage`;
    `winkler`, the mean interval score in percent of the price.
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
    return measured


def coverage_by_decile(values: FloatArray, inside: NDArray[np.bool_]) -> list[float]:
    """Share inside the interval in each tenth of the cars, by rising `values`."""
    edges = np.quantile(values, np.arange(0.1, 0.95, 0.1))
    tenth = np.searchsorted(edges, values)
    return [
        round(float(inside[tenth == wanted].mean()), 4)
        for wanted in range(10)
        if (tenth == wanted).any()
    ]


def winkler(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Mean score of 90 % intervals in percent of the price; less is better.

    The width, plus twenty times the distance of a price that lies outside.
    """
    missed = np.maximum(low - actual, 0.0) + np.maximum(actual - high, 0.0)
    return round(float(np.mean((high - low + _MISSED * missed) / actual)) * 100, 2)
