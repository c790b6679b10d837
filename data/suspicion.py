"""Prices that are probably typing errors: a digit too many or too few, a monthly instalment."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.schema import PRICE

_FACTOR = 4.0
"""A price this many times above or below its like is suspect..."""
_DEVIATIONS = 6.0
"""...if it is also this many robust deviations away."""
_FEWEST = 5


def suspicious_prices(listings: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each listing's price is far from what its model and year ask for, (n,)."""
    log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
    ageing = _slope(listings["year"].to_numpy(dtype=np.float64), log_price)
    level = pd.Series(log_price - ageing * listings["year"].to_numpy(dtype=np.float64))
    groups = level.groupby([listings["company"].to_numpy(), listings["model"].to_numpy()])
    centre = groups.transform("median").where(groups.transform("size") >= _FEWEST, level.median())
    distance = (level - centre).abs().to_numpy()
    spread = 1.4826 * float(np.median(distance))
    return (distance > np.log(_FACTOR)) & (distance > _DEVIATIONS * spread)


def _slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Least squares slope; 0 where x does not vary."""
    offset = x - x.mean()
    variance = float(np.mean(offset**2))
    return float(np.mean(offset * (y - y.mean()))) / variance if variance > 0 else 0.0
