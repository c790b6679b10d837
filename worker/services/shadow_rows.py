"""Rows of a batch as the shadow tries them: cars with the answers that they got."""

from collections.abc import Mapping, Sequence
from typing import Any

from data.coded_columns import Column, values_at
from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.valuation import QUANTILE_LEVELS, Estimate
from worker.services.shadowing import Trial

_MEDIAN = QUANTILE_LEVELS.index(0.5)


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
