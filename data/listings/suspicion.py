"""Detects prices and kilometres that are probably typing errors: missing or extra digits."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.listings.table import LISTING_DATE, PRICE

_FACTOR = 4.0
"""A price is suspect if it is this many times above or below the median of its model,"""
_DEVIATIONS = 6.0
"""and also this many robust standard deviations away."""
_MIN_GROUP_SIZE = 5
_MIN_KM_PER_YEAR = 3_500.0
_IGNORED_YEARS = 3.0


def suspicious_prices(listings: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each listing's price is far from that of its model and year, (n,)."""
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

    The prices of such listings are ordinary: "120" stands for 120,000. They would bias the effect
    of low kilometres towards zero.
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
    """Least-squares slope; 0 if x is constant."""
    offset = x - x.mean()
    variance = float(np.mean(offset**2))
    return float(np.mean(offset * (y - y.mean()))) / variance if variance > 0 else 0.0
