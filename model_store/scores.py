"""Figures of the quality of prices."""

import numpy as np

from data.hedonic import FloatArray
from shared.domain.valuation import QUANTILE_LEVELS

LOW_90, HIGH_90 = QUANTILE_LEVELS.index(0.05), QUANTILE_LEVELS.index(0.95)
"""Columns of the quantiles between which nine of ten prices lie."""


def scores(actual: FloatArray, price: FloatArray, quantiles: FloatArray) -> dict[str, float]:
    """Compare prices with what was asked.

    Args:
        actual: (n,) real prices, MAD.
        price: (n,) estimates, MAD.
        quantiles: (n, 9) prices at `QUANTILE_LEVELS`, MAD.

    Returns:
        `rows`, `r2`, `r2_log`, `mae_mad`, `rmse_mad`, `mape` and `median_ape` (percent), and
        `coverage_90`, the share of real prices inside the 90 % interval.
    """
    error = price - actual
    ape = np.abs(error) / actual * 100
    inside = (actual >= quantiles[:, LOW_90]) & (actual <= quantiles[:, HIGH_90])
    return {
        "rows": len(actual),
        "r2": round(r2(actual, price), 4),
        "r2_log": round(r2(np.log(actual), np.log(price)), 4),
        "mae_mad": round(float(np.mean(np.abs(error))), 1),
        "rmse_mad": round(float(np.sqrt(np.mean(error**2))), 1),
        "mape": round(float(np.mean(ape)), 2),
        "median_ape": round(float(np.median(ape)), 2),
        "coverage_90": round(float(np.mean(inside)), 4),
    }


def r2(actual: FloatArray, estimate: FloatArray) -> float:
    """Share of the variance explained; 0 where nothing varies."""
    variance = float(np.sum((actual - actual.mean()) ** 2))
    return 1.0 - float(np.sum((actual - estimate) ** 2)) / variance if variance > 0 else 0.0
