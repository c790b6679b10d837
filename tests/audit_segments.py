"""Audit records and segments of tests."""

from pathlib import Path

from shared.domain.ids import CallerId, ValuationId
from shared.domain.valuation import AuditRecord, Estimate
from shared.fields.requests import load_car_request
from worker.batches.audit_segments import SegmentLines, encode_segment, publish_segment

AT = 1_790_000_000.0
"""Unix time of the records."""


def write_segment(folder: Path, segment: str, at: float, lines: bytes) -> None:
    """Publish lines that are in no file yet."""
    publish_segment(folder, segment, at, SegmentLines(None, lambda: lines, lines.count(b"\n")))


def audit_record(car, number=1, *, price=100_000.0, cached=False, failed=False, caller="local"):
    """An audit record of one valuation."""
    return AuditRecord(
        id=ValuationId(f"id-{number}"),
        at=AT,
        caller=CallerId(caller),
        car=load_car_request(car).car,
        estimate=None
        if failed
        else Estimate(
            price_mad=price,
            quantiles_mad=tuple(price * (0.8 + 0.05 * i) for i in range(9)),
            model_version="v1",
            model_known=True,
        ),
        cached=cached,
        response_time_ms=2.0,
        error="valuation-failed" if failed else None,
    )


def segment(count, elapsed_ms=1.5, caller="local"):
    """The lines of a chunk that took a certain time."""
    return encode_segment(
        {
            "id": f"row-{number}",
            "caller": caller,
            "status": "success",
            "cached": False,
            "price_mad": 100.0,
            "model_version": "v1",
            "response_time_ms": elapsed_ms,
        }
        for number in range(count)
    )
