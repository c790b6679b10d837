"""Measures how errors grow with the age of the data: rolling origins.

For some months in the past (origins) a baseline is fitted on the listings up to the month and its
errors are measured on those three to twelve months later. Their tails are compared with those of
the cross-fitted baseline on the same listings, so only what the passing of time adds is counted.
Both are divided by the scale of the model's intervals. Fitting the baseline alone takes about a
second of CPU time per origin; the forest corrects either error in the same way.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls

from data.hedonic.date_covariates import date_covariates
from data.hedonic.model import FloatArray, IntArray, Term
from data.hedonic.predictor import HedonicPredictor
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, car_columns
from data.listings.weights import listing_weights
from data.market.reference import date_curve
from model_store.pricing.error_growth import (
    FIRST_MONTHS,
    MAX_YOUNG_AGE,
    REFERENCE_GROWTH,
    ErrorGrowth,
)
from model_store.pricing.feature_matrix import UNKNOWN_MODEL
from model_store.registry.manifest import MEASURED, REFERENCE, REFERENCE_MARKET
from model_store.training.baseline import FoldedListings
from shared.domain.clock import month_name, month_number, year_of
from shared.domain.valuation import CALIBRATION_HORIZON_MONTHS

MAX_ORIGINS = 5
MIN_ORIGIN_LISTINGS = 500
"""Fewest listings up to an origin."""
MIN_ORIGIN_SHARE = 1 / 3
"""Least share of all listings up to an origin: a model of much less data errs otherwise."""
MIN_LATER_LISTINGS = 200
"""Fewest listings three to twelve months after an origin."""
MIN_RECENT_SHARE = 0.02
"""Least share of the listings in the last months: a few later ones do not make the data newer."""
RECENT_MONTHS = 24
MIN_RECENT_LISTINGS = 5_000
"""Fewest of the last `RECENT_MONTHS` months on which intervals are calibrated alone."""
MIN_CELL_LISTINGS = 50
STATED_MONTHS = (0, 3, 6, 9, 12, 18, 24)
"""Ages of the data whose width the manifest states, months."""
_PRICE_BANDS = 5
_PRIOR = 500.0
"""Weight of all cars against those of a cell, as a number of listings."""
_MAX_WEIGHT = 2_000
"""Listings of an origin count up to this number: no single month decides."""
_TAIL = 0.05
_PERIODS = ((1, 2), (3, 5), (6, 8), (9, 12))
_MIN_HALF_SHARE = 0.5
"""Least growth of a half of the interval, as a share of the mean of both."""
_LIMITS = (-0.1, 1.0)
"""Bounds of a measured growth at the middle of the horizon."""

BoolArray = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ListingErrors:
    """What the model and its cross-fitted baseline say about the training listings.

    Args:
        table: the listings, with the fields that the model was asked with.
        baseline_error: (n,) error of the cross-fitted baseline at each listing's own month.
        estimate_log: (n,) out-of-bag estimates.
        below, above: (n,) scales of the intervals on either side.
        level: (n,) level of information.
    """

    table: pd.DataFrame
    baseline_error: FloatArray
    estimate_log: FloatArray
    below: FloatArray
    above: FloatArray
    level: npt.NDArray[np.int8]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Later:
    """Listings after one origin: positions, months since it, and errors of either baseline."""

    rows: IntArray
    months: IntArray
    later_error: FloatArray
    same_error: FloatArray


class _GrowthNotMeasurableError(Exception):
    """The listings cannot show how errors grow; the message gives the reason."""


def resembles_later_cars(listings: pd.DataFrame) -> BoolArray:
    """Whether each listing is like those that the intervals are for, (n,).

    It is of the last `RECENT_MONTHS` months and states its kilometres, as most listings do:
    intervals that are calibrated on all listings are wider and cover no more of the later ones. All
    listings, if fewer than `MIN_RECENT_LISTINGS` remain.
    """
    months = _month_numbers(listings)
    is_recent = (months == 0) | (months > months.max() - RECENT_MONTHS)
    found = is_recent & listings["km_driven"].notna().to_numpy()
    return found if found.sum() >= MIN_RECENT_LISTINGS else np.ones(len(listings), dtype=np.bool_)


def growth_of(
    name: str, errors: ListingErrors, listings: pd.DataFrame, terms: Sequence[Term]
) -> tuple[ErrorGrowth, dict[str, Any]]:
    """As `measure_growth`; the reference growth for generated listings, which do not age.

    The second value also has `width_by_months`: the factor of the width at `STATED_MONTHS`.
    """
    if name == REFERENCE_MARKET:
        growth, source = _reference("the listings are generated", listings)
    else:
        growth, source = measure_growth(errors, listings, terms)
    widths = {str(months): round(growth.width(months), 3) for months in STATED_MONTHS}
    return growth, source | {"width_by_months": widths}


def measure_growth(
    errors: ListingErrors, listings: pd.DataFrame, terms: Sequence[Term]
) -> tuple[ErrorGrowth, dict[str, Any]]:
    """How the errors grow with the age of the data, and where the figures come from.

    Args:
        errors: of the training listings.
        listings: the same listings as they were, to fit on.
        terms: of the baseline.

    Returns:
        The growth, and for the manifest: `source` (`measured` or `reference`), then `origins`
        (months), `listings` (their number) and `data_until` (the month from which age counts), or
        `reason`, why it could not be measured.
    """
    try:
        months = _months(listings)
        origins = _origins(months)
        later = [_after(origin, months, errors, listings, terms) for origin in origins]
        growth = _growth(later, errors, months)
    except _GrowthNotMeasurableError as error:
        return _reference(str(error), listings)
    distinct = np.unique(np.concatenate([each.rows for each in later]))
    names = [month_name(origin) for origin in origins]
    growth, until = _with_lag(growth, months)
    return growth, {
        "source": MEASURED,
        "origins": names,
        "listings": len(distinct),
        "data_until": until,
    }


def _reference(reason: str, listings: pd.DataFrame) -> tuple[ErrorGrowth, dict[str, Any]]:
    """The reference growth, and for the manifest why it is taken."""
    source = {"source": REFERENCE, "reason": reason}
    months = _month_numbers(listings)
    if not months.any():
        return REFERENCE_GROWTH, source
    growth, until = _with_lag(REFERENCE_GROWTH, months)
    return growth, source | {"data_until": until}


def _with_lag(growth: ErrorGrowth, months: IntArray) -> tuple[ErrorGrowth, str]:
    """The growth of data that is scarce in its last months, and the month from which age counts.

    It is the last month that at least `MIN_RECENT_SHARE` of the listings are not older than.
    """
    dated = np.sort(months[months > 0])
    until = int(dated[-max(1, round(MIN_RECENT_SHARE * len(dated)))])
    return dataclasses.replace(growth, lag_months=int(dated[-1]) - until), month_name(until)


def _month_numbers(listings: pd.DataFrame) -> IntArray:
    """Number of each listing's month, 0 if it is not dated."""
    dates = listings[LISTING_DATE]
    known = {date: month_number(date) for date in dates.dropna().unique()}
    return dates.map(known).fillna(0).to_numpy(dtype=np.int64)


