"""Recalibrates a version's intervals and price level on later listings, without training.

Intervals are conformal: each later price is compared with the interval that the version would have
given in its month, and the intervals are scaled so that nine of ten prices lie inside. The level of
the last months of the listings becomes the price level. Reported sales change the width only: the
prices are asking prices, and sales are usually below them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import FloatArray
from data.listings.files import ListingsError
from data.listings.fingerprints import Fingerprints, stored_fingerprints
from data.listings.suspicion import without_implausible_km
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, until_quoted_month
from data.market.calibrate import require_several_brands
from data.market.distributions import age_at_listing
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.error_growth import MAX_YOUNG_AGE
from model_store.pricing.inference import LoadedModel
from model_store.training.dated_estimates import estimate_listings
from model_store.training.evaluation import HIGH_90, LOW_90
from shared.domain.clock import current_month, month_name, month_number
from shared.domain.sale import SaleReport
from shared.i18n.command import gettext as _

MIN_PRICES = 200
"""Fewest later listings, or reported sales without listings."""
LEVEL_MONTHS = 3
"""The price level is that of the last months of the listings, this many."""
MIN_LEVEL_LISTINGS = 100
"""With fewer listings in these months, all listings decide the level."""
MAX_LEVEL_FACTOR = 1.6
"""A level further above or below the version's is another currency or market, whatever its age."""
_LEVEL_FACTOR, _LEVEL_FACTOR_A_MONTH = 1.25, 1.02
"""Largest change of the level at once, and further for each month since the version's data. Of
Moroccan listings of 2021 to 2026 the level moved by 3 %; sources differ by up to 15 %."""
MIN_BRAND_LISTINGS = 30
"""Fewest listings of a brand whose own level is stated."""
_MIN_LEVEL_BRANDS = 3
_MAX_BRAND_FACTOR = 1.1
"""Change of the level that fewer brands, or a single one of them, may cause for all cars; and
distance of a brand's level from it that is stated."""
_BRAND_LISTINGS = 10
"""Fewest listings of a brand that counts among those."""
MAX_MEDIAN_ERROR = 0.5
"""A larger median error, log scale, after the change of level: these are not prices of the cars."""
_COVERAGE = 0.9
_BANDS = 5
_PRIOR = 100.0
_MIN_HALF_WIDTH = 0.02
"""Least half-width of an interval, log scale, that an error is divided by."""

BoolArray = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Scores:
    """Prices compared with their intervals.

    Args:
        error: (n,) log price minus the estimate, after the change of level.
        below, above: (n,) half-widths of the 90 % interval, log scale.
        estimate_log: (n,) estimates.
        is_young: (n,) whether the car is at most `MAX_YOUNG_AGE` years old.
    """

    error: FloatArray
    below: FloatArray
    above: FloatArray
    estimate_log: FloatArray
    is_young: BoolArray

    @property
    def relative(self) -> FloatArray:
        """Errors relative to the half of the interval that they lie on: 1 is its end, (n,)."""
        return np.where(self.error < 0, -self.error / self.below, self.error / self.above)

    def part(self, kept: BoolArray) -> "_Scores":
        """The scores of some prices."""
        return _Scores(**{name: values[kept] for name, values in vars(self).items()})

    def __add__(self, other: "_Scores") -> "_Scores":
        pairs = {name: (values, vars(other)[name]) for name, values in vars(self).items()}
        return _Scores(**{name: np.concatenate(pair) for name, pair in pairs.items()})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Recalibration:
    """The result: what a new version with the same forest needs.

    Args:
        calibration: of the intervals, with the change of level.
        training: of the manifest, with the new `data_as_of` and `price_index`.
        calibrated_on: of the manifest; see `ModelVersion.calibrated_on`.
        rows: sorted fingerprints of the later listings, suspicious ones included, by the key of the
            version's training rows; empty without listings.
    """

    calibration: IntervalCalibration
    training: dict[str, Any]
    calibrated_on: dict[str, Any]
    rows: Fingerprints


