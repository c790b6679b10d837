"""Answers about the service itself: its state, its models, the names it knows, its statistics."""

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Self

from .valuations import read_all, read_members


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The state of something that the service depends on."""

    name: str
    ok: bool
    required: bool
    """Whether the service can neither accept nor record work without it."""
    detail: str
    latency_ms: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """Whether the service accepts and records work, and what does not work."""

    status: str
    """`ready`; `degraded`: it accepts work, but a check fails; `not-ready`."""
    checks: tuple[Check, ...]

    @property
    def accepts_work(self) -> bool:
        """Whether cars and files can be handed in now."""
        return self.status in {"ready", "degraded"}

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return read_members(cls, answer, checks=read_all(Check, answer["checks"]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """A version of the model."""

    version: str
    active: bool
    """Whether it estimates the prices now."""
    created_at: datetime
    activated_at: datetime | None = None
    """When it was last made the active one."""
    data_as_of: str | None = None
    """Month of its newest data."""
    basis: str = ""
    """`asking_prices`: of listings, not of sales."""
    estimator: str = ""
    trees: int = 0
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Measured quality; its model card explains the figures."""
    raw: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        activated = answer.get("activated_at")
        return read_members(
            cls,
            answer,
            created_at=datetime.fromisoformat(answer["created_at"]),
            activated_at=None if activated is None else datetime.fromisoformat(activated),
            raw=answer,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A value that may be meant; it can be sent as it is."""

    value: str
    company: str
    """Brand of a model; empty for a trim."""
    listings: int
    """Listings in Morocco; 0: fewer than ten, or not counted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A usual value, and the share of the model's cars of about that year that have it."""

    value: str | int
    share: float
    """0 to 1."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UsualValues:
    """What is usual for a model and year, the most frequent first; empty where it is not known."""

    fuel: tuple[Share, ...]
    transmission: tuple[Share, ...]
    fiscal_power_cv: tuple[Share, ...]
    km_driven: int | None
    """Kilometres, in thousands of them."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        names = ("fuel", "transmission", "fiscal_power_cv")
        shares = {name: read_all(Share, answer[name]) for name in names}
        return read_members(cls, answer, **shares)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PredictionStatistics:
    """The caller's valuations of a day in UTC; prices in MAD."""

    date: date
    total_predictions: int
    successful_predictions: int
    failed_predictions: int
    cache_hits: int
    cache_hit_rate: float
    """Percent."""
    average_price: float
    min_price: float
    max_price: float
    average_response_time_ms: float
    model_versions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Valuations of each version."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return read_members(cls, answer, date=date.fromisoformat(answer["date"]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SaleStatistics:
    """How right the estimates of a model version were, by the caller's reports of sales."""

    model_version: str
    outcomes: int
    """Reported sales."""
    corrections: int
    median_absolute_error: float
    """As a share of the sale price."""
    mean_price_ratio: float
    """Sale price over estimate; below 1: the estimates were too high."""
    coverage_90: float
    """Share of the sales inside the 90 % interval."""
