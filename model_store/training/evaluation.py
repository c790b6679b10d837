"""Quality metrics of estimates, and the evaluation of a loaded model on listings."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import FloatArray
from data.listings.table import LISTING_DATE, PRICE
from data.market.price_index import interpolate_index
from model_store.pricing.inference import LoadedModel
from model_store.training.dated_estimates import estimate_listings
from shared.domain.valuation import QUANTILE_LEVELS

LOW_90, HIGH_90 = QUANTILE_LEVELS.index(0.05), QUANTILE_LEVELS.index(0.95)
"""Columns of the quantiles that bound the 90 % interval."""


def scores(actual: FloatArray, price: FloatArray, quantiles: FloatArray) -> dict[str, float]:
    """Compare estimates with real prices.

    Args:
        actual: (n,) real prices, MAD.
        price: (n,) estimates, MAD.
        quantiles: (n, 9) prices at `QUANTILE_LEVELS`, MAD.

    Returns:
        `rows`, `r2`, `r2_log`, `mae_mad`, `rmse_mad`, `mape` and `median_ape` (percent), and
        `coverage_90`, the share of real prices inside the 90 % interval.
    """
    error = price - actual
    ape = np.abs(error) / actual * 100
    inside = (actual >= quantiles[:, LOW_90]) & (actual <= quantiles[:, HIGH_90])
    return {
        "rows": len(actual),
        "r2": round(r2(actual, price), 4),
        "r2_log": round(r2(np.log(actual), np.log(price)), 4),
        "mae_mad": round(float(np.mean(np.abs(error))), 1),
        "rmse_mad": round(float(np.sqrt(np.mean(error**2))), 1),
        "mape": round(float(np.mean(ape)), 2),
        "median_ape": round(float(np.median(ape)), 2),
        "coverage_90": round(float(np.mean(inside)), 4),
    }


def r2(actual: FloatArray, estimate: FloatArray) -> float:
    """Coefficient of determination; 0 if the actual values are constant."""
    variance = float(np.sum((actual - actual.mean()) ** 2))
    return 1.0 - float(np.sum((actual - estimate) ** 2)) / variance if variance > 0 else 0.0


class PricedListings(NamedTuple):
    """Estimates of n listings, beside their asking prices."""

    actual: FloatArray
    """(n,) asking prices, MAD."""
    price: FloatArray
    """(n,) estimates, MAD."""
    quantiles: FloatArray
    """(n, 9) prices at `QUANTILE_LEVELS`, MAD."""

    @property
    def ape(self) -> FloatArray:
        """(n,) absolute errors in percent of the asking price."""
        return np.asarray(np.abs(self.price / self.actual - 1.0) * 100)

    @property
    def is_inside(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the asking price lies in the 90 % interval."""
        quantiles = self.quantiles
        return np.asarray(
            (self.actual >= quantiles[:, LOW_90]) & (self.actual <= quantiles[:, HIGH_90])
        )

    def take(self, rows: npt.NDArray[Any]) -> "PricedListings":
        """The estimates of some listings: their positions, or a mask."""
        return PricedListings(self.actual[rows], self.price[rows], self.quantiles[rows])


def price_listings(
    model: LoadedModel, listings: pd.DataFrame, *, at_listing_level: bool = True
) -> PricedListings:
    """Price every listing by its car's fields; see `evaluate_model` for the arguments."""
    table = estimate_listings(model, listings)
    levels = listing_levels(model, listings) if at_listing_level else np.ones(len(listings))
    return PricedListings(
        actual=listings[PRICE].to_numpy(dtype=np.float64),
        price=table.price_mad * levels,
        quantiles=table.quantiles_mad * levels[:, None],
    )


def evaluate_model(
    model: LoadedModel, listings: pd.DataFrame, *, at_listing_level: bool = True
) -> dict[str, Any]:
    """Price every listing by its car's fields and compare with the asking prices.

    Args:
        model: any version.
        listings: a canonical table.
        at_listing_level: convert each estimate to the price level of the listing's month by the
            version's index; outside the index the level is that of the nearest month.

    Returns:
        The figures of `scores`, then `version`, `data_as_of`, `price_level` (`listing` or `model`)
        and `outside_index`, the number of listings outside the index.
    """
    table = estimate_listings(model, listings)
    index, outside, levels = {}, 0, np.ones(len(listings))
    if at_listing_level and (index := model.version.price_index):
        levels = listing_levels(model, listings)
        dates = listings[LISTING_DATE].dropna()
        outside = int(((dates < min(index)) | (dates > max(index))).sum())
    actual = listings[PRICE].to_numpy(dtype=np.float64)
    found = scores(actual, table.price_mad * levels, table.quantiles_mad * levels[:, None])
    return {
        **found,
        "version": model.version.id,
        "data_as_of": model.version.data_as_of,
        "price_level": "listing" if index else "model",
        "outside_index": outside,
    }


def listing_levels(model: LoadedModel, listings: pd.DataFrame) -> FloatArray:
    """Price level of each listing's month by the version's index, (n,); 1 without an index."""
    if not (index := model.version.price_index):
        return np.ones(len(listings))
    return interpolate_index(index, listings[LISTING_DATE].fillna(model.version.data_as_of))
