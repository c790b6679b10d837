"""Prices of new cars: an anchor for young used cars, of which few are listed.

Published are the level of each model, and of each fuel of it, with at least `MIN_VERSIONS`
versions, rounded to `LEVEL_STEP_MAD`, and the median asking price of used cars as a share of that
level by age. A level is the median of its versions, so it may be the rounded price of one.
`data.market.new_car_anchor` applies them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from data.hedonic.model import FloatArray

MIN_VERSIONS = 3
"""Fewest versions behind the level of a model."""
LEVEL_STEP_MAD = 1_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NewCarLevel:
    """The new cars of one model.

    Args:
        versions: number of versions, at least `MIN_VERSIONS`.
        level_mad: median price, rounded to `LEVEL_STEP_MAD`.
        fuel: the most frequent fuel; None if fewer than `MIN_VERSIONS` state theirs.
        fiscal_power_cv: median; None likewise.
        fuels: (versions, median price) of each fuel with at least `MIN_VERSIONS` versions.
    """

    versions: int
    level_mad: int
    fuel: str | None = None
    fiscal_power_cv: int | None = None
    fuels: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `dataclasses.asdict`."""
        fuels = {fuel: (int(row[0]), int(row[1])) for fuel, row in given.get("fuels", {}).items()}
        known = {name: value for name, value in given.items() if name != "shifts"}
        return cls(**{**known, "fuels": fuels})


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
