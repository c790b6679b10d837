"""Estimates of listings whose intervals hold for the month of each listing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from data.listings.table import LISTING_DATE, car_columns
from model_store.pricing.inference import EstimateTable, LoadedModel
from shared.domain.clock import month_number
from shared.domain.valuation import QUANTILE_LEVELS


def estimate_listings(
    model: LoadedModel, listings: pd.DataFrame, columns: Mapping[str, Sequence[Any]] | None = None
) -> EstimateTable:
    """Estimate each listing as if it were asked for in its month; the price level is the model's.

    Intervals widen with the months between the model's data and the listing. A listing without a
    date, or from before `data_as_of`, has the intervals of new data.

    Args:
        model: any version.
        listings: a canonical table.
        columns: the cars' fields as lists, if others than those of the listings are to be priced.
    """
    fields: Mapping[str, Sequence[Any]]
    fields = car_columns(listings) if columns is None else columns
    dates = listings[LISTING_DATE].fillna(model.version.data_as_of)
    months = dates.map({date: month_number(date) for date in dates.unique()}).to_numpy()
    n = len(listings)
    price, quantiles = np.empty(n), np.empty((n, len(QUANTILE_LEVELS)))
    level, notes = np.empty(n, dtype=np.int8), np.zeros(n, dtype=np.int64)
    for month in np.unique(months).tolist():
        rows = np.flatnonzero(months == month)
        part = {name: [column[row] for row in rows.tolist()] for name, column in fields.items()}
        found = model.estimate_columns(part, len(rows), month=month)
        price[rows], quantiles[rows] = found.price_mad, found.quantiles_mad
        level[rows], notes[rows] = found.level, found.notes
    return EstimateTable(price_mad=price, quantiles_mad=quantiles, level=level, notes=notes)
