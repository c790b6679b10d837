"""The record of one answered valuation."""

import dataclasses
from typing import Any

from shared.domain.car import CarFeatures
from shared.domain.ids import CallerId, ValuationId
from shared.domain.valuation import Estimate


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """Who asked what, when, and what was answered by which model."""

    id: ValuationId
    at: float
    """Unix time of the answer, seconds."""
    caller: CallerId
    car: CarFeatures
    estimate: Estimate | None
    """None: the valuation failed, see `error`."""
    cached: bool
    response_time_ms: float
    """From the arrival of the request to the record."""
    job_id: str | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record's fields as they stand in the log, before it is chained."""
        estimate = self.estimate
        interval = estimate.interval() if estimate else None
        record: dict[str, Any] = {
            "id": self.id,
            "at": self.at,
            "caller": self.caller,
            "features": self.car.to_dict(),
            "price_mad": estimate.price_mad if estimate else None,
            "low_mad": interval.low_mad if interval else None,
            "high_mad": interval.high_mad if interval else None,
            "model_version": estimate.model_version if estimate else None,
            "cached": self.cached,
            "response_time_ms": round(self.response_time_ms, 3),
            "status": "success" if estimate else "error",
        }
        if self.job_id is not None:
            record["job_id"] = self.job_id
        if self.error is not None:
            record["error"] = self.error
        return record