def _months(listings: pd.DataFrame) -> IntArray:
    """As `_month_numbers`, of listings of several months."""
    dates = listings[LISTING_DATE]
    if dates.isna().all():
        raise _GrowthNotMeasurableError("the listings have no dates")
    if dates.nunique() < 2:  # noqa: PLR2004 - missing dates are none
        raise _GrowthNotMeasurableError(f"all listings are of one month ({dates.dropna().iloc[0]})")
    return _month_numbers(listings)


def _origins(months: IntArray) -> list[int]:
    """Up to `MAX_ORIGINS` months, spread evenly, with enough listings before and after them."""
    dated = months[months > 0]
    needed = max(MIN_ORIGIN_LISTINGS, MIN_ORIGIN_SHARE * len(dated))
    found = []
    for month in np.unique(dated).tolist():
        ages = dated - month
        after = np.sum((ages >= FIRST_MONTHS) & (ages <= CALIBRATION_HORIZON_MONTHS))
        if np.sum(ages <= 0) >= needed and after >= MIN_LATER_LISTINGS:
            found.append(month)
    if not found:
        raise _GrowthNotMeasurableError(
            f"no month has a third of the listings (at least {MIN_ORIGIN_LISTINGS}) up to it and"
            f" {MIN_LATER_LISTINGS} three to twelve months after it"
        )
    picked = np.linspace(0, len(found) - 1, min(MAX_ORIGINS, len(found)))
    return [found[round(place)] for place in picked]


