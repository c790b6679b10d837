"""Figures about the active model for `/metrics`: drift, and errors on reported sales.

A worker computes them every quarter of an hour. They expire, so that figures of a worker that has
stopped are missing rather than old.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Self

from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

RETENTION_S = 7_200


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelFigures:
    """Figures of the last week."""

    version: str | None
    """The version that was active."""
    cars: int
    """Different cars whose fields were compared with the training data."""
    psi: Mapping[str, float]
    """By field; fields with too few cars are left out."""
    psi_given: Mapping[str, float]
    """By field, among the cars that state it."""
    sale_errors: Mapping[str, float]
    """Median absolute error as a share of the sale price, by model version."""
    sale_reports: Mapping[str, int]
    """Number of reported sales behind it."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild the figures; unknown members are ignored."""
        return cls(**{field.name: given[field.name] for field in dataclasses.fields(cls)})


class ModelFiguresStore:
    """Stores the figures in the broker."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def put(self, figures: ModelFigures) -> None:
        """Replace the figures; raises `BrokerUnavailable`."""
        with broker_errors():
            self._client.set(keys.MODEL_FIGURES, json.dumps(figures.to_json()), ex=RETENTION_S)

    def get(self) -> ModelFigures | None:
        """The figures; None if there are none of the last two hours.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            found = self._client.get(keys.MODEL_FIGURES)
        if found is None:
            return None
        try:
            return ModelFigures.from_json(json.loads(found))
        except (ValueError, TypeError, KeyError):  # another release wrote them
            return None


def months_since(month: str, day: dt.date) -> int:
    """Months from a month (YYYY-MM) to that of a day; 0 if it is later.

    >>> months_since("2025-05", dt.date(2026, 11, 29))
    18
    """
    year, number = map(int, month.split("-"))
    return max(0, 12 * (day.year - year) + day.month - number)
