"""Choosing how stiff the baseline's cells are, and fitting it with and without each fold."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.hedonic.codes import ordinal_encoder_for
from data.hedonic.fit import HedonicFit, fit_hedonic
from data.hedonic.model import FloatArray, HedonicModel, IntArray, Term
from data.hedonic.predictor import HedonicPredictor
from data.hedonic.terms import with_scaled_penalty
from data.listings.table import car_columns

MIN_CELL_LISTINGS = 3
"""Listings behind a cell; what is trained stays with its owner, what is published needs more."""
PENALTY_FACTORS = (1.0, 2.0, 4.0)
_MAX_FULL_CV_LISTINGS = 10_000
"""Up to here the factors are compared on every fold, beyond it the first one tells them apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoldedListings:
    """Listings in folds, with what every fit of the baseline needs.

    Args:
        table: a canonical table.
        log_price: (n,)
        months: (n, m) columns of the date curve.
        fold_of: (n,) the fold of each listing.
    """

    table: pd.DataFrame
    log_price: FloatArray
    months: FloatArray
    fold_of: IntArray

    def fit(self, terms: Sequence[Term], without: int | None = None) -> HedonicFit:
        """The baseline from all listings, or from those outside a fold."""
        kept = np.flatnonzero(self.fold_of != (-1 if without is None else without))
        return fit_hedonic(
            self.table.iloc[kept].reset_index(drop=True),
            self.log_price[kept],
            terms,
            min_count=MIN_CELL_LISTINGS,
            nuisance=self.months[kept],
        )

    def members(self, fold: int) -> IntArray:
        """Positions of the fold's listings."""
        return np.flatnonzero(self.fold_of == fold)


def tune_penalty(listings: FoldedListings, folds: int) -> tuple[Sequence[Term], list[HedonicFit]]:
    """The terms as stiff as is best for these listings, with the fits without a fold so far.

    Few listings, or many cells, want to be held back more. Measured by the mean absolute error of
    the price on folds that the fit had not seen.

    Args:
        listings: to choose by.
        folds: their number; the fits are of the first ones.
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
    """Absolute errors of the price, MAD, on a fold."""
    inside = listings.members(fold)
    expected = _log_price(fit.model, listings.table.iloc[inside])
    expected += listings.months[inside] @ fit.nuisance
    return np.asarray(np.abs(np.exp(listings.log_price[inside]) - np.exp(expected)))


def _log_price(model: HedonicModel, listings: pd.DataFrame) -> FloatArray:
    predictor = HedonicPredictor(model, ordinal_encoder_for(model))
    return predictor.log_price(
        predictor.parts(predictor.ordinal_encoder.code(car_columns(listings), len(listings)))
    )
