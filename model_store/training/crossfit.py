"""Fitting the baseline, and encoding the training cars as if the baseline had not seen them."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.calibrate import folds_of, latest_month
from data.car_codes import NUMBERS
from data.hedonic import FloatArray
from data.market import date_curve, month_number
from data.schema import LISTING_DATE, PRICE, car_columns
from model_store.encoding import BASELINE, EFFECT_PREFIX, CarEncoder, EncodedCars
from model_store.training.baseline import FoldedListings, best_terms
from model_store.training.dropout import UNKNOWN, with_dropout
from shared.domain.car import CATEGORIES

_DETAILS = ("fiscal_power_cv", "engine_cc", "max_power_bhp", "edition")
_COMMON = 0.5
_EXTREME = 0.001
"""Share of the listings beyond each end of the usual range of a number."""
_RARE = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CrossFitted:
    """Encoder for new cars, and the training cars encoded without looking at themselves.

    Args:
        encoder: fitted on all listings.
        encoded: each training car by a baseline that was fitted without its fold.
        residual: (n,) log price minus that baseline, at the price level of the latest month.
        month_slopes: (m,) slopes of the date curve; empty where the listings carry no dates.
        masked: (n,) whether the car's model was made unknown by field dropout.
    """

    encoder: CarEncoder
    encoded: EncodedCars
    residual: FloatArray
    month_slopes: FloatArray
    masked: npt.NDArray[np.bool_]


def cross_fit(
    listings: pd.DataFrame, *, folds: int, seed: int, advance: Callable[[str], None]
) -> CrossFitted:
    """Fit the baseline once for all listings and once without each fold.

    Args:
        listings: a canonical table.
        folds: number of folds; near duplicates share theirs.
        seed: of the folds and of the field dropout.
        advance: told after each fit.
    """
    known = FoldedListings(
        table=listings,
        log_price=np.log(listings[PRICE].to_numpy(dtype=np.float64)),
        months=_months(listings),
        fold_of=folds_of(listings, folds, seed),
    )
    terms, fits = best_terms(known, folds)
    advance("stiffness")
    fit = known.fit(terms)
    features = _features(listings, tuple(term.field for term in fit.model.terms))
    encoder = CarEncoder(fit.model, features, _detail_fields(listings), _ranges(listings))
    advance("baseline")
    thinned = with_dropout(listings, seed=seed)
    encoded = _empty(len(listings), len(features))
    residual = np.empty(len(listings))
    for fold in range(folds):
        inside = known.members(fold)
        partial = fits[fold] if fold < len(fits) else known.fit(terms, without=fold)
        blind = CarEncoder(partial.model, features, encoder.detail_fields, encoder.ranges)
        part = blind.encode_columns(car_columns(thinned.iloc[inside]), len(inside))
        encoded.matrix[inside] = part.matrix
        encoded.baseline_log[inside] = part.baseline_log
        encoded.level[inside] = part.level
        dated = known.months[inside] @ partial.nuisance
        residual[inside] = known.log_price[inside] - part.baseline_log - dated
        advance(f"fold {fold + 1} of {folds}")
    return CrossFitted(
        encoder=encoder,
        encoded=encoded,
        residual=residual,
        month_slopes=fit.nuisance,
        masked=(thinned["model"] == UNKNOWN).to_numpy(),
    )


def _empty(rows: int, width: int) -> EncodedCars:
    return EncodedCars(
        np.empty((rows, width), dtype=np.float32),
        np.empty(rows),
        np.empty(rows, dtype=np.int8),
    )


def _months(listings: pd.DataFrame) -> FloatArray:
    """The price level's columns by month of listing; none where the listings carry no dates."""
    dates = listings[LISTING_DATE].dropna()
    if dates.nunique() < 2:  # noqa: PLR2004 - one month has no trend
        return np.empty((len(listings), 0))
    as_of = latest_month(listings)
    numbers = listings[LISTING_DATE].fillna(as_of).map(month_number).to_numpy(dtype=np.float64)
    return date_curve(str(dates.min()), as_of).columns(numbers)


def _features(listings: pd.DataFrame, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that say something about these listings, in a fixed order."""
    numbers = [name for name in NUMBERS if listings[name].notna().mean() >= _RARE]
    categories = [name for name in CATEGORIES if _varies(listings[name])]
    effects = [EFFECT_PREFIX + field for field in sorted(set(fields)) if _varies(listings[field])]
    return (*numbers, *categories, *effects, BASELINE)


def _varies(column: pd.Series) -> bool:
    return len(column.dropna().unique()) > 1


def _detail_fields(listings: pd.DataFrame) -> tuple[str, ...]:
    """Optional fields that most of these listings state: a car without them is thinly described."""
    return tuple(name for name in _DETAILS if listings[name].notna().mean() >= _COMMON)


def _ranges(listings: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Between which bounds nearly all listings lie that state a number.

    A car may always have been driven as little as its owner pleases.
    """
    found = {}
    for name in NUMBERS:
        values = listings[name].dropna()
        if len(values) >= _RARE * len(listings):
            low, high = values.quantile(_EXTREME), values.quantile(1.0 - _EXTREME)
            found[name] = (0.0 if name == "km_driven" else float(low), float(high))
    return found