def _after(
    origin: int,
    months: IntArray,
    errors: ListingErrors,
    listings: pd.DataFrame,
    terms: Sequence[Term],
) -> _Later:
    """Fit the baseline on the listings up to a month, and price those after it."""
    log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
    before = np.flatnonzero((months > 0) & (months <= origin))
    is_usable = ~listings[PRICE_SUSPECT].to_numpy(dtype=bool)
    last = origin + CALIBRATION_HORIZON_MONTHS
    rows = np.flatnonzero((months > origin) & (months <= last) & is_usable)
    curve = date_curve(month_name(int(months[before].min())), month_name(origin))
    table = listings.iloc[before].reset_index(drop=True)
    columns, weights = curve.columns(months[before].astype(np.float64)), listing_weights(table)
    known = FoldedListings(
        table=table,
        log_price=log_price[before],
        weights=weights,
        dates=date_covariates(table, columns, weights),
        fold_of=np.zeros(len(before), dtype=np.int64),
    )
    model = known.fit(terms).model
    expected = HedonicPredictor(model).predict(car_columns(errors.table.iloc[rows]), len(rows))
    return _Later(
        rows=rows,
        months=months[rows] - origin,
        later_error=log_price[rows] - expected,
        same_error=errors.baseline_error[rows],
    )


def _growth(later: Sequence[_Later], errors: ListingErrors, months: IntArray) -> ErrorGrowth:
    scale = np.sqrt(errors.below * errors.above)
    initial, per_month = _course(later, scale)
    course = ErrorGrowth(
        initial=initial, per_month=per_month, knots_log=(0.0,), below=(0.0,), above=(0.0,)
    )
    later = [_from_first_months(each) for each in later]
    ages = np.concatenate([each.months for each in later])
    share = float(np.mean([course.course(age) for age in ages.tolist()])) or 1.0
    is_young = year_of_months(months) - _years(errors.table) <= MAX_YOUNG_AGE
    bands, knots = _price_bands(later, errors.estimate_log)
    found: dict[str, Any] = {}
    for side, sign, width in (("below", -1.0, errors.below), ("above", 1.0, errors.above)):
        overall, _ = _tail_ratio(later, sign, width, np.ones(len(width), dtype=bool))
        by_band = [
            _shrunk(_tail_ratio(later, sign, width, bands == band), overall)
            for band in range(len(knots))
        ]
        found[side] = np.array([_limited((ratio - 1.0) / share) for ratio in by_band])
        grown = width * np.interp(errors.estimate_log, knots, by_band)
        # Young cars are few: what the listings do not show is taken from the reference growth.
        usual = 1.0 + share * getattr(REFERENCE_GROWTH, f"young_{side}")
        young = _shrunk(_tail_ratio(later, sign, width, is_young, later_width=grown), usual)
        found[f"young_{side}"] = max(0.0, _limited((young - 1.0) / share))
    mean = (found["below"] + found["above"]) / 2.0
    for side in ("below", "above"):
        # The level may move the other way next time: no half grows much less than the other.
        found[side] = tuple(np.maximum(found[side], _MIN_HALF_SHARE * mean).clip(0.0).tolist())
    unknown = _unknown_growth(later, errors) / share
    return dataclasses.replace(
        course,
        knots_log=tuple(knots),
        levels=(0.0, 0.0, 0.0, unknown, unknown),
        **found,
    )


def _unknown_growth(later: Sequence[_Later], errors: ListingErrors) -> float:
    """Further growth of cars of unknown models: both sides, relative to the other cars."""
    scale = np.sqrt(errors.below * errors.above)
    is_unknown = errors.level >= UNKNOWN_MODEL
    known, _ = _tail_ratio(later, 0.0, scale, ~is_unknown)
    return _limited(_shrunk(_tail_ratio(later, 0.0, scale, is_unknown), known) / known - 1.0)


