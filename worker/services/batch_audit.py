"""The audit records of a chunk: one for every valued row.

They are made with the part, lie in it, and are published from it: a record that is in the log
belongs to a row whose answer is durable, and publishing it again gives the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.adapters.audit_segments import has_segment, write_segment
from shared.domain.batch import BatchManifest
from worker.services.batch_rows import Prices, ValidCars


def audit_records(
    manifest: BatchManifest, cars: ValidCars, prices: Prices, *, at: float, elapsed_ms: float
) -> Iterator[dict[str, Any]]:
    """Records with the fields of `shared.domain.audit.AuditRecord`, and the row.

    Args:
        manifest: of the batch.
        cars: the valid rows.
        prices: of these rows, in order.
        at: Unix time of the estimate.
        elapsed_ms: what the chunk took; it stands in each of its rows.
    """
    names = tuple(cars.values)
    shared = shared_members(manifest, at, elapsed_ms)
    features = zip(*cars.values.values(), strict=True)
    for row, car, price, low, high in zip(cars.rows, features, *prices[:3], strict=True):
        yield {
            "id": f"{manifest.id}-{row}",
            **shared,
            "row": row,
            "features": {
                name: value for name, value in zip(names, car, strict=True) if value is not None
            },
            "price_mad": price,
            "low_mad": low,
            "high_mad": high,
        }


def shared_members(manifest: BatchManifest, at: float, elapsed_ms: float) -> dict[str, Any]:
    """What all records of a chunk say."""
    return {
        "at": at,
        "caller": manifest.caller,
        "batch_id": manifest.id,
        "model_version": manifest.model_version,
        "cached": False,
        "response_time_ms": round(elapsed_ms, 3),
        "status": "success",
    }


def record_part(folder: Path, manifest: BatchManifest, chunk: int, audit: bytes) -> None:
    """Publish the audit segment of a part unless that is done.

    Raises:
        AuditUnavailable: the audit log cannot be written.
    """
    if audit:
        write_segment(folder, _segment(manifest, chunk), manifest.accepted_at, audit)


def is_recorded(folder: Path, manifest: BatchManifest, chunk: int) -> bool:
    """Whether the audit segment of a chunk's part is published."""
    return has_segment(folder, _segment(manifest, chunk), manifest.accepted_at)


def _segment(manifest: BatchManifest, chunk: int) -> str:
    return f"batch-{manifest.id}-{chunk}"
