"""Conformal calibration of the price intervals.

The forest predicts a mean and a total standard deviation of the log price; the difficulty forest
predicts how large the error is in such deviations (`model_store.training.forests`). Training
divides the out-of-bag residuals by a scale made of both. The quantiles of these scores, one set for
each level of information, turn the predictions for a new car into prices at `QUANTILE_LEVELS`. The
intervals widen with the age of the data (`model_store.pricing.error_growth`).
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from model_store.pricing.conformal import (
    MEDIAN_INDEX,
    factors_by_level,
    ratio_of_tails,
    tail_multipliers,
)
from model_store.pricing.error_growth import ErrorGrowth, unmeasured_growth
from model_store.pricing.kernels import interpolate_scales, lay_out_quantiles
from shared.domain.valuation import QUANTILE_LEVELS

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
MIN_CALIBRATION_CARS = 100
"""Fewest cars from which the quantiles of a level of information are estimated."""
MIN_STD = 0.02
"""Lower bound of the forest's standard deviation, log scale."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Tables:
    """The tables of a calibration for one age of the data, as arrays."""

    factors: FloatArray
    """(5, 9) by level of information and quantile."""
    knots: FloatArray
    below: FloatArray
    """(2, knots) of cars of any age, and of young ones."""
    above: FloatArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalCalibration:
    """Quantiles of the scaled residual for each level of information.

    Args:
        factors: (5, 9), a row for each level of information (`model_store.pricing.feature_matrix`),
            a column for each of `QUANTILE_LEVELS`; not decreasing along a row, 0 at the median.
        knots_log: log prices between which `below` and `above` are interpolated linearly.
        below, above: multipliers of the scale on either side of the estimate, at the knots. The
            forest underestimates the spread of cheap cars downwards and of dear cars upwards.
        young_below, young_above: further multipliers of cars up to
            `model_store.pricing.error_growth.MAX_YOUNG_AGE`.
        shift_log: added to every log price: the change of the price level since training.
        growth: how the widths grow with the age of the data; None (versions of earlier schemas):
            only beyond the horizon, where it is not measured.
    """

    factors: tuple[tuple[float, ...], ...]
    knots_log: tuple[float, ...] = (0.0,)
    below: tuple[float, ...] = (1.0,)
    above: tuple[float, ...] = (1.0,)
    young_below: float = 1.0
    young_above: float = 1.0
    shift_log: float = 0.0
    growth: ErrorGrowth | None = None

    @cached_property
    def _tables_by_age(self) -> dict[int, _Tables]:
        """Tables by age of the data in months: making them costs more than using them."""
        return {}

    def _tables(self, months: int) -> _Tables:
        found = self._tables_by_age.get(months)
        if found is None:
            found = self._tables_by_age[months] = self._make_tables(months)
        return found

    def _make_tables(self, months: int) -> _Tables:
        knots, factors = np.array(self.knots_log), np.array(self.factors)
        below, above = np.array(self.below), np.array(self.above)
        young = (self.young_below, self.young_above)
        if self.growth is None:
            beyond = unmeasured_growth(months)
            below, above = below * beyond, above * beyond
        else:
            grown_below, grown_above = self.growth.factors(knots, months)
            below, above = below * grown_below, above * grown_above
            further = self.growth.young_factors(months)
            young = (young[0] * further[0], young[1] * further[1])
            if len(factors):
                factors = factors * self.growth.level_factors(months)[:, None]
        return _Tables(
            factors=factors,
            knots=knots,
            below=np.array([below, below * young[0]]),
            above=np.array([above, above * young[1]]),
        )

    def scales(
        self,
        mean: FloatArray,
        std: FloatArray,
        difficulty: FloatArray,
        *,
        is_young: BoolArray | None = None,
        months: int = 0,
    ) -> tuple[FloatArray, FloatArray]:
        """Scale of the factors below and above the estimate, log scale, (n,) each."""
        tables = self._tables(months)
        below, above = np.empty(len(mean)), np.empty(len(mean))
        interpolate_scales(
            mean,
            std,
            np.exp(difficulty),
            MIN_STD,
            tables.knots,
            np.zeros(len(mean), dtype=np.bool_) if is_young is None else is_young,
            tables.below,
            tables.above,
            below,
            above,
        )
        return below, above

    def quantiles_log(
        self,
        level: npt.NDArray[np.int8],
        mean: FloatArray,
        std: FloatArray,
        difficulty: FloatArray,
        *,
        is_young: BoolArray | None = None,
        months: int = 0,
    ) -> FloatArray:
        """Log prices (n, 9) at `QUANTILE_LEVELS`, not decreasing; the median is `mean` shifted.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            difficulty: (n,) log of the expected error in these deviations.
            is_young: (n,) whether the car is at most `MAX_YOUNG_AGE` years old; None: no car is.
            months: age of the model's data, see `age_of_data`.
        """
        below, above = self.scales(mean, std, difficulty, is_young=is_young, months=months)
        quantiles = np.empty((len(mean), len(QUANTILE_LEVELS)))
        lay_out_quantiles(
            level,
            mean,
            below,
            above,
            self._tables(months).factors,
            MEDIAN_INDEX,
            self.shift_log,
            quantiles,
        )
        return quantiles

    def age_of_data(self, months: int) -> int:
        """Age of the data in months for the growth of the intervals, at least 0.

        Args:
            months: since `data_as_of`; negative before it.
        """
        lag = 0 if self.growth is None else self.growth.lag_months
        return max(0, months + lag)

    def delayed(self, months: int) -> Self:
        """The calibration of data that is this many months older than `data_as_of` says as well.

        Listings that were restated in the prices of a later month are still as old as they were.
        """
        if self.growth is None:
            return self
        lag = self.growth.lag_months + months
        return dataclasses.replace(self, growth=dataclasses.replace(self.growth, lag_months=lag))

    def aged(self, months: int) -> Self:
        """The calibration whose new data has the widths of this one's data.

        Args:
            months: age of this one's data, see `age_of_data`.
        """
        tables = self._tables(months)
        below, above = tables.below, tables.above
        growth = self.growth and dataclasses.replace(self.growth, lag_months=0)
        return dataclasses.replace(
            self,
            growth=growth,
            factors=tuple(map(tuple, tables.factors.tolist())),
            below=tuple(below[0].tolist()),
            above=tuple(above[0].tolist()),
            young_below=float(below[1, 0] / below[0, 0]),
            young_above=float(above[1, 0] / above[0, 0]),
        )

    @classmethod
    def fit(
        cls,
        level: npt.NDArray[np.int8],
        mean: FloatArray,
        std: FloatArray,
        difficulty: FloatArray,
        actual: FloatArray,
        *,
        is_young: BoolArray | None = None,
        min_count: int = MIN_CALIBRATION_CARS,
    ) -> Self:
        """Calibrate on out-of-bag predictions.

        Args:
            level: (n,) level of information.
            mean: (n,) point estimate, log price in MAD.
            std: (n,) total standard deviation of the forest, log scale.
            difficulty: (n,) log of the expected error in these deviations.
            actual: (n,) log of the real prices.
            is_young: (n,) whether the car is at most `MAX_YOUNG_AGE` years old; None: no car is.
            min_count: a level with fewer cars takes the quantiles of the next better known level.
                `OUT_OF_RANGE` has a fixed factor, because training has hardly any such car;
                `UNKNOWN_BRAND` is never narrower than `UNKNOWN_MODEL`.
        """
        spread, _ = cls(factors=()).scales(mean, std, difficulty)
        knots, below, above = tail_multipliers(mean, (actual - mean) / spread)
        raw = cls(factors=(), knots_log=knots, below=below, above=above)
        if is_young is not None:
            raw = raw._with_young(mean, actual, raw.scales(mean, std, difficulty), is_young)
        scales = raw.scales(mean, std, difficulty, is_young=is_young)
        scores = (actual - mean) / np.where(actual < mean, *scales)
        return dataclasses.replace(raw, factors=factors_by_level(scores, level, min_count))

    def _with_young(
        self,
        mean: FloatArray,
        actual: FloatArray,
        scales: tuple[FloatArray, FloatArray],
        is_young: BoolArray,
    ) -> Self:
        """With the multipliers of young cars, shrunk towards those of all cars."""
        below, above = (mean - actual) / scales[0], (actual - mean) / scales[1]
        return dataclasses.replace(
            self,
            young_below=ratio_of_tails(below[is_young], below),
            young_above=ratio_of_tails(above[is_young], above),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return dataclasses.asdict(self)  # `growth` as well

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        growth = given.get("growth")
        # Calibrations of schemas before 6 lack the last four members.
        return cls(
            factors=tuple(map(tuple, given["factors"])),
            knots_log=tuple(given["knots_log"]),
            below=tuple(given["below"]),
            above=tuple(given["above"]),
            young_below=given.get("young_below", 1.0),
            young_above=given.get("young_above", 1.0),
            shift_log=given.get("shift_log", 0.0),
            growth=growth and ErrorGrowth.from_json(growth),
        )
