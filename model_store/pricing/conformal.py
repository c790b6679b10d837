"""Conformal quantiles of scaled residuals: by price, for groups, by level of information."""

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
_BINS = 20
_PRIOR = 100.0
"""Weight of all cars against those of a bin, as a number of cars."""
_TAIL = 0.05
"""Share of the cars on each side of the 90 % interval."""
_TAIL_RANKS = (0.0, 0.15, 0.5, 0.85, 1.0)
_TAILS_BELOW = (0.008, 0.022, 0.050, 0.062, 0.067)
_TAILS_ABOVE = (0.057, 0.058, 0.051, 0.044, 0.029)
"""Shares of the cars below and above the interval at ranks of the estimate, linear between them.
A low estimate is often too high, a high one too low; and the prices of the cheapest cars are the
first that lie outside when the data ages, so fewer of them do when it is new."""
_OUT_OF_RANGE_FACTOR = 2.0
"""Interval width of an `OUT_OF_RANGE` car relative to an `INCOMPLETE` one."""
_MIN_TAIL_MULTIPLIER = 1e-3


def tail_multipliers(
    mean: FloatArray, scaled: FloatArray
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Tail quantiles of the scaled residual by bins of the estimate: middles, below, above.

    Each tail holds its share of the cars (`_TAILS_BELOW`, `_TAILS_ABOVE`). Quantiles of a bin are
    shrunk towards those of all cars, which stabilises bins with few cars.
    """
    ranks = (np.arange(_BINS) + 0.5) / _BINS
    edges = np.quantile(mean, np.arange(1, _BINS) / _BINS)
    bins = np.searchsorted(edges, mean)
    below, above = [], []
    tails_below = np.interp(ranks, _TAIL_RANKS, _TAILS_BELOW)
    tails_above = np.interp(ranks, _TAIL_RANKS, _TAILS_ABOVE)
    for number in range(_BINS):
        inside = scaled[bins == number]
        below.append(_tail_multiplier(-inside, -scaled, float(tails_below[number])))
        above.append(_tail_multiplier(inside, scaled, float(tails_above[number])))
    return tuple(np.quantile(mean, ranks).tolist()), tuple(below), tuple(above)


def _tail_multiplier(inside: FloatArray, everywhere: FloatArray, tail: float) -> float:
    """The upper `tail` quantile of a bin, shrunk towards that of all cars."""
    overall = float(np.quantile(everywhere, 1.0 - tail))
    own = float(np.quantile(inside, 1.0 - tail)) if len(inside) else overall
    shrunk = (len(inside) * own + _PRIOR * overall) / (len(inside) + _PRIOR)
    return max(shrunk, _MIN_TAIL_MULTIPLIER)


def ratio_of_tails(inside: FloatArray, everywhere: FloatArray) -> float:
    """The upper tail quantile of a group over that of all cars, shrunk towards 1."""
    overall = float(np.quantile(everywhere, 1.0 - _TAIL))
    if not len(inside) or overall <= 0:
        return 1.0
    return _tail_multiplier(inside, everywhere, _TAIL) / overall


def factors_by_level(
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
