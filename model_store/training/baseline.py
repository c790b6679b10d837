"""Fits the baseline with and without each fold, and tunes its ridge penalty."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse

from data.hedonic.fit import HedonicFit, fit_hedonic
from data.hedonic.model import FloatArray, IntArray, Term
from data.hedonic.predictor import HedonicPredictor
from data.hedonic.terms import with_scaled_penalty
from data.listings.table import car_columns

MIN_CELL_LISTINGS = 3
"""Fewest listings behind a cell; the published reference market requires more."""
PENALTY_FACTORS = (1.0, 2.0, 4.0)
_MAX_FULL_CV_LISTINGS = 10_000
"""Up to here factors are compared on every fold, beyond it on the first fold only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoldedListings:
    """Listings with folds and the inputs of every fit of the baseline.

    Args:
        table: a canonical table.
        log_price: (n,)
        weights: (n,) of the listings in a fit.
        dates: (n, m) covariates of the month of listing.
        fold_of: (n,) the fold of each listing.
    """

    table: pd.DataFrame
    log_price: FloatArray
    weights: FloatArray
    dates: scipy.sparse.csr_matrix
    fold_of: IntArray

    def fit(self, terms: Sequence[Term], without: int | None = None) -> HedonicFit:
        """Fit the baseline on all listings, or on those outside a fold."""
        kept = np.flatnonzero(self.fold_of != (-1 if without is None else without))
        return fit_hedonic(
            self.table.iloc[kept].reset_index(drop=True),
            self.log_price[kept],
            terms,
            min_count=MIN_CELL_LISTINGS,
            nuisance=self.dates[kept],
            weights=self.weights[kept],
        )

    def members(self, fold: int) -> IntArray:
        """Positions of the fold's listings."""
        return np.flatnonzero(self.fold_of == fold)


def tune_penalty(listings: FoldedListings, folds: int) -> tuple[Sequence[Term], list[HedonicFit]]:
    """Choose the ridge penalty by cross-validation: the lowest mean absolute error of the price.

    Args:
        listings: the listings and their folds.
        folds: number of folds.

    Returns:
        The terms with the chosen penalty, and their fits without the first folds: without each of
        them up to `_MAX_FULL_CV_LISTINGS` listings, else without the first.
    """
    trials = folds if len(listings.table) <= _MAX_FULL_CV_LISTINGS else 1
    found = []
    for factor in PENALTY_FACTORS:
        terms = with_scaled_penalty(factor)
        fits = [listings.fit(terms, without=fold) for fold in range(trials)]
        errors = [_errors(listings, fit, fold) for fold, fit in enumerate(fits)]
        found.append((float(np.mean(np.concatenate(errors))), terms, fits))
    _, terms, fits = min(found, key=lambda each: each[0])
    return terms, fits


def _errors(listings: FoldedListings, fit: HedonicFit, fold: int) -> FloatArray:
    """Absolute out-of-fold errors of the price, MAD."""
    inside = listings.members(fold)
    expected = HedonicPredictor(fit.model).predict(
        car_columns(listings.table.iloc[inside]), len(inside)
    )
    expected += listings.dates[inside] @ fit.nuisance
    return np.asarray(np.abs(np.exp(listings.log_price[inside]) - np.exp(expected)))
