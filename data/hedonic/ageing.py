"""Isotonic ageing: a newer car of the same model is never cheaper.

The effect of one year of one model is estimated from few listings; its noise could make a car of
2018 dearer than one of 2019. Isotonic regression, weighted by the number of listings, replaces
these effects, so that the price of each model never falls from one year to the next. A year without
an effect of its own gets one, of no listings, where the price would fall otherwise.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from data.hedonic.model import (
    SEPARATOR,
    VEHICLE,
    YEARS,
    Cell,
    FloatArray,
    HedonicModel,
    Term,
    split_vehicle,
)
from data.hedonic.ordinal_encoder import ordinal_encoder_for
from data.hedonic.predictor import HedonicPredictor

_TERM = (VEHICLE, "year")
_FIRST_ISOTONIC_YEAR = 1998
"""Prices of older cars may really decrease with the year: they become collectable."""
_NO_CELL = Cell(0, (0.0,))
_NO_LISTINGS = 1e-6
"""Weight of a year without a cell: its price follows those of the years around it."""
_DIGITS = 4
RISING_TERM = Term(
    name="rising_prices", field="year", keys=(VEHICLE, "fuel", "transmission", "year")
)


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
    isotonic_years = [i for i, year in enumerate(YEARS) if year >= _FIRST_ISOTONIC_YEAR]
    for vehicle, curve in curves.items():
        keys = [f"{vehicle}{SEPARATOR}{int(year)}" for year in YEARS]
        found = [cells.get(keys[i], _NO_CELL) for i in isotonic_years]
        prices = [
            curve[i] + cell.coefficients[0] for i, cell in zip(isotonic_years, found, strict=True)
        ]
        isotonic = _isotonic_fit(prices, [cell.count or _NO_LISTINGS for cell in found])
        for index, cell, price in zip(isotonic_years, found, isotonic, strict=True):
            shift = round(float(price - curve[index]), _DIGITS)
            if cell.count or shift:
                cells[keys[index]] = Cell(cell.count, (shift,))
    return dataclasses.replace(model, cells={**model.cells, name: cells})


def with_rising_prices(model: HedonicModel) -> HedonicModel:
    """A copy of `model` in which no kind of car of a known model is cheaper in a newer year.

    Fuel and gearbox have their own ageing, which the effects by model and year do not see. Where
    the price of a fuel and gearbox of a model falls, a term of cells without listings keeps it at
    that of the year before; an empty name is that of cars that do not state the field.
    """
    terms = tuple(term for term in model.terms if term.name != RISING_TERM.name)
    bare = dataclasses.replace(model, terms=terms)
    known = ordinal_encoder_for(bare).vocabularies
    kinds = [
        (*split_vehicle(name), fuel, gearbox)
        for name, fuels in _known_fuels(bare).items()
        for fuel in ("", *(fuels or known["fuel"]))
        for gearbox in ("", *known["transmission"])
    ]
    years = YEARS[YEARS >= _FIRST_ISOTONIC_YEAR]
    columns: dict[str, list[Any]] = {
        field: [kind[index] or None for kind in kinds for _ in years]
        for index, field in enumerate(("company", "model", "fuel", "transmission"))
    }
    columns["year"] = [int(year) for _ in kinds for year in years]
    prices = HedonicPredictor(bare).predict(columns, len(kinds) * len(years))
    prices = prices.reshape(-1, len(years))
    missing = np.round(np.maximum.accumulate(prices, axis=1) - prices, _DIGITS)
    cells = {
        SEPARATOR.join((*kinds[row], str(int(years[column])))): Cell(
            0, (float(missing[row, column]),)
        )
        for row, column in zip(*np.nonzero(missing), strict=True)
    }
    return dataclasses.replace(
        bare, terms=(*terms, RISING_TERM), cells={**model.cells, RISING_TERM.name: cells}
    )


def _known_fuels(model: HedonicModel) -> dict[str, list[str]]:
    """The fuels of each known vehicle that have effects of their own; none: of any vehicle."""
    fuels: dict[str, dict[str, None]] = {vehicle: {} for vehicle in model.vehicle_years}
    for term in model.terms:
        if term.keys[:2] == (VEHICLE, "fuel"):
            for key in model.cells[term.name]:
                company, name, fuel, *_ = key.split(SEPARATOR)
                fuels.get(f"{company}{SEPARATOR}{name}", {})[fuel] = None
    return {vehicle: list(found) for vehicle, found in fuels.items()}


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


def _isotonic_fit(values: Sequence[float], weights: Sequence[float]) -> list[float]:
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
