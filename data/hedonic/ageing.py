"""Isotonic ageing: a newer car of the same model is never cheaper.

The effect of one year of one model is estimated from few listings; its noise could make a car of
2018 dearer than one of 2019. Isotonic regression, weighted by the number of listings, replaces
these effects, so that the price of each model increases over its listed years.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from data.hedonic.model import (
    SEPARATOR,
    VEHICLE,
    YEARS,
    Cell,
    FloatArray,
    HedonicModel,
    split_vehicle,
)
from data.hedonic.predictor import HedonicPredictor

_TERM = (VEHICLE, "year")
_FIRST_ISOTONIC_YEAR = 1998
"""Prices of older cars may really decrease with the year: they become collectable."""
_DIGITS = 4


def with_isotonic_ageing(model: HedonicModel, listings: pd.DataFrame) -> HedonicModel:
    """A copy of `model` in which the effects by model and year are isotonic.

    Args:
        model: the fitted model.
        listings: what it was fitted on; give each model's most frequent fuel and gearbox.
    """
    name = next((term.name for term in model.terms if term.keys == _TERM), None)
    if name is None:
        return model
    cells = dict(model.cells[name])
    without_year_term = dataclasses.replace(model, cells={**model.cells, name: {}})
    curves = _curves(without_year_term, listings)
    for vehicle, curve in curves.items():
        keys = [f"{vehicle}{SEPARATOR}{int(year)}" for year in YEARS]
        known = [
            i for i, key in enumerate(keys) if key in cells and YEARS[i] >= _FIRST_ISOTONIC_YEAR
        ]
        prices = [curve[i] + cells[keys[i]].coefficients[0] for i in known]
        isotonic = _isotonic_fit(prices, [cells[keys[i]].count for i in known])
        for index, price in zip(known, isotonic, strict=True):
            shift = round(float(price - curve[index]), _DIGITS)
            cells[keys[index]] = Cell(cells[keys[index]].count, (shift,))
    return dataclasses.replace(model, cells={**model.cells, name: cells})


def _curves(model: HedonicModel, listings: pd.DataFrame) -> dict[str, FloatArray]:
    """Log price of each known vehicle, with its most frequent fuel and gearbox, by year."""
    fuels, gearboxes = (_most_frequent(listings, field) for field in ("fuel", "transmission"))
    pairs = [split_vehicle(name) for name in model.vehicle_years]
    rows = [(*pair, fuels.get(pair), gearboxes.get(pair)) for pair in pairs]
    repeat = len(YEARS)
    fields = ("company", "model", "fuel", "transmission")
    columns: dict[str, list[Any]] = {
        field: [row[index] for row in rows for _ in range(repeat)]
        for index, field in enumerate(fields)
    }
    columns["year"] = [int(year) for _ in rows for year in YEARS]
    curves = HedonicPredictor(model).predict(columns, len(rows) * repeat).reshape(-1, repeat)
    return dict(zip(model.vehicle_years, curves, strict=True))


def _most_frequent(listings: pd.DataFrame, field: str) -> dict[tuple[str, str], str]:
    """The most frequent value of each vehicle; of equally frequent ones the first in order."""
    counts = listings.groupby(["company", "model", field]).size().reset_index(name="listings")
    ranked = counts.sort_values(["listings", field], ascending=[False, True])
    best = ranked.drop_duplicates(["company", "model"])
    return dict(zip(zip(best["company"], best["model"], strict=True), best[field], strict=True))


def _isotonic_fit(values: Sequence[float], weights: Sequence[int]) -> list[float]:
    """Weighted isotonic regression by pooling adjacent violators."""
    pools: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append([float(value), float(weight), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            last, weight_of_last, size = pools.pop()
            first, weight_of_first, size_of_first = pools.pop()
            total = weight_of_first + weight_of_last
            mean = (first * weight_of_first + last * weight_of_last) / total
            pools.append([mean, total, size_of_first + size])
    return [value for value, _, size in pools for _ in range(int(size))]
