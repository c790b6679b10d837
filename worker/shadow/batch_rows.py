"""Rows of a batch as the shadow tries them: cars with the answers that they got."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.vehicles.columns import Column, values_at
from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.valuation import QUANTILE_LEVELS, Estimate
from shared.logging import get_logger
from worker.shadow.comparison import ShadowEvaluator, ShadowSample

_MEDIAN = QUANTILE_LEVELS.index(0.5)

log = get_logger("shadow")


class ChunkShadowSampler:
    """Draws rows of the chunk in work, and has them tried once its answers are there to stay.

    Whatever fails here fails no chunk.

    Args:
        shadow_evaluator: tries cars; None: nothing is tried.
    """

    def __init__(self, shadow_evaluator: ShadowEvaluator | None) -> None:
        self._shadow_evaluator = shadow_evaluator
        self._pending_samples: list[ShadowSample] = []

    def forget(self) -> None:
        """Another chunk begins: rows of one that failed half way are valued, and drawn, again."""
        self._pending_samples = []

    def draw(self, columns: Mapping[str, Column], quantiles: Any, version: str) -> None:
        """Remember a share of the rows, as `shadow_samples` takes them.

        None of a version that is no longer active: the shadow would be compared with the past.
        """
        if self._shadow_evaluator is None:
            return
        try:
            if self._shadow_evaluator.is_baseline(version):
                rows = self._shadow_evaluator.drawn(len(quantiles))
                self._pending_samples = shadow_samples(columns, quantiles, rows, version)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            log.exception("shadow_rows_not_drawn", error=str(error))

    def submit_sample(self) -> None:
        """Have the remembered rows tried."""
        if self._shadow_evaluator is not None:
            self._shadow_evaluator.enqueue(self._pending_samples)
        self.forget()


def shadow_samples(
    columns: Mapping[str, Column], quantiles: Any, rows: Sequence[int], version: str
) -> list[ShadowSample]:
    """The samples of some rows.

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
