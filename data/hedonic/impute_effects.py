"""Estimates `ImputedEffects`: the mean effect of each field, for cars that do not state it."""

import dataclasses

import numpy as np
import pandas as pd

from data.hedonic.model import Cell, FloatArray, HedonicModel
from data.hedonic.predictor import HedonicPredictor
from data.listings.table import CORE_FIELDS, car_columns, join_texts

_MIN_STATED_SHARE = 0.96
_PRIOR = 3.0
"""Weight of the more general cell as a number of listings."""
_DIGITS = 4
_LEVELS = (("company",), ("company", "model"), ("company", "model", "fuel"))


def with_imputed_effects(
    model: HedonicModel, listings: pd.DataFrame, min_count: int
) -> HedonicModel:
    """A copy of `model` with imputed effects of missing fields.

    Args:
        model: the fitted model.
        listings: what it was fitted on. Only fields that nearly all of them state are imputed; for
            the others the model has been fitted with the missing values.
        min_count: fewest listings behind each figure.
    """
    predictor = HedonicPredictor(model)
    fields = [
        field
        for field in predictor.effect_fields
        if field not in CORE_FIELDS and listings[field].notna().mean() >= _MIN_STATED_SHARE
    ]
    if not fields:
        return model
    parts = predictor.parts(predictor.ordinal_encoder.code(car_columns(listings), len(listings)))
    imputed = {}
    for field in fields:
        stated = listings[field].notna().to_numpy()
        effect = parts[stated, predictor.effect_fields.index(field)]
        imputed[field] = _cells(listings[stated], effect, min_count)
    return dataclasses.replace(model, imputed=imputed)


def _cells(listings: pd.DataFrame, effect: FloatArray, min_count: int) -> dict[str, Cell]:
    """Mean effect by cell, shrunk towards the mean of the more general cell."""
    above = np.full(len(listings), float(effect.mean()))
    found = {"": _cell(len(effect), above[0])}
    for keys in _LEVELS:
        names = join_texts(listings[key].astype(str) for key in keys)
        table = pd.DataFrame({"effect": effect, "above": above, "name": names.to_numpy()})
        table = table[listings[list(keys)].notna().all(axis=1).to_numpy()]
        cells = table.groupby("name").agg(
            size=("effect", "size"), total=("effect", "sum"), above=("above", "first")
        )
        cells = cells[cells["size"] >= min_count]
        means = (cells["total"] + _PRIOR * cells["above"]) / (cells["size"] + _PRIOR)
        found |= {
            str(name): _cell(int(size), float(mean))
            for name, size, mean in zip(cells.index, cells["size"], means, strict=True)
        }
        here = names.map(means).to_numpy(dtype=np.float64)
        above = np.where(np.isnan(here), above, here)
    return found


def _cell(count: int, value: float) -> Cell:
    return Cell(count, (round(float(value), _DIGITS),))
