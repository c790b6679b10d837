"""Bounds of the prices of fuels and gearboxes of one model.

An automatic car is not cheaper than a manual one of the same model, fuel and year, and no car of
which no details are stated is dearer than the new ones of its fuel. The effects of fuel and gearbox
come from few listings of a model, or from other models, and break both rules.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

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
from data.market.new_cars import NewCarLevel, NewCars
from shared.domain.car import Fuel, Transmission

_KEYS = (VEHICLE, "fuel", "transmission", "year")
ORDER_TERM = Term(name="gearbox_order", field="transmission", keys=_KEYS)
CEILING_TERM = Term(name="new_car_ceiling", field="year", keys=_KEYS)
_GEARBOXES = (Transmission.MANUAL, Transmission.AUTOMATIC)
_MANUAL, _AUTOMATIC = range(2)
_FEW_KM = 10.0
"""Kilometres of a new car: fewer never lower the price."""
_MAX_GAP = np.log(2.0)
"""Log distance above a level from which it is that of another car under the same name."""
_CEILING_SHARE = 0.97
"""Share of the level that the price of the regression may reach: the forest adds a few percent."""
_DEARER_FUELS = frozenset({Fuel.HYBRID, Fuel.ELECTRIC})
"""Fuels whose versions may be dearer than those whose level is known."""
_DIGITS = 4


def with_bounded_kinds(model: HedonicModel, new_cars: NewCars) -> HedonicModel:
    """A copy of `model` whose known models keep the rules of this module.

    Where automatic cars would be cheaper, both gearboxes get their mean, weighted by the listings
    of each. Prices that do not fall from year to year keep to that.
    """
    fuels, counts = _listings(model, "fuel"), _listings(model, "transmission")
    kinds = [
        (vehicle, fuel)
        for vehicle in model.vehicle_years
        for fuel in sorted({*fuels.get(vehicle, ()), *_level_fuels(new_cars.levels.get(vehicle))})
    ]
    if not kinds:
        return model
    prices = _log_prices(model, kinds)
    weights = np.array(
        [
            [1.0 + counts.get(vehicle, {}).get(str(gearbox), 0) for gearbox in _GEARBOXES]
            for vehicle, _ in kinds
        ]
    )
    ordered = _ordered(prices, weights / weights.sum(axis=1, keepdims=True))
    highest = np.array([_ceiling(new_cars.levels.get(vehicle), fuel) for vehicle, fuel in kinds])
    is_other_car = ordered.max(axis=(1, 2)) > highest + _MAX_GAP
    highest[is_other_car] = np.inf
    bounded = np.minimum(ordered, highest[:, None, None])
    cells = {
        ORDER_TERM.name: _cells(kinds, ordered - prices),
        CEILING_TERM.name: _cells(kinds, bounded - ordered),
    }
    return dataclasses.replace(
        model,
        terms=(*model.terms, ORDER_TERM, CEILING_TERM),
        cells={**model.cells, **cells},
    )


def _cells(kinds: Sequence[tuple[str, str]], shifts: FloatArray) -> dict[str, Cell]:
    """The cells of shifts (kinds, gearboxes, years) that are not zero."""
    rounded = np.round(shifts, _DIGITS)
    return {
        SEPARATOR.join((*kinds[row], _GEARBOXES[gearbox], str(int(YEARS[year])))): Cell(
            0, (float(rounded[row, gearbox, year]),)
        )
        for row, gearbox, year in zip(*np.nonzero(rounded), strict=True)
    }


def _ordered(prices: FloatArray, weights: FloatArray) -> FloatArray:
    """Log prices (kinds, gearboxes, years) in which automatic cars are not cheaper."""
    mean = (prices * weights[:, :, None]).sum(axis=1)
    falls = prices[:, _AUTOMATIC] < prices[:, _MANUAL]
    return np.where(falls[:, None, :], mean[:, None, :], prices)


def _level_fuels(level: NewCarLevel | None) -> Iterator[str]:
    if level is not None:
        yield from level.fuels
        if level.fuel is not None:
            yield level.fuel


def _ceiling(level: NewCarLevel | None, fuel: str) -> float:
    """Highest log price of a car of the fuel; infinite if no level tells."""
    if level is None or (fuel in _DEARER_FUELS and fuel not in {*level.fuels, level.fuel}):
        return np.inf
    _, level_mad = level.fuels.get(fuel, (0, level.level_mad))
    return float(np.log(_CEILING_SHARE * level_mad))


def _listings(model: HedonicModel, field: str) -> Mapping[str, Mapping[str, int]]:
    """Listings by vehicle and value of a field that have an effect of their own."""
    found: dict[str, dict[str, int]] = {}
    for term in model.terms:
        if term.keys == (VEHICLE, field) and term.curve is None:
            for key, cell in model.cells[term.name].items():
                vehicle, value = key.rsplit(SEPARATOR, 1)
                found.setdefault(vehicle, {})[value] = cell.count
    return found


def _log_prices(model: HedonicModel, kinds: list[tuple[str, str]]) -> FloatArray:
    """Log price (kinds, gearboxes, years) of nearly new cars."""
    from data.hedonic.predictor import HedonicPredictor  # noqa: PLC0415 - loads compiled kernels

    shape = (len(kinds), len(_GEARBOXES), len(YEARS))
    companies, models = zip(*(split_vehicle(vehicle) for vehicle, _ in kinds), strict=True)
    repeat = shape[1] * shape[2]
    columns = {
        "company": [name for name in companies for _ in range(repeat)],
        "model": [name for name in models for _ in range(repeat)],
        "fuel": [fuel for _, fuel in kinds for _ in range(repeat)],
        "transmission": [
            str(gearbox) for _ in kinds for gearbox in _GEARBOXES for _ in range(shape[2])
        ],
        "year": [int(year) for _ in range(shape[0] * shape[1]) for year in YEARS],
        "km_driven": [_FEW_KM] * (len(kinds) * repeat),
    }
    return HedonicPredictor(model).predict(columns, len(kinds) * repeat).reshape(shape)
