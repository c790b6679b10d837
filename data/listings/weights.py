"""Weights of listings by how much they say about today's prices."""

import numpy as np
import pandas as pd

from data.hedonic.model import FloatArray
from data.listings.table import LISTING_DATE, latest_month
from data.market.reference import month_number

HALF_LIFE_MONTHS = 24.0
"""Months after which a listing counts half."""
_WITHOUT_KM = 0.3
"""Factor for a listing that does not state its kilometres."""
_MIN_STATED_SHARE = 0.5
"""Share of the listings that must state their kilometres for that factor to apply."""


def listing_weights(listings: pd.DataFrame) -> FloatArray:
    """Weights (n,) of listings in a fit, with mean 1.

    A listing that is older than the latest one, or that lacks the kilometres most others state,
    has a smaller weight; one without a date counts as the latest. All weights are 1 if neither
    distinguishes the listings.

    Args:
        listings: a canonical table.
    """
    latest = latest_month(listings)
    months = listings[LISTING_DATE].fillna(latest).map(month_number).to_numpy(dtype=np.float64)
    weights = np.exp2((months - month_number(latest)) / HALF_LIFE_MONTHS)
    has_km = listings["km_driven"].notna().to_numpy()
    if has_km.mean() >= _MIN_STATED_SHARE:
        weights = np.where(has_km, weights, weights * _WITHOUT_KM)
    return np.asarray(weights / weights.mean())
