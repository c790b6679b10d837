"""Conformal calibration of the price intervals.

The forest predicts a mean and a total standard deviation of the log price; the difficulty forest
predicts how large the error is in such deviations (`model_store.training.forests`). Training
divides the out-of-bag residuals by a scale made of both. The quantiles of these scores, one set for
each level of information, turn the predictions for a new car into prices at `QUANTILE_LEVELS`.
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from model_store.pricing.feature_matrix import (
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
"""Fewest cars from which the quantiles of a level of information are estimated."""
_BINS = 20
_PRIOR = 100.0
"""Weight of all cars against those of a bin, as a number of cars."""
_TAIL = 0.05
"""Share of the cars on each side of the 90 % interval."""
_TAIL_SKEW = 0.45
"""Part of `_TAIL` that moves from one side to the other: for the cheapest cars the tail probability
below is reduced by it and that above increased, for the dearest cars the reverse."""
_OUT_OF_RANGE_FACTOR = 2.0
"""Interval width of an `OUT_OF_RANGE` car relative to an `INCOMPLETE` one."""
_MIN_TAIL_MULTIPLIER = 1e-3
MIN_STD = 0.02
"""Lower bound of the forest's standard deviation, log scale."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalCalibration:
    """Quantiles of the scaled residual for each level of information.

    Args:
        factors: (5, 9), a row for each level of information (`model_store.pricing.feature_matrix`),
            a column for each of `QUANTILE_LEVELS`; not decreasing along a row, 0 at the median.
        knots_log: log prices between which `below` and `above` are interpolated linearly.
        below, above: multipliers of the scale on either side of the estimate, at the knots. The
            forest underestimates the spread of cheap cars downwards and of dear cars upwards.
    """

    factors: tuple[tuple[float, ...], ...]
    knots_log: tuple[float, ...] = (0.0,)
    below: tuple[float, ...] = (1.0,)
    above: tuple[float, ...] = (1.0,)

    @cached_property
    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Factors, knots, below and above as arrays: converting them costs more than using them."""
        factors, knots, below, above = self.factors, self.knots_log, self.below, self.above
        return np.array(factors), np.array(knots), np.array(below), np.array(above)

    def scales(
        self, mean: FloatArray, std: FloatArray, difficulty: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Scale of the factors below and above the estimate, log scale, (n,) each."""
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
            difficulty: (n,) log of the expected error in these deviations.
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
        """Calibrate on out-of-bag predictions.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            difficulty: (n,) log of the expected error in these deviations.
            actual: (n,) log of the real prices.
            min_count: a level with fewer cars takes the quantiles of the next better known level.
                `OUT_OF_RANGE` has a fixed factor, because training has hardly any such car;
                `UNKNOWN_BRAND` is never narrower than `UNKNOWN_MODEL`.
        """
        spread, _ = cls(factors=()).scales(mean, std, difficulty)
        knots, below, above = _tail_multipliers(mean, (actual - mean) / spread)
        raw = cls(factors=(), knots_log=knots, below=below, above=above)
        scores = (actual - mean) / np.where(actual < mean, *raw.scales(mean, std, difficulty))
        return dataclasses.replace(raw, factors=_factors_by_level(scores, level, min_count))

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        lists = {name: tuple(given[name]) for name in ("knots_log", "below", "above")}
        return cls(factors=tuple(map(tuple, given["factors"])), **lists)


def _tail_multipliers(
    mean: FloatArray, scaled: FloatArray
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Tail quantiles of the scaled residual by bins of the estimate: middles, below, above.

    Both tails together hold the same share of the cars in every bin; `_TAIL_SKEW` shifts it between
    them, because cars with a low estimate are overestimated more often. Quantiles of a bin are
    shrunk towards those of all cars, which stabilises bins with few cars.
    """
    ranks = (np.arange(_BINS) + 0.5) / _BINS
    edges = np.quantile(mean, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, mean)
    below, above = [], []
    for number, rank in enumerate(ranks):
        skew = _TAIL_SKEW * (1.0 - 2.0 * rank)
        inside = scaled[bins == number]
        below.append(_tail_multiplier(-inside, -scaled, _TAIL * (1.0 - skew)))
        above.append(_tail_multiplier(inside, scaled, _TAIL * (1.0 + skew)))
    return tuple(np.quantile(mean, ranks).tolist()), tuple(below), tuple(above)


def _tail_multiplier(inside: FloatArray, everywhere: FloatArray, tail: float) -> float:
    """The upper `tail` quantile of a bin, shrunk towards that of all cars."""
    overall = float(np.quantile(everywhere, 1.0 - tail))
    own = float(np.quantile(inside, 1.0 - tail)) if len(inside) else overall
    shrunk = (len(inside) * own + _PRIOR * overall) / (len(inside) + _PRIOR)
    return max(shrunk, _MIN_TAIL_MULTIPLIER)


def _factors_by_level(
    scores: FloatArray, level: npt.NDArray[np.int8], min_count: int
) -> tuple[tuple[float, ...], ...]:
    """The factors of each level of information."""
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
    """Quantiles of the scores; the point estimate stays the median."""
    found = np.quantile(scores, QUANTILE_LEVELS)
    found[MEDIAN_INDEX] = 0.0
    found[:MEDIAN_INDEX] = np.minimum(found[:MEDIAN_INDEX], 0.0)
    found[MEDIAN_INDEX:] = np.maximum(found[MEDIAN_INDEX:], 0.0)
    return np.asarray(found)
