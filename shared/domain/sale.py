"""Sale prices that callers report, compared with the valuations."""

import dataclasses
import datetime as dt
from enum import StrEnum
from typing import Any

from shared.domain.ids import CallerId


class SaleReportKind(StrEnum):
    """Effect of a report; the label of a metric."""

    NEW = "new"
    REPEATED = "repeated"
    """Equal to the recorded report: nothing is written."""
    CORRECTION = "correction"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sale:
    """What a caller reports; it has no personal data."""

    price_mad: float
    sold_at: dt.date


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SaleReport:
    """A sale joined to the audit record of the valuation."""

    valuation_id: str
    caller: CallerId
    """Who asked for the valuation."""
    sale: Sale
    price_mad: float
    """The estimate."""
    low_mad: float
    """Ends of its 90 % interval."""
    high_mad: float
    model_version: str
    recorded_at: float
    """Unix time, seconds."""
    is_correction: bool = False
    """It replaces an earlier report."""

    @property
    def ape(self) -> float:
        """Absolute error of the estimate as a share of the sale price."""
        return abs(self.sale.price_mad - self.price_mad) / self.sale.price_mad

    @property
    def ratio(self) -> float:
        """Sale price over estimate: below 1 where estimates are too high."""
        return self.sale.price_mad / self.price_mad

    @property
    def is_inside(self) -> bool:
        """Whether the sale price lies in the 90 % interval."""
        return self.low_mad <= self.sale.price_mad <= self.high_mad

    def to_json(self) -> dict[str, Any]:
        """The record as written to the log, without its hashes; the inverse of `from_json`."""
        return {
            "id": self.valuation_id,
            "at": self.recorded_at,
            "caller": self.caller,
            "sale_price_mad": self.sale.price_mad,
            "sold_at": self.sale.sold_at.isoformat(),
            "price_mad": self.price_mad,
            "low_mad": self.low_mad,
            "high_mad": self.high_mad,
            "model_version": self.model_version,
            "is_correction": self.is_correction,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "SaleReport":
        """Rebuild from a line of the log."""
        sold_at = dt.date.fromisoformat(given["sold_at"])
        same = ("caller", "price_mad", "low_mad", "high_mad", "model_version", "is_correction")
        return cls(
            valuation_id=given["id"],
            sale=Sale(price_mad=given["sale_price_mad"], sold_at=sold_at),
            recorded_at=given["at"],
            **{name: given[name] for name in same},
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SaleAccuracy:
    """Accuracy of one model version."""

    model_version: str
    outcomes: int
    """Valuations with a sale price."""
    corrections: int
    """How many of them were corrected later."""
    median_ape: float
    """Median of the absolute error as a share of the sale price."""
    mean_ratio: float
    """Mean of sale price over estimate."""
    coverage_90: float
    """Share of the sale prices inside the 90 % interval."""