def recalibrate(
    model: LoadedModel,
    listings: pd.DataFrame | None,
    sales: Sequence[SaleReport] = (),
    *,
    name: str = "sales",
) -> Recalibration:
    """Recalibrate a version on listings later than its data, on reported sales, or on both.

    Args:
        model: the version.
        listings: a canonical table; None: sales only.
        sales: reports on valuations by this version or another with the same forest.
        name: of the data, for the manifest.

    Raises:
        ListingsError: too few prices, no dates, dates in the future, none after `data_as_of`, a
            single brand, a price level far from the version's, or one that few brands decide.
    """
    version, shift, month, scores = model.version, 0.0, model.version.data_as_of, None
    calibration, later, by_brand = model.calibration, None, {}
    rows: Fingerprints = np.empty(0, dtype=np.uint64)
    left_out = 0
    if listings is not None:
        used = _later_listings(listings, version.data_as_of)
        # Suspicious prices were looked at, too: those left over would be no sample of unseen ones.
        seen = listings[_is_later(listings, version.data_as_of)]
        left_out = len(seen) - len(used)
        rows = stored_fingerprints(seen, str(version.training["digest"]))
        later = until_quoted_month(without_implausible_km(used).reset_index(drop=True))
        month = str(later[LISTING_DATE].max())
        shift, scores = _compare(model, later)
        by_brand = _brands_apart(later, scores.error, shift)
        age = month_number(month) - month_number(version.data_as_of)
        calibration = calibration.aged(calibration.age_of_data(age))
    if sales:
        scores = _sale_scores(sales) if scores is None else scores + _sale_scores(sales)
    if scores is None or len(scores.error) < MIN_PRICES:
        count = 0 if scores is None else len(scores.error)
        raise ListingsError(
            _(
                "{count} reported sales of this version are too few to calibrate intervals; at "
                "least {least}"
            ).format(count=count, least=MIN_PRICES)
        )
    changed = _scaled(calibration, scores)
    factor = float(np.exp(shift))
    index = {name: round(level / factor, 4) for name, level in version.price_index.items()}
    return Recalibration(
        calibration=dataclasses.replace(changed, shift_log=calibration.shift_log + shift),
        training={
            **version.training,
            "data_as_of": month,
            "price_index": index | ({month: 1.0} if index or later is not None else {}),
        },
        calibrated_on={
            "version": version.id,
            "name": name,
            "rows": 0 if later is None else len(later),
            "months": None
            if later is None
            else [str(later[LISTING_DATE].min()), str(later[LISTING_DATE].max())],
            "sales": len(sales),
            "left_out": left_out,
            "levels_by_brand": by_brand,
            "median_ape": None if later is None else _median_ape(scores.error[: len(later)]),
            "price_level": round(factor, 4),
            **_before_and_after(scores),
        },
        rows=rows,
    )


def level_bounds(months: float) -> tuple[float, float]:
    """Lowest and highest change of the price level that is taken for one.

    Args:
        months: since the data of the version.
    """
    high = min(MAX_LEVEL_FACTOR, _LEVEL_FACTOR * _LEVEL_FACTOR_A_MONTH ** max(months, 0.0))
    return 1 / high, high


def _median_ape(error: FloatArray) -> float:
    """Median absolute error in percent of the price, of log prices minus estimates."""
    return round(100 * float(np.median(np.abs(np.expm1(-error)))), 2)


def _is_later(listings: pd.DataFrame, data_as_of: str) -> "pd.Series[bool]":
    dates = listings[LISTING_DATE]
    return dates.notna() & (dates > data_as_of)


def _later_listings(listings: pd.DataFrame, data_as_of: str) -> pd.DataFrame:
    """The usable listings after a month.

    Raises:
        ListingsError: see `recalibrate`.
    """
    dates = listings[LISTING_DATE]
    if dates.isna().all():
        raise ListingsError(
            _(
                "the listings have no dates, so their price level belongs to no month: add a "
                "column listing_date (YYYY-MM)"
            )
        )
    require_several_brands(listings)
    known = dates.dropna()
    latest = str(known.max())
    if month_number(latest) > current_month():
        raise ListingsError(
            _(
                "listings are dated in the future ({latest}); the current month is {month_name}"
            ).format(latest=latest, month_name=month_name(current_month()))
        )
    usable = _is_later(listings, data_as_of) & ~listings[PRICE_SUSPECT].astype(bool)
    if (count := int(usable.sum())) < MIN_PRICES:
        raise ListingsError(
            _(
                "{count} of {listings} listings are usable and later than {data_as_of}, the "
                "data of the version; at least {least} are needed (listed until {latest})"
            ).format(
                count=count,
                listings=len(listings),
                data_as_of=data_as_of,
                least=MIN_PRICES,
                latest=latest,
            )
        )
    later = listings[usable].reset_index(drop=True)
    require_several_brands(later)
    return later


