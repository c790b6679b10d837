"""Rolling origins: fits a baseline on the listings up to a month and prices those after it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.date_covariates import date_covariates
from data.hedonic.model import FloatArray, IntArray, Term
from data.hedonic.predictor import HedonicPredictor
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, car_columns
from data.listings.weights import listing_weights
from data.market.reference import date_curve
from model_store.pricing.error_growth import FIRST_MONTHS
from model_store.training.baseline import FoldedListings
from shared.domain.clock import month_name, month_number
from shared.domain.valuation import CALIBRATION_HORIZON_MONTHS

MAX_ORIGINS = 5
MIN_ORIGIN_LISTINGS = 500
"""Fewest listings up to an origin."""
MIN_ORIGIN_SHARE = 1 / 3
"""Least share of all listings up to an origin: a model of much less data errs otherwise."""
MIN_LATER_LISTINGS = 200
"""Fewest listings three to twelve months after an origin."""

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
        is_young: (n,) whether the car is young and shows how young cars are asked for.
    """

    table: pd.DataFrame
    baseline_error: FloatArray
    estimate_log: FloatArray
    below: FloatArray
    above: FloatArray
    level: npt.NDArray[np.int8]
    is_young: BoolArray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LaterErrors:
    """Listings after one origin: positions, months since it, and errors of either baseline."""

    rows: IntArray
    months: IntArray
    later_error: FloatArray
    same_error: FloatArray

    def part(self, kept: BoolArray) -> "LaterErrors":
        """The errors of some of the listings."""
        return LaterErrors(
            rows=self.rows[kept],
            months=self.months[kept],
            later_error=self.later_error[kept],
            same_error=self.same_error[kept],
        )


class GrowthNotMeasurableError(Exception):
    """The listings cannot show how errors grow.

    Args:
        code: of the reason, for texts in other languages (`model_store.cards.growth`).
        reason: the same in English.
        month: that the reason names (YYYY-MM); None if it names none.
    """

    def __init__(self, code: str, reason: str, month: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.month = month

    def to_json(self) -> dict[str, str]:
        """The reason for a manifest: `reason`, `reason_code` and, if it names one, `month`."""
        stated = {"reason": str(self), "reason_code": self.code}
        return stated if self.month is None else stated | {"month": self.month}


def month_numbers(listings: pd.DataFrame) -> IntArray:
    """Number of each listing's month, 0 if it is not dated."""
    dates = listings[LISTING_DATE]
    known = {date: month_number(date) for date in dates.dropna().unique()}
    return dates.map(known).fillna(0).to_numpy(dtype=np.int64)


def dated_months(listings: pd.DataFrame) -> IntArray:
    """As `month_numbers`, of listings of several months."""
    dates = listings[LISTING_DATE]
    if dates.isna().all():
        raise GrowthNotMeasurableError("no-dates", "the listings have no dates")
    if dates.nunique() < 2:  # noqa: PLR2004 - missing dates are none
        month = str(dates.dropna().iloc[0])
        raise GrowthNotMeasurableError(
            "one-month", f"all listings are of one month ({month})", month
        )
    return month_numbers(listings)


def rolling_origins(months: IntArray) -> list[int]:
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
        raise GrowthNotMeasurableError(
            "no-origin",
            f"no month has a third of the listings (at least {MIN_ORIGIN_LISTINGS}) up to it and"
            f" {MIN_LATER_LISTINGS} three to twelve months after it",
        )
    picked = np.linspace(0, len(found) - 1, min(MAX_ORIGINS, len(found)))
    return [found[round(place)] for place in picked]


def errors_after(
    origin: int,
    months: IntArray,
    errors: ListingErrors,
    listings: pd.DataFrame,
    terms: Sequence[Term],
) -> LaterErrors:
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
    return LaterErrors(
        rows=rows,
        months=months[rows] - origin,
        later_error=log_price[rows] - expected,
        same_error=errors.baseline_error[rows],
    )
