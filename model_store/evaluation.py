"""Measuring a loaded model on listings."""

import numpy as np
import pandas as pd

from data.schema import PRICE, car_columns
from model_store.inference import LoadedModel
from model_store.scores import scores


def evaluate_model(model: LoadedModel, listings: pd.DataFrame) -> dict[str, float]:
    """Price every listing from its car's fields alone and compare with what was asked.

    Args:
        model: any version.
        listings: a canonical table; a field that a listing does not state is priced as missing.

    Returns:
        The figures of `model_store.scores.scores`.
    """
    table = model.estimate_columns(car_columns(listings), len(listings))
    actual = listings[PRICE].to_numpy(dtype=np.float64)
    return scores(actual, table.price_mad, table.quantiles_mad)
