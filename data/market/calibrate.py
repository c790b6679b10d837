"""Estimates the statistics of the reference market from listings."""

import dataclasses
from typing import Self

import numpy as np
import pandas as pd
import scipy.sparse

from data.hedonic.date_covariates import date_covariates
from data.hedonic.fit import HedonicFit, fit_hedonic
from data.hedonic.model import FloatArray, IntArray, PiecewiseLinear
from data.hedonic.predictor import HedonicPredictor
from data.hedonic.terms import TERMS
from data.listings.files import ListingsError
from data.listings.suspicion import without_implausible_km
from data.listings.table import LISTING_DATE, PRICE, car_columns, quoted_month
from data.listings.weights import listing_weights
from data.market.distributions import (
    MIN_CELL_COUNT,
    Distributions,
    measure_distributions,
)
from data.market.kind_trend import measure_kind_trend
from data.market.kinds import measure_kind_shares, measure_kinds
from data.market.new_car_levels import measure_new_cars
from data.market.new_cars import NewCars
from data.market.price_spread import measure_spread
from data.market.reference import ReferenceMarket, date_curve, month_number
from data.market.source_ceilings import ceiling_factors
from shared.domain.reading import Match, NamesMissing
from shared.i18n.command import gettext as _
from shared.vehicles.names import read_names

