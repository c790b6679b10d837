"""From the spread of the trees to prices at fixed quantiles: conformal calibration.

The forest gives a mean and a total standard deviation of the log price. The residual divided by
a scale made from both was collected on cars that the forest had not seen; its quantiles, one set
for each level of information, turn a new car's mean and deviation into prices that hold their
coverage.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shared.domain.valuation import QUANTILE_LEVELS

FloatArray = npt.NDArray[np.float64]
MEDIAN_INDEX = QUANTILE_LEVELS.index(0.50)
FEWEST_TO_CALIBRATE = 100
"""Cars behind the quantiles of a level of information."""
_BINS = 20
_PRIOR = 100.0
"""Cars that the whole weighs against a bin."""
_REACH = 0.90
_SMALLEST_SIZE = 0.05
_STEEPEST = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalCalibration:
    """Quantiles of the scaled residual for each level of information.

    Args:
        factors: (3, 9), one row for each level of `model_store.encoding`, one column for each of
            `QUANTILE_LEVELS`; not decreasing along a row, 0 at the median.
        floor: smallest standard deviation (log scale) that is believed.
        exponent: the scale grows as the deviation to this power.
        knots_log, widths: what it is multiplied by, at these log prices and linear between them:
            cheap and dear cars spread more than their neighbours in the forest tell.
    """

    factors: tuple[tuple[float, ...], ...]
    floor: float = 0.02
    exponent: float = 1.0
    knots_log: tuple[float, ...] = (0.0,)
    widths: tuple[float, ...] = (1.0,)

    def scale(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        """What a unit of the factors is worth on the log scale, (n,)."""
        width = np.interp(mean, self.knots_log, self.widths)
        return np.asarray(np.maximum(std, self.floor) ** self.exponent * width)

    def quantiles_log(
        self, level: npt.NDArray[np.int8], mean: FloatArray, std: FloatArray
    ) -> FloatArray:
        """Log prices (n, 9) at `QUANTILE_LEVELS`, not decreasing; the median is `mean`.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
        """
        factors = np.asarray(self.factors)[level]
        return np.asarray(mean[:, None] + factors * self.scale(mean, std)[:, None])

    @classmethod
    def fit(
        cls,
        level: npt.NDArray[np.int8],
        mean: FloatArray,
        std: FloatArray,
        actual: FloatArray,
        *,
        fewest: int = FEWEST_TO_CALIBRATE,
    ) -> Self:
        """Calibrate on cars that were not used to predict themselves.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            actual: (n,) log of the real prices.
            fewest: a level with fewer cars takes the quantiles of the level below it.
        """
        exponent = _exponent(std, np.abs(actual - mean), cls.floor)
        flat = cls(factors=(), exponent=exponent)
        knots, widths = _widths(mean, np.abs(actual - mean) / flat.scale(mean, std))
        raw = cls(factors=(), exponent=exponent, knots_log=knots, widths=widths)
        scores = (actual - mean) / raw.scale(mean, std)
        rows: list[tuple[float, ...]] = []
        for wanted in range(3):
            chosen = scores[level == wanted]
            if len(chosen) < fewest:
                chosen = scores if not rows else np.empty(0)
            rows.append(_factors(chosen) if len(chosen) else rows[-1])
        return dataclasses.replace(raw, factors=tuple(rows))

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "factors": [list(row) for row in self.factors],
            "floor": self.floor,
            "exponent": self.exponent,
            "knots_log": list(self.knots_log),
            "widths": list(self.widths),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            factors=tuple(tuple(row) for row in given["factors"]),
            floor=given["floor"],
            exponent=given["exponent"],
            knots_log=tuple(given["knots_log"]),
            widths=tuple(given["widths"]),
        )


def _exponent(std: FloatArray, size: FloatArray, floor: float) -> float:
    """How the log of the absolute residual grows with the log of the deviation."""
    offset = np.log(np.maximum(std, floor))
    offset -= offset.mean()
    log_size = np.log(size / np.maximum(std, floor) + _SMALLEST_SIZE)
    variance = float(np.mean(offset**2))
    slope = float(np.mean(offset * log_size)) / variance if variance > 0 else 0.0
    return 1.0 + float(np.clip(slope, -_STEEPEST, _STEEPEST))


def _widths(mean: FloatArray, size: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """How far the scaled residual reaches by bins of the price: (middles, reaches).

    A bin is drawn to the whole, so that few cars make a steady curve too.
    """
    edges = np.quantile(mean, np.arange(1, _BINS) / _BINS)
    middles = np.quantile(mean, (np.arange(_BINS) + 0.5) / _BINS)
    bins = np.searchsorted(edges, mean)
    overall = float(np.quantile(size, _REACH))
    widths = []
    for wanted in range(_BINS):
        inside = size[bins == wanted]
        own = float(np.quantile(inside, _REACH)) if len(inside) else overall
        widths.append((len(inside) * own + _PRIOR * overall) / (len(inside) + _PRIOR))
    return tuple(middles.tolist()), tuple(widths)


def _factors(scores: FloatArray) -> tuple[float, ...]:
    """Quantiles of the scaled residual around the point estimate, which stays the median."""
    found = np.quantile(scores, QUANTILE_LEVELS)
    found[MEDIAN_INDEX] = 0.0
    found[:MEDIAN_INDEX] = np.minimum(found[:MEDIAN_INDEX], 0.0)
    found[MEDIAN_INDEX:] = np.maximum(found[MEDIAN_INDEX:], 0.0)
    return tuple(float(value) for value in found)
