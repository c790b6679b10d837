"""The audit records of a chunk: one for every valued row.

They are made with the part, lie beside it, and are published once it is durable: a record that is
in the log belongs to a row whose answer cannot be lost, and publishing it again changes nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.blobs.batch_files import audit_name
from shared.blobs.parts import PartHead
from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchManifest
from worker.batches.audit_segments import SegmentLines, publish_segment
from worker.batches.rows.part import Prices, ValidCars


def audit_records(
    manifest: BatchManifest, cars: ValidCars, prices: Prices, *, at: float, elapsed_ms: float
) -> Iterator[dict[str, Any]]:
    """Records with the fields of `shared.domain.valuation.AuditRecord`, and the row.

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


def record_part(
    folder: Path, blobs: BlobStore, manifest: BatchManifest, chunk: int, head: PartHead
) -> None:
    """Publish the audit segment of a part unless that is done.

    Args:
        folder: where the audit log lies.
        blobs: where the records lie.
        manifest: of the batch.
        chunk: number of the part.
        head: of the part.

    Raises:
        AuditUnavailable: the audit log cannot be written.
    """
    if not head.recorded:
        return
    name = audit_name(chunk)

    def read() -> bytes:
        with blobs.read(manifest.id, name) as blob:
            return blob.read()

    publish_segment(
        folder,
        f"batch-{manifest.id}-{chunk}",
        manifest.accepted_at,
        SegmentLines(blobs.local_path(manifest.id, name), read, head.recorded),
    )