MIN_LISTINGS = 500
MIN_BRANDS = 2
OTHER = "other"
"""Model of listings that name none."""
_FOLDS = 5
_LEVEL_PRIOR_LISTINGS = 50.0
"""Ridge penalty of the change of the price level in a year: what a few listings of the last months
ask must not move the level of all cars."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Listings:
    """Listings with the inputs of every fit.

    Args:
        table: a canonical table with known dates.
        log_price: (n,)
        dates: (n, m) covariates of the month of listing.
        weights: (n,)
    """

    table: pd.DataFrame
    log_price: FloatArray
    dates: scipy.sparse.csr_matrix
    weights: FloatArray

    @classmethod
    def weighted(cls, table: pd.DataFrame, curve: PiecewiseLinear, weights: FloatArray) -> Self:
        """Prepare listings with known dates, `curve` being that of the price level."""
        months = curve.columns(table[LISTING_DATE].map(month_number).to_numpy(dtype=np.float64))
        return cls(
            table=table,
            log_price=np.log(table[PRICE].to_numpy(dtype=np.float64)),
            dates=date_covariates(table, months / np.sqrt(_LEVEL_PRIOR_LISTINGS), weights),
            weights=weights,
        )

    def fit(self, rows: IntArray | None = None) -> HedonicFit:
        """Fit the hedonic model to all listings, or to those of some rows."""
        kept = np.arange(len(self.table)) if rows is None else rows
        return fit_hedonic(
            self.table.iloc[kept].reset_index(drop=True),
            self.log_price[kept],
            TERMS,
            min_count=MIN_CELL_COUNT,
            nuisance=self.dates[kept],
            weights=self.weights[kept],
        )


def calibrate(listings: pd.DataFrame, new_prices: pd.DataFrame | None = None) -> ReferenceMarket:
    """Estimate the market's statistics.

    Args:
        listings: a canonical table; a missing date is replaced by the latest supported one.
        new_prices: versions of new cars (`data.market.new_cars.load_new_prices`).

    Raises:
        ListingsError: too few listings for statistics of cells of ten (of all months or ages), or a
            single brand.
    """
    if len(listings) < MIN_LISTINGS:
        raise ListingsError(
            _("{listings} listings are too few for a market; at least {least}").format(
                listings=len(listings), MIN_LISTINGS=MIN_LISTINGS
            )
        )
    require_several_brands(listings)
    as_of = quoted_month(listings)
    named = _with_certain_names(without_implausible_km(listings).reset_index(drop=True))
    dated = _dated(named, as_of)
    cars = measure_distributions(dated)
    _require_months_and_km(cars)
    curve = date_curve(dated[LISTING_DATE].min(), as_of)
    known = _Listings.weighted(dated, curve, listing_weights(dated))
    first = _predict(known.fit(), dated)
    factors = ceiling_factors(dated, np.exp(first))
    if (factors < 1.0).any():
        known = _Listings.weighted(dated, curve, known.weights * factors)
    fit = known.fit()
    return ReferenceMarket(
        data_as_of=as_of,
        basis="asking_prices",
        listings=len(dated),
        hedonic=fit.model,
        price_index=_price_index(known, curve, fit),
        spread=measure_spread(dated, _out_of_fold_errors(known)),
        cars=cars,
        kind_trend=measure_kind_trend(dated),
        kinds=measure_kinds(dated),
        kind_shares=measure_kind_shares(dated),
        new_cars=NewCars() if new_prices is None else measure_new_cars(new_prices, dated),
    )


def require_several_brands(listings: pd.DataFrame) -> None:
    """Check that listings are of several brands.

    Raises:
        ListingsError: all are of one brand.
    """
    if listings["company"].nunique() < MIN_BRANDS:
        raise ListingsError(
            _(
                "all listings are of one brand ({listings}); at least {least} are needed "
                "to price cars in general"
            ).format(listings=listings["company"].iloc[0], least=MIN_BRANDS)
        )


def _require_months_and_km(cars: Distributions) -> None:
    """Check that prices can be given a month, and drawn cars kilometres.

    Raises:
        ListingsError: no month or no age has enough listings.
    """
    if not cars.months:
        raise ListingsError(
            _(
                "no month of listing has {least} listings: the price level of a month "
                "cannot be estimated"
            ).format(least=MIN_CELL_COUNT)
        )
    if not cars.km_by_age:
        raise ListingsError(
            _(
                "at no age do {least} cars state their kilometres: the usual "
                "kilometres cannot be estimated"
            ).format(least=MIN_CELL_COUNT)
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


def _with_certain_names(listings: pd.DataFrame) -> pd.DataFrame:
    """Listings in which a name that may mean several models ("H" for H-1 or H-100) is `OTHER`."""
    pairs = listings[["company", "model"]].drop_duplicates()
    ambiguous = {
        (company, model)
        for company, model in pairs.itertuples(index=False)
        if model != OTHER and _is_ambiguous(company, model)
    }
    names = zip(listings["company"], listings["model"], strict=True)
    models = [OTHER if (company, model) in ambiguous else model for company, model in names]
    return listings.assign(model=np.array(models, dtype=object))


def _is_ambiguous(company: str, model: str) -> bool:
    """Whether the catalogue cannot tell the model that a name means."""
    try:
        return read_names(company, model).match is Match.AMBIGUOUS
    except NamesMissing:
        return True


def _dated(listings: pd.DataFrame, as_of: str) -> pd.DataFrame:
    """Listings with known dates, none later than `as_of`."""
    dates = listings[LISTING_DATE].fillna(as_of)
    return listings.assign(**{LISTING_DATE: dates.where(dates <= as_of, as_of)})


def _out_of_fold_errors(known: _Listings) -> FloatArray:
    """Log price minus the prediction (n,) by a model fitted without the listing's fold."""
    folds = assign_folds(known.table, _FOLDS)
    error = np.empty(len(folds))
    for fold in range(_FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        fit = known.fit(outside)
        expected = _predict(fit, known.table.iloc[inside]) + known.dates[inside] @ fit.nuisance
        error[inside] = known.log_price[inside] - expected
    return error


def _predict(fit: HedonicFit, listings: pd.DataFrame) -> FloatArray:
    """Log price (n,) at the level of the last month."""
    return HedonicPredictor(fit.model).predict(car_columns(listings), len(listings))


def _price_index(
    known: _Listings, curve: PiecewiseLinear, fit: HedonicFit
) -> dict[str, list[float]]:
    """[listings, price level] by month: the mean effect of the month on its own listings.

    The trends of kinds of cars count: cars of some years and classes became dearer, of others
    cheaper. Months with few listings are shrunk towards the curve of the mean listing.
    """
    effect = pd.Series(known.dates @ fit.nuisance)
    by_month = effect.groupby(known.table[LISTING_DATE].to_numpy()).agg(["size", "mean"])
    numbers = np.array([month_number(month) for month in by_month.index])
    slopes = fit.nuisance[: curve.width] / np.sqrt(_LEVEL_PRIOR_LISTINGS)
    usual = curve.columns(numbers) @ slopes
    size, mean = by_month["size"].to_numpy(), by_month["mean"].to_numpy()
    level = np.exp((size * mean + _LEVEL_PRIOR_LISTINGS * usual) / (size + _LEVEL_PRIOR_LISTINGS))
    return {
        str(month): [int(count), round(float(each), 4)]
        for month, count, each in zip(by_month.index, size, level, strict=True)
        if count >= MIN_CELL_COUNT
    }
