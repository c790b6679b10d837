"""Measures the spread of prices: the residuals of the price model by group, age and quantile."""

import numpy as np
import pandas as pd

from data.hedonic.model import FloatArray
from data.market.distributions import (
    AGE_BANDS,
    MIN_CELL_COUNT,
    RARE,
    age_at_listing,
    group_names,
)
from data.market.reference import PriceSpread

_SHAPE_QUANTILES = (0.01, 0.025, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.975, 0.99)
_SPREAD_PRIOR = 30.0
_MIN_RARE_LISTINGS = 200
_STD_PER_MEAN_ABS_DEV = 1.2533
"""Standard deviation of a normal distribution in mean absolute deviations."""


def measure_spread(listings: pd.DataFrame, residual: FloatArray) -> PriceSpread:
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