def _course(later: Sequence[_Later], scale: FloatArray) -> tuple[float, float]:
    """Initial growth and growth per month, by non-negative least squares over `_PERIODS`."""
    rows, target, weights = [], [], []
    for each in later:
        for first, last in _PERIODS:
            part = _part(each, (each.months >= first) & (each.months <= last))
            if len(part.rows) < MIN_LATER_LISTINGS:
                continue
            ratio, count = _tail_ratio([part], 0.0, scale, np.ones(len(scale), dtype=bool))
            age = float(np.mean(part.months))
            rows.append((min(age / FIRST_MONTHS, 1.0), age))
            target.append(ratio - 1.0)
            weights.append(np.sqrt(count))
    if not rows:
        raise _GrowthNotMeasurableError("too few listings in each quarter after the origins")
    root = np.array(weights)
    solution, _ = nnls(np.array(rows) * root[:, None], np.array(target) * root)
    if not solution.any():  # errors did not grow
        return REFERENCE_GROWTH.initial / 10, REFERENCE_GROWTH.per_month / 10
    return float(solution[0]), float(solution[1])


def _tail_ratio(
    later: Sequence[_Later],
    sign: float,
    width: FloatArray,
    is_member: BoolArray,
    *,
    later_width: FloatArray | None = None,
) -> tuple[float, float]:
    """Tail of the later errors over that of the errors in the same period, and its weight.

    Args:
        later: listings after each origin.
        sign: -1 of the tail below the estimate, 1 above, 0 of both.
        width: (n,) scale by which errors are divided.
        is_member: (n,) whether a listing is in the cell.
        later_width: (n,) scale of the later errors, if another.
    """
    wide = width if later_width is None else later_width
    ratios, weights = [], []
    for each in later:
        inside = is_member[each.rows]
        rows = each.rows[inside]
        if len(rows) < MIN_CELL_LISTINGS:
            continue
        tail = _tail(each.later_error[inside] / wide[rows], sign)
        usual = _tail(each.same_error[inside] / width[rows], sign)
        ratios.append(tail / max(usual, 1e-6))
        weights.append(min(len(rows), _MAX_WEIGHT))
    if not ratios:
        return 1.0, 0.0
    return float(np.average(ratios, weights=weights)), float(np.sum(weights))


def _tail(scores: FloatArray, sign: float) -> float:
    if sign == 0:
        return float(np.quantile(np.abs(scores), 1.0 - 2.0 * _TAIL))
    return float(np.quantile(sign * scores, 1.0 - _TAIL))


def _shrunk(measured: tuple[float, float], overall: float) -> float:
    """A ratio of a cell, shrunk towards that of all cars."""
    ratio, weight = measured
    return (weight * ratio + _PRIOR * overall) / (weight + _PRIOR)


def _limited(growth: float) -> float:
    return float(np.clip(growth, *_LIMITS))


def _price_bands(later: Sequence[_Later], estimate_log: FloatArray) -> tuple[IntArray, list[float]]:
    """The price band of each listing, (n,), and the middles of the bands."""
    values = estimate_log[np.unique(np.concatenate([each.rows for each in later]))]
    edges = np.quantile(values, np.arange(1, _PRICE_BANDS) / _PRICE_BANDS)
    middles = np.quantile(values, (np.arange(_PRICE_BANDS) + 0.5) / _PRICE_BANDS)
    return np.searchsorted(edges, estimate_log), middles.tolist()


def _from_first_months(later: _Later) -> _Later:
    return _part(later, later.months >= FIRST_MONTHS)


def _part(later: _Later, kept: BoolArray) -> _Later:
    return _Later(
        rows=later.rows[kept],
        months=later.months[kept],
        later_error=later.later_error[kept],
        same_error=later.same_error[kept],
    )


def year_of_months(months: IntArray) -> IntArray:
    """The year of each month's number, (n,)."""
    return np.array([year_of(month) for month in months.tolist()], dtype=np.int64)


def _years(table: pd.DataFrame) -> IntArray:
    return table["year"].to_numpy(dtype=np.int64)