def _compare(model: LoadedModel, later: pd.DataFrame) -> tuple[float, _Scores]:
    """The change of the price level, log scale, and the prices compared with their intervals.

    Raises:
        ListingsError: the level is absurd, or the prices do not follow the cars.
    """
    table = estimate_listings(model, later)
    logs = np.log(table.quantiles_mad)
    estimate_log = np.log(table.price_mad)
    error = np.log(later[PRICE].to_numpy(dtype=np.float64)) - estimate_log
    months = later[LISTING_DATE].map(month_number).to_numpy(dtype=np.int64)
    recent = months > months.max() - LEVEL_MONTHS
    if recent.sum() < MIN_LEVEL_LISTINGS:
        recent[:] = True
    shift = float(np.median(error[recent]))
    factor = float(np.exp(shift))
    passed = int(months.max()) - month_number(model.version.data_as_of)
    low, high = level_bounds(passed)
    if not low <= factor <= high:
        raise ListingsError(
            _(
                "the listings ask {factor} times the estimates (median): is this another "
                "currency or market? {passed} months after the data of the version, between "
                "{low} and {high} times is accepted"
            ).format(factor=f"{factor:.3g}", passed=passed, low=f"{low:.2f}", high=f"{high:.2f}")
        )
    _check_brands(error[recent], later["company"].to_numpy()[recent], shift)
    if (spread := float(np.median(np.abs(error - shift)))) > MAX_MEDIAN_ERROR:
        raise ListingsError(
            _(
                "the asking prices do not follow the cars: the median error is {spread} % after"
                " the change of level"
            ).format(spread=f"{100 * (np.exp(spread) - 1):.0f}")
        )
    scores = _Scores(
        error=error - shift,
        below=np.maximum(estimate_log - logs[:, LOW_90], _MIN_HALF_WIDTH),
        above=np.maximum(logs[:, HIGH_90] - estimate_log, _MIN_HALF_WIDTH),
        estimate_log=estimate_log,
        is_young=age_at_listing(later) <= MAX_YOUNG_AGE,
    )
    return shift, scores


def _check_brands(error: FloatArray, brands: npt.NDArray[np.object_], shift: float) -> None:
    """Raise `ListingsError` if few brands alone would move the price level of all cars."""
    limit = float(np.log(_MAX_BRAND_FACTOR))
    if abs(shift) <= limit:
        return
    names, counts = np.unique(brands.astype(str), return_counts=True)
    if (counts >= _BRAND_LISTINGS).sum() < _MIN_LEVEL_BRANDS:
        raise ListingsError(
            _(
                "the listings are of {names} and ask {shift} times the estimates (median), but "
                "the price level is that of all brands: at least {least} brands "
                "with {each} listings are needed for a change of more than "
                "{change}"
            ).format(
                names=", ".join(names[np.argsort(-counts)][:_MIN_LEVEL_BRANDS]),
                shift=f"{np.exp(shift):.3g}",
                _MIN_LEVEL_BRANDS=_MIN_LEVEL_BRANDS,
                _BRAND_LISTINGS=_BRAND_LISTINGS,
                _MAX_BRAND_FACTOR=f"{_MAX_BRAND_FACTOR - 1:.0%}",
            )
        )
    most = names[np.argmax(counts)]
    others = float(np.median(error[brands != most]))
    if abs(shift - others) > limit:
        raise ListingsError(
            _(
                "the listings ask {shift} times the estimates (median), and without those of "
                "{most} {others} times: the price level of all brands would follow that of one."
                " Train on the listings instead, or leave this brand out"
            ).format(shift=f"{np.exp(shift):.3g}", most=most, others=f"{np.exp(others):.3g}")
        )


