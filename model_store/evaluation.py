"""Measuring a loaded model on listings."""

from typing import Any

import numpy as np
import pandas as pd

from data.hedonic import FloatArray
from data.price_index import interpolate_index
from data.schema import LISTING_DATE, PRICE, car_columns
from model_store.inference import LoadedModel
from model_store.scores import scores


def evaluate_model(
    model: LoadedModel, listings: pd.DataFrame, *, at_listing_level: bool = True
) -> dict[str, Any]:
    """Price every listing from its car's fields alone and compare with what was asked.

    Args:
        model: any version.
        listings: a canonical table; a field that a listing does not state is priced as missing.
        at_listing_level: bring each price to the level of the listing's month by the version's
            own index; a month beyond the index has the level of the nearest one.

    Returns:
        The figures of `model_store.scores.scores`, then `version`, `data_as_of`, `price_level`
        (`listing` or `model`) and `outside_index`, listings of months that the index lacks.
    """
    table = model.estimate_columns(car_columns(listings), len(listings))
    index = model.version.price_index if at_listing_level else {}
    levels = _levels(index, listings, model.version.data_as_of)
    actual = listings[PRICE].to_numpy(dtype=np.float64)
    found = scores(actual, table.price_mad * levels, table.quantiles_mad * levels[:, None])
    return {
        **found,
        "version": model.version.id,
        "data_as_of": model.version.data_as_of,
        "price_level": "listing" if index else "model",
        "outside_index": _outside(index, listings),
    }


def _levels(index: dict[str, float], listings: pd.DataFrame, quoted: str) -> FloatArray:
    """Each listing's price level in terms of the one that the model quotes, (n,)."""
    if not index:
        return np.ones(len(listings))
    return interpolate_index(index, listings[LISTING_DATE].fillna(quoted))


def _outside(index: dict[str, float], listings: pd.DataFrame) -> int:
    dates = listings[LISTING_DATE].dropna()
    return int(((dates < min(index)) | (dates > max(index))).sum()) if index else 0
