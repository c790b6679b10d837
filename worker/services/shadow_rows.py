"""Rows of a batch as the shadow tries them: cars with the answers that they got."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.coded_columns import Column, values_at
from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.valuation import QUANTILE_LEVELS, Estimate
from shared.logging import get_logger
from worker.services.shadowing import Shadowing, Trial

_MEDIAN = QUANTILE_LEVELS.index(0.5)

log = get_logger("shadow")


class RowTrials:
    """Draws rows of the chunk in work, and has them tried once its answers are there to stay.

    Whatever fails here fails no chunk.

    Args:
        shadowing: tries cars; None: nothing is tried.
    """

    def __init__(self, shadowing: Shadowing | None) -> None:
        self._shadowing = shadowing
        self._drawn: list[Trial] = []

    def forget(self) -> None:
        """Another chunk begins: rows of one that failed half way are valued, and drawn, again."""
        self._drawn = []

    def draw(self, columns: Mapping[str, Column], quantiles: Any, version: str) -> None:
        """Remember a share of the rows, as `trials_of` takes them.

        None of a version that is no longer active: the shadow would be compared with the past.
        """
        if self._shadowing is None:
            return
        try:
            if self._shadowing.compares_with(version):
                rows = self._shadowing.drawn(len(quantiles))
                self._drawn = trials_of(columns, quantiles, rows, version)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            log.exception("shadow_rows_not_drawn", error=str(error))

    def offer(self) -> None:
        """Have the remembered rows tried."""
        if self._shadowing is not None:
            self._shadowing.put_aside(self._drawn)
        self.forget()


def trials_of(
    columns: Mapping[str, Column], quantiles: Any, rows: Sequence[int], version: str
) -> list[Trial]:
    """The trials of some rows.

    Args:
        columns: of n cars, by field name; an absent one is missing in every car.
        quantiles: (n, levels) prices in MAD that were answered.
        rows: places of the rows.
        version: that answered.
    """
    missing = [None] * len(rows)
    by_field = [
        values_at(columns[name], rows) if name in columns else missing for name in FIELD_NAMES
    ]
    cars = [CarFeatures.from_wire(list(values)) for values in zip(*by_field, strict=True)]
    return [
        (
            car,
            Estimate(
                price_mad=prices[_MEDIAN],
                quantiles_mad=tuple(prices),
                model_version=version,
                model_known=True,  # nobody asks here
            ),
        )
        for car, prices in zip(cars, quantiles[list(rows)].tolist(), strict=True)
    ]
