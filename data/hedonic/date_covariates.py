"""Covariates of the month of listing: how prices of kinds of cars changed over the months.

A car of 2021 was nearly new in 2022 and is not today; luxury cars became cheaper while small ones
did not. With one price level by month for all cars, old listings would bias the effects of young
cars and of whole brands. These covariates give each age, class and brand a trend of its own. All
are zero in the month that prices are quoted for, so a prediction does not need them.
"""

import numpy as np
import pandas as pd
import scipy.sparse

from data.hedonic.model import FloatArray
from data.hedonic.terms import COARSE_YEAR
from data.vehicles.names import BRAND_CLASSES

_LATE_SHARE = 0.01


def date_covariates(
    listings: pd.DataFrame, months: FloatArray, weights: FloatArray | None = None
) -> scipy.sparse.csr_matrix:
    """The columns of `months`, then their interactions, (n, m + ...).

    Interactions are centred: the coefficients of `months` are the trend of the mean listing.

    Args:
        listings: a canonical table.
        months: (n, m) columns of the date curve (`data.market.reference.date_curve`), zero in the
            month that prices are quoted for.
        weights: (n,) of the listings in the means; None for equal ones.
    """
    if months.shape[1] == 0:
        return scipy.sparse.csr_matrix(months)
    years = COARSE_YEAR.columns(listings["year"].to_numpy(dtype=np.float64))
    classes = _indicators(listings["company"].map(BRAND_CLASSES).fillna(""))
    kinds = np.hstack([years, classes])
    kinds -= np.average(kinds, axis=0, weights=weights)
    recent = np.minimum(months - _latest_usual(months), 0.0)
    by_kind = [recent * kinds[:, [kind]] for kind in range(kinds.shape[1])]
    total = recent.sum(axis=1, keepdims=True)
    brands = scipy.sparse.csr_matrix(_indicators(listings["company"])).multiply(total)
    level = scipy.sparse.csr_matrix(np.hstack([months, *by_kind]))
    return scipy.sparse.hstack([level, brands]).tocsr()


def _latest_usual(months: FloatArray) -> FloatArray:
    """The columns (m,) of the latest month but for the last `_LATE_SHARE` of the listings.

    The trends of kinds of cars end there: a few later listings, or one with a wrong date, would
    extrapolate them over months that nothing is known about.
    """
    order = np.argsort(months.sum(axis=1), kind="stable")
    return np.asarray(months[order[int((1.0 - _LATE_SHARE) * (len(order) - 1))]])


def _indicators(values: pd.Series) -> FloatArray:
    """One column of zeros and ones for each distinct value, in sorted order."""
    codes, names = pd.factorize(values, sort=True)
    return np.asarray(np.eye(len(names))[codes])
