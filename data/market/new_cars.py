"""Prices of new cars: an anchor for used cars of up to two years, of which few are listed.

Published are the level of each model with at least `MIN_VERSIONS` versions, rounded to
`LEVEL_STEP_MAD`, and the median asking price of used cars as a share of that level by age; never
the price of a version.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from data.hedonic.model import SEPARATOR, VEHICLE, Cell, FloatArray, HedonicModel, split_vehicle

MIN_VERSIONS = 3
"""Fewest versions behind the level of a model."""
LEVEL_STEP_MAD = 1_000
ANCHORED_AGES = (0, 1, 2)
"""Ages, years, whose prices the levels correct."""
_DIGITS = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NewCarLevel:
    """The new cars of one model.

    Args:
        versions: number of versions, at least `MIN_VERSIONS`.
        level_mad: median price, rounded to `LEVEL_STEP_MAD`.
        fuel: the most frequent fuel; None if unknown.
        fiscal_power_cv: median; None if unknown.
        shifts: correction of the log price of used cars of the `ANCHORED_AGES`; empty for a model
            without statistics of its own, whose level then is its only statistic.
    """

    versions: int
    level_mad: int
    fuel: str | None = None
    fiscal_power_cv: int | None = None
    shifts: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `dataclasses.asdict`."""
        return cls(**{**given, "shifts": tuple(given["shifts"])})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NewCars:
    """Levels of new cars and the share of them that used cars are asked for.

    Args:
        as_of: month (YYYY-MM) of the prices; None without prices of new cars.
        levels: by vehicle (`company|model`).
        ratios: [listings, median asking price as a share of the level] by age in years.
    """

    as_of: str | None = None
    levels: Mapping[str, NewCarLevel] = dataclasses.field(default_factory=dict)
    ratios: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `dataclasses.asdict`."""
        levels = {name: NewCarLevel.from_json(level) for name, level in given["levels"].items()}
        return cls(**{**given, "levels": levels})

    def log_ratios(self, ages: FloatArray) -> FloatArray:
        """Log of the share at each age (n,): linear between known ages, constant outside them.

        It never rises with the age: few cars of the year of registration itself are listed.
        """
        known = np.array([float(age) for age in self.ratios])
        logs = np.log([row[1] for row in self.ratios.values()])
        falling = np.maximum.accumulate(logs[::-1])[::-1]
        return np.asarray(np.interp(ages, known, falling))


def with_new_cars(model: HedonicModel, new_cars: NewCars) -> HedonicModel:
    """A copy of `model` that prices young cars with regard to the prices of new ones.

    The shifts are added to the effects by model and year. A model that `model` does not know gets
    an effect by which its car of one year has the usual share of the price when new.
    """
    if new_cars.as_of is None or not new_cars.ratios:
        return model
    year = int(new_cars.as_of[:4])
    cells = {name: dict(table) for name, table in model.cells.items()}
    by_year, by_vehicle = _term_name(model, (VEHICLE, "year")), _term_name(model, (VEHICLE,))
    added = {name: lv for name, lv in new_cars.levels.items() if name not in model.vehicle_years}
    if by_year is not None:
        for name, level in new_cars.levels.items():
            for age, shift in zip(ANCHORED_AGES, level.shifts, strict=False):
                key = f"{name}{SEPARATOR}{year - age}"
                cell = cells[by_year].get(key, Cell(0, (0.0,)))
                cells[by_year][key] = Cell(cell.count, (cell.coefficients[0] + shift,))
    if by_vehicle is not None and added:
        effects = _effects_of_levels(model, new_cars, added, year)
        cells[by_vehicle] |= {
            name: Cell(added[name].versions, (round(float(effect), _DIGITS),))
            for name, effect in zip(added, effects, strict=True)
        }
    years = {**model.vehicle_years, **dict.fromkeys(added if by_vehicle else (), float(year - 1))}
    return dataclasses.replace(model, cells=cells, vehicle_years=years)


def _effects_of_levels(
    model: HedonicModel, new_cars: NewCars, levels: Mapping[str, NewCarLevel], year: int
) -> FloatArray:
    """Effect (n,) of each vehicle that the model does not know, from its price when new."""
    names = [split_vehicle(name) for name in levels]
    columns: dict[str, list[Any]] = {
        "company": [company for company, _ in names],
        "model": [model_name for _, model_name in names],
        "year": [year - 1] * len(names),
        "fuel": [level.fuel for level in levels.values()],
        "fiscal_power_cv": [level.fiscal_power_cv for level in levels.values()],
    }
    from data.hedonic.predictor import HedonicPredictor  # noqa: PLC0415 - loads compiled kernels

    expected = HedonicPredictor(model).predict(columns, len(names))
    (ratio,) = new_cars.log_ratios(np.ones(1))
    return np.asarray(np.log([level.level_mad for level in levels.values()]) + ratio - expected)


def _term_name(model: HedonicModel, keys: tuple[str, ...]) -> str | None:
    """Name of the model's constant effect of a cell of these keys."""
    return next((t.name for t in model.terms if t.keys == keys and t.curve is None), None)
