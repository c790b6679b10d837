"""The population stability index (PSI) of binned shares, corrected for small samples.

PSI = sum over bins of (a - e) ln(a / e), with the expected share e (training) and the actual share
a. Even without any drift its expected value is positive, about (bins - 1) (1/n + 1/N) for n cars
and N listings. That value is simulated and subtracted.
"""

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

MODERATE, SIGNIFICANT = 0.1, 0.25
"""The usual thresholds of the PSI."""
MIN_CARS = 100
MIN_CARS_PER_BIN = 10
"""A PSI of fewer cars is not given."""
CHANCE = 0.99
"""Nor is one that chance alone would raise by `MODERATE` once in a hundred times."""
MIN_SHARE = 1e-4
"""Shares below it are raised to it: the PSI of a value that training never had, like a new brand,
or that no car has any more would otherwise grow with the number of listings or cars."""
_DRAWS = 200
_PRIOR_CARS = 1.0
"""Cars with the expected shares that are added to the actual ones: no share is 0."""

FloatArray = npt.NDArray[np.float64]


class DriftLevel(StrEnum):
    """What a PSI means."""

    STABLE = "stable"
    """Below 0.1."""
    MODERATE = "moderate"
    """From 0.1 to 0.25."""
    SIGNIFICANT = "significant"
    """0.25 or more."""
    TOO_FEW = "too-few"
    """There are too few cars for a PSI."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Psi:
    """The PSI of one field in one period."""

    value: float | None
    """Corrected, 0 or more; None: too few cars."""
    bias: float | None
    """What was subtracted: the mean PSI of as many cars without drift."""
    cars: int
    """Number of cars behind the figure."""
    needed: int
    """Smallest number of cars for which a PSI is given."""

    @property
    def level(self) -> DriftLevel:
        """What the PSI means."""
        if self.value is None:
            return DriftLevel.TOO_FEW
        if self.value < MODERATE:
            return DriftLevel.STABLE
        return DriftLevel.MODERATE if self.value < SIGNIFICANT else DriftLevel.SIGNIFICANT

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return {
            "psi": self.value,
            "bias": self.bias,
            "cars": self.cars,
            "needed": self.needed,
            "level": str(self.level),
        }


def corrected_psi(
    shares: Sequence[float], rows: int, counts: FloatArray, *, cars: int, effective: float
) -> Psi:
    """The PSI of counted cars.

    Args:
        shares: expected share of each bin.
        rows: number of training listings behind them.
        counts: (bins,) cars in each bin; weighted if they are a sample.
        cars: number of cars that were counted.
        effective: number of equally weighted cars with the same precision.
    """
    expected = np.maximum(np.asarray(shares, dtype=np.float64), MIN_SHARE)
    expected /= expected.sum()
    needed = max(MIN_CARS, MIN_CARS_PER_BIN * int(np.sum(np.asarray(shares) > MIN_SHARE)))
    size = int(min(cars, effective))
    if size < needed:
        return Psi(value=None, bias=None, cars=cars, needed=needed)
    raw = float(_psi(expected, _smoothed(counts / counts.sum() * size, expected)))
    without_drift = _psi_without_drift(expected, rows, size)
    bias = float(np.mean(without_drift))
    chance = float(np.quantile(without_drift, CHANCE)) - bias
    if chance > MODERATE:
        # Both are about inversely proportional to the number of cars.
        needed = max(needed, int(np.ceil(size * chance / MODERATE / 10) * 10))
        return Psi(value=None, bias=None, cars=cars, needed=needed)
    value = round(max(raw - bias, 0.0), 4)
    return Psi(value=value, bias=round(bias, 4), cars=cars, needed=needed)


def _psi_without_drift(expected: FloatArray, rows: int, size: int) -> FloatArray:
    """PSI of cars drawn from the same population as the listings, (draws,)."""
    random = np.random.default_rng(size)
    actual = random.multinomial(size, expected, size=_DRAWS).astype(np.float64)
    trained = random.multinomial(max(rows, 1), expected, size=_DRAWS) / max(rows, 1)
    trained = np.maximum(trained, MIN_SHARE)
    trained /= trained.sum(axis=1, keepdims=True)
    return _psi(trained, _smoothed(actual, trained))


def _smoothed(counts: FloatArray, expected: FloatArray) -> FloatArray:
    """Actual shares, none of them 0."""
    total = counts.sum(axis=-1, keepdims=True)
    shares = np.maximum((counts + _PRIOR_CARS * expected) / (total + _PRIOR_CARS), MIN_SHARE)
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _psi(expected: FloatArray, actual: FloatArray) -> FloatArray:
    return np.asarray(np.sum((actual - expected) * np.log(actual / expected), axis=-1))
