"""Figures that are probably typing errors: a digit too many or too few, thousands left out."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.table import LISTING_DATE, PRICE

_FACTOR = 4.0
"""A price this many times above or below its like is suspect..."""
_DEVIATIONS = 6.0
"""...if it is also this many robust deviations away."""
_MIN_GROUP_SIZE = 5
_MIN_KM_PER_YEAR = 3_500.0
_IGNORED_YEARS = 3.0


def suspicious_prices(listings: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each listing's price is far from what its model and year ask for, (n,)."""
    log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
    ageing = _slope(listings["year"].to_numpy(dtype=np.float64), log_price)
    level = pd.Series(log_price - ageing * listings["year"].to_numpy(dtype=np.float64))
    groups = level.groupby([listings["company"].to_numpy(), listings["model"].to_numpy()])
    centre = groups.transform("median").where(
        groups.transform("size") >= _MIN_GROUP_SIZE, level.median()
    )
    distance = (level - centre).abs().to_numpy()
    spread = 1.4826 * float(np.median(distance))
    return np.asarray((distance > np.log(_FACTOR)) & (distance > _DEVIATIONS * spread))


def implausible_km(listings: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each car has driven far too little for its age, (n,).

    Such listings ask the price of an ordinary car: "120" stands for 120,000. Left in, they would
    teach that a low figure is worth nothing.
    """
    latest = listings["year"].max()
    listed = listings[LISTING_DATE].str.slice(0, 4).astype(np.float64).fillna(latest).to_numpy()
    age = listed - listings["year"].to_numpy(dtype=np.float64)
    return np.asarray(
        listings["km_driven"].to_numpy(dtype=np.float64)
        < _MIN_KM_PER_YEAR * np.maximum(age - _IGNORED_YEARS, 0.0)
    )


def without_implausible_km(listings: pd.DataFrame) -> pd.DataFrame:
    """A copy in which implausible kilometres are missing."""
    cleaned = listings.copy()
    cleaned.loc[implausible_km(listings), "km_driven"] = np.nan
    return cleaned


def _slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Least squares slope; 0 where x does not vary."""
    offset = x - x.mean()
    variance = float(np.mean(offset**2))
    return float(np.mean(offset * (y - y.mean()))) / variance if variance > 0 else 0.0
