"""How the errors of a model grow with the age of its data.

Training fits cheap models on the listings up to several months and measures their errors three to
twelve months later (`model_store.training.horizon`), relative to errors on listings of the same
period as the training data. `ErrorGrowth` holds the result: factors of the width of the intervals.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shared.domain.valuation import CALIBRATION_HORIZON_MONTHS

FloatArray = npt.NDArray[np.float64]

FIRST_MONTHS = 3.0
"""The initial growth (`ErrorGrowth.initial`) is complete after this many months."""
MIDDLE_MONTHS = 7.5
"""Age of the data, months, for which the factors of a cell hold: the middle of 3 to 12."""
MIN_GROWTH_PER_MONTH = 0.01
"""Least growth of the width per month beyond the horizon, where it is not measured, as a share."""
MAX_YOUNG_AGE = 1
"""Cars up to this age, years, have a factor of their own: price levels of new cars move most."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ErrorGrowth:
    """Growth of the half-widths of an interval, as shares: 0.1 is one tenth wider.

    Args:
        initial: growth within the first `FIRST_MONTHS`: later listings have cars, sellers and
            sites that the training data lacks.
        per_month: growth per month of age.
        knots_log: log prices between which `below` and `above` are interpolated linearly.
        below, above: growth of either half at `MIDDLE_MONTHS`, at the knots. They differ because
            the level of a price range moves as well: where prices fall, the lower half grows more.
        young_below, young_above: further growth of cars up to `MAX_YOUNG_AGE`.
        levels: (5,) further growth by level of information (`model_store.pricing.feature_matrix`).
        lag_months: age of the data at `data_as_of`, for data whose last months have few listings.
    """

    initial: float
    per_month: float
    knots_log: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    young_below: float = 0.0
    young_above: float = 0.0
    levels: tuple[float, ...] = (0.0,) * 5
    lag_months: int = 0

    def course(self, months: int) -> float:
        """Growth at an age of the data, relative to that at `MIDDLE_MONTHS`.

        Beyond the horizon it continues by `MIN_GROWTH_PER_MONTH` at least.
        """
        beyond = max(0, months - CALIBRATION_HORIZON_MONTHS)
        extra = max(0.0, MIN_GROWTH_PER_MONTH - self.per_month) * beyond
        middle = self._growth(MIDDLE_MONTHS)
        return (self._growth(float(months)) + extra) / middle if middle > 0 else 0.0

    def factors(self, log_prices: FloatArray, months: int) -> tuple[FloatArray, FloatArray]:
        """Factors of the lower and upper half-width at log prices, (n,) each."""
        share = self.course(months)
        below = 1.0 + share * np.interp(log_prices, self.knots_log, self.below)
        above = 1.0 + share * np.interp(log_prices, self.knots_log, self.above)
        return np.asarray(below), np.asarray(above)

    def young_factors(self, months: int) -> tuple[float, float]:
        """Further factors, below and above, of cars up to `MAX_YOUNG_AGE`."""
        share = self.course(months)
        return 1.0 + share * self.young_below, 1.0 + share * self.young_above

    def level_factors(self, months: int) -> FloatArray:
        """Further factors by level of information, (5,)."""
        return np.asarray(1.0 + self.course(months) * np.array(self.levels))

    def width(self, months: int) -> float:
        """Factor of the width at an age of the data, the mean over prices and both halves."""
        below, above = self.factors(np.array(self.knots_log), months)
        return float(np.mean((below + above) / 2.0))

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        lists = ("knots_log", "below", "above", "levels")
        return cls(**{**given, **{name: tuple(given[name]) for name in lists}})

    def _growth(self, months: float) -> float:
        return self.initial * min(months / FIRST_MONTHS, 1.0) + self.per_month * months


def unmeasured_growth(months: int) -> float:
    """Factor of the width of a version that does not state how its errors grow."""
    return 1.0 + MIN_GROWTH_PER_MONTH * max(0, months - CALIBRATION_HORIZON_MONTHS)


REFERENCE_GROWTH = ErrorGrowth(
    initial=0.02,
    per_month=0.006,
    knots_log=(11.0, 11.5, 11.8, 12.1, 12.55),
    below=(0.03, 0.01, 0.02, 0.11, 0.18),
    above=(0.10, 0.11, 0.08, 0.05, 0.05),
    young_below=0.2,
    young_above=0.05,
)
"""Measured on 61,350 Moroccan listings of 2021 to 2026, for models whose own listings do not show
it: those of few months, without dates, or generated."""
