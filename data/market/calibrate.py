"""Estimates the statistics of the reference market from listings."""

import numpy as np
import pandas as pd

from data.hedonic.fit import HedonicFit, fit_hedonic
from data.hedonic.model import FloatArray, IntArray, PiecewiseLinear
from data.hedonic.predictor import HedonicPredictor
from data.hedonic.terms import TERMS
from data.listings.files import ListingsError
from data.listings.suspicion import without_implausible_km
from data.listings.table import LISTING_DATE, PRICE, car_columns, latest_month
from data.market.distributions import (
    AGE_BANDS,
    MIN_CELL_COUNT,
    RARE,
    age_at_listing,
    group_names,
    measure_distributions,
)
from data.market.kind_trend import measure_kind_trend
from data.market.reference import PriceSpread, ReferenceMarket, date_curve, month_number

MIN_LISTINGS = 500
MIN_BRANDS = 2
_FOLDS = 10
_SHAPE_QUANTILES = (0.01, 0.025, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.975, 0.99)
_SPREAD_PRIOR = 30.0
_MIN_RARE_LISTINGS = 200
_STD_PER_MEAN_ABS_DEV = 1.2533
"""Standard deviation of a normal distribution in mean absolute deviations."""


def calibrate(listings: pd.DataFrame) -> ReferenceMarket:
    """Estimate the market's statistics.

    Args:
        listings: a canonical table; a missing date is replaced by the latest one.

    Raises:
        ListingsError: too few listings for statistics of cells of ten, or a single brand.
    """
    if len(listings) < MIN_LISTINGS:
        raise ListingsError(
            f"{len(listings)} listings are too few for a market; at least {MIN_LISTINGS}"
        )
    require_several_brands(listings)
    dated = without_implausible_km(listings).reset_index(drop=True)
    as_of = latest_month(dated)
    dated[LISTING_DATE] = dated[LISTING_DATE].fillna(as_of)
    curve = date_curve(dated[LISTING_DATE].min(), as_of)
    months = curve.columns(dated[LISTING_DATE].map(month_number).to_numpy(dtype=np.float64))
    log_price = np.log(dated[PRICE].to_numpy(dtype=np.float64))
    fit = fit_hedonic(dated, log_price, TERMS, min_count=MIN_CELL_COUNT, nuisance=months)
    in_sample = _residuals(fit, dated, log_price, months)
    residual = _combined_residuals(in_sample, _out_of_fold_residuals(dated, log_price, months))
    return ReferenceMarket(
        data_as_of=as_of,
        basis="asking_prices",
        listings=len(dated),
        hedonic=fit.model,
        price_index=_price_index(dated, curve, fit),
        spread=_spread(dated, residual),
        cars=measure_distributions(dated),
        kind_trend=measure_kind_trend(dated),
    )


def require_several_brands(listings: pd.DataFrame) -> None:
    """Check that listings are of several brands.

    Raises:
        ListingsError: all are of one brand.
    """
    if listings["company"].nunique() < MIN_BRANDS:
        raise ListingsError(
            f"all listings are of one brand ({listings['company'].iloc[0]});"
            f" at least {MIN_BRANDS} are needed to price cars in general"
        )


def near_duplicate_groups(listings: pd.DataFrame) -> IntArray:
    """Group number of each listing; listings that may be of the same car share it."""
    fields = ["company", "model", "year", "fuel", "transmission", "km_driven", "fiscal_power_cv"]
    numbers = listings.groupby(fields, dropna=False, sort=True).ngroup()
    return np.asarray(numbers, dtype=np.int64)


def assign_folds(listings: pd.DataFrame, folds: int, seed: int = 0) -> IntArray:
    """The fold (0 to `folds` - 1) of each listing; near duplicates share theirs."""
    groups = near_duplicate_groups(listings)
    shuffled = np.random.default_rng(seed).permutation(groups.max() + 1)
    return np.asarray(shuffled[groups] % folds)


