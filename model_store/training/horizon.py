"""Measures how errors grow with the age of the data, by rolling origins.

The tails of the errors three to twelve months after an origin are compared with those of the
cross-fitted baseline on the same listings, so only what the passing of time adds is counted. Both
are divided by the scale of the model's intervals. Fitting the baseline alone takes about a second
of CPU time per origin; the forest corrects either error in the same way.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from data.hedonic.model import FloatArray, IntArray, Term
from model_store.pricing.error_growth import (
    FIRST_MONTHS,
    REFERENCE_GROWTH,
    ErrorGrowth,
)
from model_store.pricing.feature_matrix import UNKNOWN_MODEL
from model_store.registry.manifest import MEASURED, REFERENCE, REFERENCE_MARKET
from model_store.training.rolling_origins import (
    MIN_LATER_LISTINGS,
    BoolArray,
    GrowthNotMeasurableError,
    LaterErrors,
    ListingErrors,
    dated_months,
    errors_after,
    month_numbers,
    rolling_origins,
)
from shared.domain.clock import month_name

MIN_RECENT_SHARE = 0.02
"""Least share of the listings in the last months: a few later ones do not make the data newer."""
RECENT_MONTHS = 24
MIN_RECENT_LISTINGS = 10_000
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


def resembles_later_cars(name: str, listings: pd.DataFrame) -> BoolArray:
    """Whether each listing is like those that the intervals are for, (n,).

    It is of the last `RECENT_MONTHS` months and states its kilometres, as most listings do:
    intervals that are calibrated on all listings are wider and cover no more of the later ones. All
    listings, if fewer than `MIN_RECENT_LISTINGS` remain, or they are generated.
    """
    everywhere = np.ones(len(listings), dtype=np.bool_)
    if name == REFERENCE_MARKET:
        return everywhere
    months = month_numbers(listings)
    is_recent = (months == 0) | (months > months.max() - RECENT_MONTHS)
    found = is_recent & listings["km_driven"].notna().to_numpy()
    return found if found.sum() >= MIN_RECENT_LISTINGS else everywhere


def growth_of(
    name: str, errors: ListingErrors, listings: pd.DataFrame, terms: Sequence[Term]
) -> tuple[ErrorGrowth, dict[str, Any]]:
    """As `measure_growth`; the reference growth for generated listings, which do not age.

    Young cars then have no factor of their own: the spread that they are generated with has it.
    The second value also has `width_by_months`: the factor of the width at `STATED_MONTHS`.
    """
    if name == REFERENCE_MARKET:
        growth, source = _reference(
            GrowthNotMeasurableError("generated", "the listings are generated"), listings
        )
        growth = dataclasses.replace(growth, young_below=0.0, young_above=0.0)
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
        `reason`, why it could not be measured, and `reason_code`.
    """
    try:
        months = dated_months(listings)
        origins = rolling_origins(months)
        later = [errors_after(origin, months, errors, listings, terms) for origin in origins]
        growth = _growth(later, errors)
    except GrowthNotMeasurableError as error:
        return _reference(error, listings)
    distinct = np.unique(np.concatenate([each.rows for each in later]))
    names = [month_name(origin) for origin in origins]
    growth, until = _with_lag(growth, months)
    return growth, {
        "source": MEASURED,
        "origins": names,
        "listings": len(distinct),
        "data_until": until,
    }


def _reference(
    error: GrowthNotMeasurableError, listings: pd.DataFrame
) -> tuple[ErrorGrowth, dict[str, Any]]:
    """The reference growth, and for the manifest why it is taken."""
    source = {"source": REFERENCE, **error.to_json()}
    months = month_numbers(listings)
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


def _growth(later: Sequence[LaterErrors], errors: ListingErrors) -> ErrorGrowth:
    scale = np.sqrt(errors.below * errors.above)
    initial, per_month = _course(later, scale)
    course = ErrorGrowth(
        initial=initial, per_month=per_month, knots_log=(0.0,), below=(0.0,), above=(0.0,)
    )
    later = [each.part(each.months >= FIRST_MONTHS) for each in later]
    ages = np.concatenate([each.months for each in later])
    share = float(np.mean([course.course(age) for age in ages.tolist()])) or 1.0
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
        young = _shrunk(_tail_ratio(later, sign, width, errors.is_young, later_width=grown), usual)
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


def _unknown_growth(later: Sequence[LaterErrors], errors: ListingErrors) -> float:
    """Further growth of cars of unknown models: both sides, relative to the other cars."""
    scale = np.sqrt(errors.below * errors.above)
    is_unknown = errors.level >= UNKNOWN_MODEL
    known, _ = _tail_ratio(later, 0.0, scale, ~is_unknown)
    return _limited(_shrunk(_tail_ratio(later, 0.0, scale, is_unknown), known) / known - 1.0)


def _course(later: Sequence[LaterErrors], scale: FloatArray) -> tuple[float, float]:
    """Initial growth and growth per month, by non-negative least squares over `_PERIODS`."""
    rows, target, weights = [], [], []
    for each in later:
        for first, last in _PERIODS:
            part = each.part((each.months >= first) & (each.months <= last))
            if len(part.rows) < MIN_LATER_LISTINGS:
                continue
            ratio, count = _tail_ratio([part], 0.0, scale, np.ones(len(scale), dtype=bool))
            age = float(np.mean(part.months))
            rows.append((min(age / FIRST_MONTHS, 1.0), age))
            target.append(ratio - 1.0)
            weights.append(np.sqrt(count))
    if not rows:
        raise GrowthNotMeasurableError(
            "few-later", "too few listings in each quarter after the origins"
        )
    root = np.array(weights)
    solution, _ = nnls(np.array(rows) * root[:, None], np.array(target) * root)
    if not solution.any():  # errors did not grow
        return REFERENCE_GROWTH.initial / 10, REFERENCE_GROWTH.per_month / 10
    return float(solution[0]), float(solution[1])


def _tail_ratio(
    later: Sequence[LaterErrors],
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


def _price_bands(
    later: Sequence[LaterErrors], estimate_log: FloatArray
) -> tuple[IntArray, list[float]]:
    """The price band of each listing, (n,), and the middles of the bands."""
    values = estimate_log[np.unique(np.concatenate([each.rows for each in later]))]
    edges = np.quantile(values, np.arange(1, _PRICE_BANDS) / _PRICE_BANDS)
    middles = np.quantile(values, (np.arange(_PRICE_BANDS) + 0.5) / _PRICE_BANDS)
    return np.searchsorted(edges, estimate_log), middles.tolist()
