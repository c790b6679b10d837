"""From the spread of the trees to prices at fixed quantiles: conformal calibration.

The forest gives a mean and a total standard deviation of the log price, a second one by how much
more or less than that cars like this one stray (`model_store.training.difficulty`). The residual
divided by a scale made from them was collected on cars that neither had seen; its quantiles, one
set for each level of information, turn a new car's figures into prices that hold their coverage.
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from model_store.pricing.encoding import (
    COMPLETE,
    INCOMPLETE,
    OUT_OF_RANGE,
    UNKNOWN_BRAND,
    UNKNOWN_MODEL,
)
from shared.domain.valuation import QUANTILE_LEVELS

FloatArray = npt.NDArray[np.float64]
MEDIAN_INDEX = QUANTILE_LEVELS.index(0.50)
MIN_CALIBRATION_CARS = 100
"""Cars behind the quantiles of a level of information."""
_BINS = 20
_PRIOR = 100.0
"""Cars that the whole weighs against a bin."""
_TAIL = 0.05
"""Share of the cars on either side of the 90 % interval."""
_TAIL_SKEW = 0.45
"""By how much of it the tail below is shortened for the cheapest cars, and that above for the
dearest; the other one is longer by as much."""
_OUT_OF_RANGE_FACTOR = 2.0
"""How much wider the interval is of a car whose like no listing shows."""
_MIN_TAIL_MULTIPLIER = 1e-3
MIN_STD = 0.02
"""Smallest standard deviation (log scale) that is believed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalCalibration:
    """Quantiles of the scaled residual for each level of information.

    Args:
        factors: (5, 9), one row for each level of `model_store.pricing.encoding`, one column for
        each
            of `QUANTILE_LEVELS`; not decreasing along a row, 0 at the median.
        knots_log, below, above: what it is multiplied by on either side of the estimate, at these
            log prices and linear between them: cheap and dear cars spread more than their
            neighbours in the forest tell, the cheap ones downwards and the dear ones upwards.
    """

    factors: tuple[tuple[float, ...], ...]
    knots_log: tuple[float, ...] = (0.0,)
    below: tuple[float, ...] = (1.0,)
    above: tuple[float, ...] = (1.0,)

    @cached_property
    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Factors, knots, below and above: for one car it costs more to make them than to ask."""
        factors, knots, below, above = self.factors, self.knots_log, self.below, self.above
        return np.array(factors), np.array(knots), np.array(below), np.array(above)

    def scales(
        self, mean: FloatArray, std: FloatArray, difficulty: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """What a unit of the factors is worth on the log scale below and above, (n,) each."""
        spread = np.maximum(std, MIN_STD) * np.exp(difficulty)
        _, knots, below_at, above_at = self._arrays
        below = np.interp(mean, knots, below_at)
        above = np.interp(mean, knots, above_at)
        return np.asarray(spread * below), np.asarray(spread * above)

    def quantiles_log(
        self,
        level: npt.NDArray[np.int8],
        mean: FloatArray,
        std: FloatArray,
        difficulty: FloatArray,
    ) -> FloatArray:
        """Log prices (n, 9) at `QUANTILE_LEVELS`, not decreasing; the median is `mean`.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            difficulty: (n,) log of the expected error in such deviations.
        """
        below, above = self.scales(mean, std, difficulty)
        factors, *_ = self._arrays
        offsets = factors[level]
        offsets[:, :MEDIAN_INDEX] *= below[:, None]
        offsets[:, MEDIAN_INDEX:] *= above[:, None]
        return np.asarray(mean[:, None] + offsets)

    @classmethod
    def fit(
        cls,
        level: npt.NDArray[np.int8],
        mean: FloatArray,
        std: FloatArray,
        difficulty: FloatArray,
        actual: FloatArray,
        *,
        min_count: int = MIN_CALIBRATION_CARS,
    ) -> Self:
        """Calibrate on cars that were not used to predict themselves.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            difficulty: (n,) log of the expected error in such deviations.
            actual: (n,) log of the real prices.
            min_count: a level with fewer cars takes the quantiles of the level below it. Those of
                `OUT_OF_RANGE` cars are a decision: training has hardly any.
        """
        spread, _ = cls(factors=()).scales(mean, std, difficulty)
        knots, below, above = _tail_multipliers(mean, (actual - mean) / spread)
        raw = cls(factors=(), knots_log=knots, below=below, above=above)
        scores = (actual - mean) / np.where(actual < mean, *raw.scales(mean, std, difficulty))
        return dataclasses.replace(raw, factors=_factors_by_level(scores, level, min_count))

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "factors": [list(row) for row in self.factors],
            "knots_log": list(self.knots_log),
            "below": list(self.below),
            "above": list(self.above),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            factors=tuple(tuple(row) for row in given["factors"]),
            knots_log=tuple(given["knots_log"]),
            below=tuple(given["below"]),
            above=tuple(given["above"]),
        )


def _tail_multipliers(
    mean: FloatArray, scaled: FloatArray
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """How far the scaled residual reaches by bins of the price: middles, below, above.

    The two tails of a bin hold the same share together in all of them. What has been estimated
    cheap is cheaper still more often than dearer still, seen from the asked price, so the cheaper
    a bin, the further down and the less far up its interval reaches; and the reverse for dear
    cars. A bin is drawn to the whole, so that few cars make a steady curve too.
    """
    ranks = (np.arange(_BINS) + 0.5) / _BINS
    edges = np.quantile(mean, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, mean)
    below, above = [], []
    for number, rank in enumerate(ranks):
        lean = _TAIL_SKEW * (1.0 - 2.0 * rank)
        inside = scaled[bins == number]
        below.append(_tail_multiplier(-inside, -scaled, _TAIL * (1.0 - lean)))
        above.append(_tail_multiplier(inside, scaled, _TAIL * (1.0 + lean)))
    return tuple(np.quantile(mean, ranks).tolist()), tuple(below), tuple(above)


def _tail_multiplier(inside: FloatArray, everywhere: FloatArray, tail: float) -> float:
    """What the given share of a bin exceeds, drawn to what it is for all cars."""
    overall = float(np.quantile(everywhere, 1.0 - tail))
    own = float(np.quantile(inside, 1.0 - tail)) if len(inside) else overall
    drawn = (len(inside) * own + _PRIOR * overall) / (len(inside) + _PRIOR)
    return max(drawn, _MIN_TAIL_MULTIPLIER)


def _factors_by_level(
    scores: FloatArray, level: npt.NDArray[np.int8], min_count: int
) -> tuple[tuple[float, ...], ...]:
    """The factors of each level, the less is known the wider."""
    rows = {COMPLETE: _factors(scores)}
    for wanted, known in (
        (COMPLETE, COMPLETE),
        (INCOMPLETE, COMPLETE),
        (UNKNOWN_MODEL, INCOMPLETE),
        (UNKNOWN_BRAND, UNKNOWN_MODEL),
    ):
        chosen = scores[level == wanted]
        rows[wanted] = _factors(chosen) if len(chosen) >= min_count else rows[known]
    rows[UNKNOWN_BRAND] = np.where(
        np.arange(len(QUANTILE_LEVELS)) < MEDIAN_INDEX,
        np.minimum(rows[UNKNOWN_BRAND], rows[UNKNOWN_MODEL]),
        np.maximum(rows[UNKNOWN_BRAND], rows[UNKNOWN_MODEL]),
    )
    rows[OUT_OF_RANGE] = _OUT_OF_RANGE_FACTOR * rows[INCOMPLETE]
    return tuple(tuple(rows[number].tolist()) for number in sorted(rows))


def _factors(scores: FloatArray) -> FloatArray:
    """Quantiles of the scaled residual around the point estimate, which stays the median."""
    found = np.quantile(scores, QUANTILE_LEVELS)
    found[MEDIAN_INDEX] = 0.0
    found[:MEDIAN_INDEX] = np.minimum(found[:MEDIAN_INDEX], 0.0)
    found[MEDIAN_INDEX:] = np.maximum(found[MEDIAN_INDEX:], 0.0)
    return np.asarray(found)