def _brands_apart(later: pd.DataFrame, error: FloatArray, shift: float) -> dict[str, float]:
    """Change of the level of each brand that is far from that of all.

    Args:
        later: the listings.
        error: (n,) their log prices minus the estimates at the new level.
        shift: change of the level of all, log scale.
    """
    own = pd.Series(error).groupby(later["company"].to_numpy()).agg(["median", "size"])
    is_apart = own["median"].abs() > np.log(_MAX_BRAND_FACTOR)
    apart = own["median"][is_apart & (own["size"] >= MIN_BRAND_LISTINGS)] + shift
    return {str(brand): round(float(np.exp(level)), 4) for brand, level in apart.items()}


def _sale_scores(sales: Sequence[SaleReport]) -> _Scores:
    """Sale prices compared with the intervals that were given, around their own median level."""
    rows = [(one.sale.price_mad, one.price_mad, one.low_mad, one.high_mad) for one in sales]
    sold, price, low, high = np.log(np.array(rows, dtype=np.float64)).T
    error = sold - price
    return _Scores(
        error=error - np.median(error),
        below=np.maximum(price - low, _MIN_HALF_WIDTH),
        above=np.maximum(high - price, _MIN_HALF_WIDTH),
        estimate_log=price,
        is_young=np.zeros(len(sales), dtype=np.bool_),
    )


def _scaled(calibration: IntervalCalibration, scores: _Scores) -> IntervalCalibration:
    """The calibration with widths scaled by price and for young cars."""
    knots, by_price = _factors_by_price(scores)
    factor = np.interp(scores.estimate_log, knots, by_price)
    young = scores.relative[scores.is_young] / factor[scores.is_young]
    further = _shrunk(young, 1.0)
    prices = np.array(calibration.knots_log) + calibration.shift_log
    at_knots = np.interp(prices, knots, by_price)
    return dataclasses.replace(
        calibration,
        below=tuple((np.array(calibration.below) * at_knots).tolist()),
        above=tuple((np.array(calibration.above) * at_knots).tolist()),
        young_below=calibration.young_below * further,
        young_above=calibration.young_above * further,
    )


def _factors_by_price(scores: _Scores) -> tuple[FloatArray, FloatArray]:
    """Log prices, and the factors of the widths at them."""
    edges = np.quantile(scores.estimate_log, np.arange(1, _BANDS) / _BANDS)
    bands = np.searchsorted(edges, scores.estimate_log)
    overall = _conformal(scores.relative)
    factors = [_shrunk(scores.relative[bands == band], overall) for band in range(_BANDS)]
    middles = np.quantile(scores.estimate_log, (np.arange(_BANDS) + 0.5) / _BANDS)
    return middles, np.array(factors)


def _conformal(relative: FloatArray) -> float:
    """Factor of the width with which `_COVERAGE` of n + 1 prices lie inside."""
    share = min(1.0, _COVERAGE * (1.0 + 1.0 / len(relative)))
    return float(np.quantile(relative, share))


def _shrunk(relative: FloatArray, overall: float) -> float:
    if not len(relative):
        return overall
    own = _conformal(relative)
    return (len(relative) * own + _PRIOR * overall) / (len(relative) + _PRIOR)


def _before_and_after(scores: _Scores) -> dict[str, float]:
    """Coverage of the 90 % interval, and factor of its width in the median.

    `coverage_after` is measured on halves of the prices, each calibrated on the other.
    """
    first = np.arange(len(scores.error)) % 2 == 0
    inside = np.empty(len(scores.error), dtype=np.bool_)
    for half in (first, ~first):
        inside[half] = scores.relative[half] <= _width_factor(scores.part(~half), scores.part(half))
    return {
        "coverage_before": round(float(np.mean(scores.relative <= 1.0)), 4),
        "coverage_after": round(float(np.mean(inside)), 4),
        "width_factor": round(float(np.median(_width_factor(scores, scores))), 4),
    }


def _width_factor(known: _Scores, asked: _Scores) -> FloatArray:
    """Factor of the width of each price of `asked`, calibrated on `known`, (n,)."""
    knots, by_price = _factors_by_price(known)
    own = np.interp(known.estimate_log, knots, by_price)
    further = _shrunk(known.relative[known.is_young] / own[known.is_young], 1.0)
    factor = np.interp(asked.estimate_log, knots, by_price)
    return np.asarray(np.where(asked.is_young, factor * further, factor))
