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


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalCalibration:
    """Quantiles of the scaled residual for each level of information.

    Args:
        factors: (3, 9), one row for each level of `model_store.encoding`, one column for each of
            `QUANTILE_LEVELS`; not decreasing along a row, 0 at the median.
        floor: smallest standard deviation (log scale) that is believed.
        slope, centre_log: the scale also grows as exp(slope * (centre_log - mean)): cheap cars
            spread more than their neighbours in the forest tell.
    """

    factors: tuple[tuple[float, ...], ...]
    floor: float = 0.02
    slope: float = 0.0
    centre_log: float = 0.0

    def scale(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        """What a unit of the factors is worth on the log scale, (n,)."""
        tilt = np.exp(np.clip(self.slope * (self.centre_log - mean), -1.0, 1.0))
        return np.asarray(np.maximum(std, self.floor) * tilt)

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
        fewest: int = 100,
    ) -> Self:
        """Calibrate on cars that were not used to predict themselves.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            actual: (n,) log of the real prices.
            fewest: a level with fewer cars takes the quantiles of the level below it.
        """
        slope, centre_log = _tilt(mean, std, actual)
        raw = cls(factors=(), slope=slope, centre_log=centre_log)
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
            "slope": self.slope,
            "centre_log": self.centre_log,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            factors=tuple(tuple(row) for row in given["factors"]),
            floor=given["floor"],
            slope=given["slope"],
            centre_log=given["centre_log"],
        )


def _tilt(mean: FloatArray, std: FloatArray, actual: FloatArray) -> tuple[float, float]:
    """How the log of the scaled absolute residual falls with the log price: (slope, centre)."""
    centre_log = float(np.mean(mean))
    size = np.log(np.abs(actual - mean) / np.maximum(std, 0.02) + 0.05)
    offset = mean - centre_log
    variance = float(np.mean(offset**2))
    slope = -float(np.mean(offset * size)) / variance if variance > 0 else 0.0
    return float(np.clip(slope, -0.5, 0.5)), centre_log


def _factors(scores: FloatArray) -> tuple[float, ...]:
    """Quantiles of the scaled residual around the point estimate, which stays the median."""
    found = np.quantile(scores, QUANTILE_LEVELS)
    found[MEDIAN_INDEX] = 0.0
    found[:MEDIAN_INDEX] = np.minimum(found[:MEDIAN_INDEX], 0.0)
    found[MEDIAN_INDEX:] = np.maximum(found[MEDIAN_INDEX:], 0.0)
    return tuple(float(value) for value in found)
