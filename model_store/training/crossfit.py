"""Cross-fits the baseline: encodes each training car by a baseline fitted without its fold.

Also applies field dropout. Callers omit optional fields and request models that no listing had, so
a share of the training cars has fields removed, and the forest learns the residuals of incomplete
cars. Rows are changed, not added, so out-of-bag estimates stay unbiased.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.date_covariates import date_covariates
from data.hedonic.model import FloatArray
from data.hedonic.ordinal_encoder import NUMBERS
from data.listings.table import CORE_FIELDS, LISTING_DATE, PRICE, car_columns, latest_month
from data.listings.weights import listing_weights
from data.market.calibrate import assign_folds
from data.market.reference import date_curve, month_number
from model_store.pricing.feature_matrix import BASELINE, EFFECT_PREFIX, CarEncoder, EncodedCars
from model_store.training.baseline import FoldedListings, tune_penalty
from shared.domain.car import CATEGORIES, FIELD_NAMES

_DETAIL_FIELDS = ("fiscal_power_cv", "engine_cc", "max_power_bhp", "edition")
_MIN_DETAIL_SHARE = 0.5
_RANGE_TAIL = 0.001
"""Share of the listings outside each end of the training range of a number."""
_MIN_FEATURE_SHARE = 0.05

FIELD_DROPOUT_RATE = 0.15
"""Share of the values removed from each field that is not one of `CORE_FIELDS`."""
CORE_ONLY_RATE = 0.10
"""Share of the cars that keep only `CORE_FIELDS`."""
UNKNOWN_MODEL_RATE = 0.04
"""Share of the cars whose model is replaced by an unknown one."""
UNKNOWN_BRAND_RATE = 0.015
"""Share of the cars whose brand is replaced too."""
UNKNOWN_NAME = "(unknown)"
"""Name of an unknown brand or model; folded names contain no brackets."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CrossFitResult:
    """The encoder for new cars, and the training cars encoded out of fold.

    Args:
        encoder: fitted on all listings.
        encoded: each training car, by a baseline fitted without its fold.
        residual: (n,) log price minus that baseline, at the price level of the latest month.
        month_slopes: (m,) coefficients of the date curve; empty if the listings have no dates.
        masked: (n,) whether field dropout replaced the car's model by an unknown one.
        weights: (n,) of the listings in fits.
    """

    encoder: CarEncoder
    encoded: EncodedCars
    residual: FloatArray
    month_slopes: FloatArray
    masked: npt.NDArray[np.bool_]
    weights: FloatArray


def cross_fit(
    listings: pd.DataFrame, *, folds: int, seed: int, on_progress: Callable[[str], None]
) -> CrossFitResult:
    """Fit the baseline on all listings and once without each fold.

    Args:
        listings: a canonical table.
        folds: number of folds; near duplicates share theirs.
        seed: of the folds and of the field dropout.
        on_progress: called after the search for the penalty and after each fit.
    """
    months, weights = _months(listings), listing_weights(listings)
    known = FoldedListings(
        table=listings,
        log_price=np.log(listings[PRICE].to_numpy(dtype=np.float64)),
        weights=weights,
        dates=date_covariates(listings, months, weights),
        fold_of=assign_folds(listings, folds, seed),
    )
    terms, fits = tune_penalty(known, folds)
    on_progress("stiffness")
    fit = known.fit(terms)
    features = _features(listings, tuple(term.field for term in fit.model.terms))
    encoder = CarEncoder(fit.model, features, _detail_fields(listings), _ranges(listings))
    on_progress("baseline")
    with_missing = with_dropout(listings, seed=seed)
    rows = len(listings)
    matrix = np.empty((rows, len(features)), dtype=np.float32)
    encoded = EncodedCars(matrix, np.empty(rows), np.empty(rows, dtype=np.int8))
    residual = np.empty(rows)
    for fold in range(folds):
        inside = known.members(fold)
        fold_fit = fits[fold] if fold < len(fits) else known.fit(terms, without=fold)
        fold_encoder = CarEncoder(fold_fit.model, features, encoder.detail_fields, encoder.ranges)
        part = fold_encoder.encode_columns(car_columns(with_missing.iloc[inside]), len(inside))
        encoded.matrix[inside] = part.matrix
        encoded.baseline_log[inside] = part.baseline_log
        encoded.level[inside] = part.level
        dated = known.dates[inside] @ fold_fit.nuisance
        residual[inside] = known.log_price[inside] - part.baseline_log - dated
        on_progress(f"fold {fold + 1} of {folds}")
    return CrossFitResult(
        encoder=encoder,
        encoded=encoded,
        residual=residual,
        month_slopes=fit.nuisance[: months.shape[1]],
        masked=(with_missing["model"] == UNKNOWN_NAME).to_numpy(),
        weights=weights,
    )


def with_dropout(listings: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """A copy of `listings` with fields removed at random."""
    rng = np.random.default_rng(seed)
    with_missing = listings.copy()
    core_only = rng.random(len(with_missing)) < CORE_ONLY_RATE
    for name in FIELD_NAMES:
        is_removed = core_only | (rng.random(len(with_missing)) < FIELD_DROPOUT_RATE)
        if name not in CORE_FIELDS:
            with_missing.loc[is_removed, name] = None
    drawn = rng.random(len(with_missing))
    with_missing.loc[drawn < UNKNOWN_MODEL_RATE, "model"] = UNKNOWN_NAME
    with_missing.loc[drawn < UNKNOWN_BRAND_RATE, "company"] = UNKNOWN_NAME
    return with_missing


def _months(listings: pd.DataFrame) -> FloatArray:
    """Columns of the date curve by month of listing; none if the listings have no dates."""
    dates = listings[LISTING_DATE].dropna()
    if dates.nunique() < 2:  # noqa: PLR2004 - one month has no trend
        return np.empty((len(listings), 0))
    as_of = latest_month(listings)
    numbers = listings[LISTING_DATE].fillna(as_of).map(month_number).to_numpy(dtype=np.float64)
    return date_curve(str(dates.min()), as_of).columns(numbers)


def _features(listings: pd.DataFrame, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Feature columns that vary among these listings, in a fixed order."""
    numbers = [name for name in NUMBERS if listings[name].notna().mean() >= _MIN_FEATURE_SHARE]
    varies = {name for name in {*CATEGORIES, *fields} if len(listings[name].dropna().unique()) > 1}
    categories = [name for name in CATEGORIES if name in varies]
    effects = [EFFECT_PREFIX + field for field in sorted(varies.intersection(fields))]
    return (*numbers, *categories, *effects, BASELINE)


def _detail_fields(listings: pd.DataFrame) -> tuple[str, ...]:
    """Optional fields that most of these listings state: a car without them is incomplete."""
    stated = listings[list(_DETAIL_FIELDS)].notna().mean()
    return tuple(name for name in _DETAIL_FIELDS if stated[name] >= _MIN_DETAIL_SHARE)


def _ranges(listings: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Training range of each number: the bounds of nearly all listings that state it.

    The lower bound of the kilometres is 0.
    """
    found = {}
    for name in NUMBERS:
        values = listings[name].dropna()
        if len(values) >= _MIN_FEATURE_SHARE * len(listings):
            low, high = values.quantile(_RANGE_TAIL), values.quantile(1.0 - _RANGE_TAIL)
            found[name] = (0.0 if name == "km_driven" else float(low), float(high))
    return found
