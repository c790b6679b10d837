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
    by_kind = [months * kinds[:, [kind]] for kind in range(kinds.shape[1])]
    total = months.sum(axis=1, keepdims=True)
    brands = scipy.sparse.csr_matrix(_indicators(listings["company"])).multiply(total)
    return scipy.sparse.hstack(
        [scipy.sparse.csr_matrix(np.hstack([months, *by_kind])), brands]
    ).tocsr()


def _indicators(values: pd.Series) -> FloatArray:
    """One column of zeros and ones for each distinct value, in sorted order."""
    codes, names = pd.factorize(values, sort=True)
    return np.asarray(np.eye(len(names))[codes])