def _out_of_fold_residuals(
    listings: pd.DataFrame, log_price: FloatArray, months: FloatArray
) -> FloatArray:
    """Log price minus the prediction of a model fitted without the listing's fold."""
    folds = assign_folds(listings, _FOLDS)
    residual = np.empty(len(listings))
    for fold in range(_FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        fit = fit_hedonic(
            listings.iloc[outside].reset_index(drop=True),
            log_price[outside],
            TERMS,
            min_count=MIN_CELL_COUNT,
            nuisance=months[outside],
        )
        part = listings.iloc[inside]
        residual[inside] = _residuals(fit, part, log_price[inside], months[inside])
    return residual


def _residuals(
    fit: HedonicFit, listings: pd.DataFrame, log_price: FloatArray, months: FloatArray
) -> FloatArray:
    """Log price minus the prediction at the price level of the listing's month."""
    expected = HedonicPredictor(fit.model).predict(car_columns(listings), len(listings))
    return np.asarray(log_price - (expected + months @ fit.nuisance))


def _combined_residuals(in_sample: FloatArray, out_of_fold: FloatArray) -> FloatArray:
    """Residuals of the prices without the estimation error of the model.

    The in-sample residual of a listing is too small by the factor 1 - h, with h its leverage. The
    out-of-fold residual is too large by the estimation error, which training on generated listings
    would add once more. The geometric mean of both has neither bias to first order.
    """
    return np.asarray(np.sign(out_of_fold) * np.sqrt(np.abs(in_sample * out_of_fold)))


def _price_index(
    listings: pd.DataFrame, curve: PiecewiseLinear, fit: HedonicFit
) -> dict[str, list[float]]:
    counts = listings[LISTING_DATE].value_counts().sort_index()
    levels = curve.columns(np.array([month_number(month) for month in counts.index]))
    index = np.exp(levels @ fit.nuisance)
    return {
        str(month): [int(count), round(float(level), 4)]
        for (month, count), level in zip(counts.items(), index, strict=True)
        if count >= MIN_CELL_COUNT
    }


def _spread(listings: pd.DataFrame, residual: FloatArray) -> PriceSpread:
    """Standard deviation by group (shrunk to the market's), factor by age band, and shape."""
    size = pd.Series(np.abs(residual) * _STD_PER_MEAN_ABS_DEV)
    names = group_names(listings)
    grouped = size.groupby(names).agg(["size", "sum"])
    overall = float(size.mean())
    deviation = (grouped["sum"] + _SPREAD_PRIOR * overall) / (grouped["size"] + _SPREAD_PRIOR)
    bands = np.searchsorted(AGE_BANDS, age_at_listing(listings), side="right") - 1
    relative = size / names.map(deviation)
    by_age = relative.groupby(bands).agg(["size", "mean"])
    factors = pd.Series(bands).map(by_age["mean"])
    scaled = residual / (names.map(deviation) * factors).to_numpy()
    rare = names.str.endswith(RARE).to_numpy()
    if rare.sum() < _MIN_RARE_LISTINGS:
        rare = np.ones(len(rare), dtype=bool)
    common = ~rare if (~rare).any() else rare
    return PriceSpread(
        groups={
            str(name): [int(grouped["size"][name]), round(float(deviation[name]), 4)]
            for name in deviation.index
            if grouped["size"][name] >= MIN_CELL_COUNT
        },
        ages={
            str(AGE_BANDS[int(band)]): [int(size), round(float(mean), 3)]
            for band, size, mean in by_age.itertuples()
            if size >= MIN_CELL_COUNT
        },
        levels=_SHAPE_QUANTILES,
        shape=_shape(scaled[common]),
        rare_shape=_shape(scaled[rare]),
        counts=(int(common.sum()), int(rare.sum())),
    )


def _shape(scaled: FloatArray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in np.quantile(scaled, _SHAPE_QUANTILES))
