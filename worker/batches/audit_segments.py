"""Audit segments: complete files of the audit log, one per chunk of a batch.

A segment is made with its part, stored beside it and published when the part is durable. A record
in the log therefore belongs to a row whose result cannot be lost, and publishing a segment again
changes nothing.
"""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name, link
from shared.audit.checkpoints import Checkpoints
from shared.audit.file_state import CheckpointError
from shared.audit.sums import CallerSums, FileSums, StoredSums, store_sums
from shared.blobs.batch_files import audit_name
from shared.blobs.local import fsync, fsync_folder, temporary_file
from shared.blobs.parts import Part, PartHead
from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchManifest
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import BatchId
from shared.logging import get_logger
from shared.metrics import AUDIT_FAILURES, AUDIT_RECORDS

STALE_S = 86_400
"""A temporary file of this age belongs to a writer that was killed."""

FIRST_LINE_BYTES = 2048
LINE_END_BYTES = len(b'"}\n')
HASH_END_BYTES = len(GENESIS_HASH) + LINE_END_BYTES
"""A line ends with its hash and these characters."""

log = get_logger("batch.audit")


def encode_segment(records: Iterable[dict[str, Any]]) -> bytes:
    """The lines of a segment; empty without records.

    Args:
        records: as `AuditRecord.to_json` gives them.
    """
    lines = [orjson.dumps(record) + b"\n" for record in records]
    before = b"".join(lines[:-1])
    return before + seal_last_line(before, lines[-1]) if lines else b""


def seal_last_line(before: bytes | memoryview, last: bytes) -> bytes:
    """The last line of a segment with the hash of all lines added.

    Args:
        before: all lines but the last.
        last: the last line.
    """
    line, _, _ = chain([last.rstrip(b"\n")], link(GENESIS_HASH, before))
    return line


class SegmentLines(NamedTuple):
    """The lines of a segment and where they are stored."""

    file: Path | None
    """A durable, immutable file with exactly these lines; None: there is no such file."""
    read: Callable[[], bytes | memoryview]
    """Reads them, from the file or elsewhere."""
    records: int


def segment_name(batch_id: BatchId, chunk: int) -> str:
    """Name of the segment of a chunk."""
    return f"batch-{batch_id}-{chunk}"


def publish_part_segment(
    folder: Path,
    blobs: BlobStore,
    manifest: BatchManifest,
    chunk: int,
    head: PartHead,
    *,
    lines: bytes | memoryview = b"",
) -> None:
    """Publish the audit segment of a part; does nothing if it is published or empty.

    Args:
        folder: of the audit log.
        blobs: store of the parts.
        manifest: of the batch.
        chunk: number of the part.
        head: of the part.
        lines: of the segment, if this process has made them: they are not read from the store.

    Raises:
        AuditUnavailable: the audit log cannot be written.
    """
    if not head.recorded:
        return
    name = audit_name(chunk)

    def read() -> bytes | memoryview:
        return lines or blobs.load(manifest.id, name)

    publish_segment(
        folder,
        segment_name(manifest.id, chunk),
        manifest.accepted_at,
        SegmentLines(blobs.local_path(manifest.id, name), read, head.recorded),
    )


def publish_segment(folder: Path, segment: str, at: float, lines: SegmentLines) -> None:
    """Make lines a file of the audit log, atomically; an existing segment stays as it is.

    A file on the same disk gets a hard link; a file on another disk is copied.

    Args:
        folder: of the audit log.
        segment: name of the segment, the same at every repetition.
        at: Unix time whose day names the file, the same at every repetition.
        lines: of the segment, as `encode_segment` makes them.

    Raises:
        AuditUnavailable: the disk refuses; no file is left.
        FileNotFoundError: the lines are gone.
    """
    path = folder / file_name(day_of(at), segment)
    if path.exists():
        return
    if not _is_linked(lines.file, path):
        _write(path, lines.read())
    AUDIT_RECORDS.inc(lines.records)


def store_segment_sums(folder: Path, segment: str, at: float, part: Part) -> None:
    """Store the sums of a published segment, so that the statistics need not read its lines.

    A disk that refuses is ignored: the lines are then read.

    Args:
        folder: of the audit log.
        segment: its name.
        at: Unix time whose day names the file.
        part: with the segment and the prices.
    """
    if not part.audit or not part.prices_mad:
        return
    lines = memoryview(part.audit)
    first = orjson.loads(bytes(lines[: _line_length(lines)]))
    count = len(part.prices_mad)
    sums = CallerSums(
        successes=count,
        price_sum=sum(part.prices_mad),
        price_min=min(part.prices_mad),
        price_max=max(part.prices_mad),
        response_ms_sum=first["response_time_ms"] * count,
        versions={first["model_version"]: count},
    )
    day = day_of(at)
    head = bytes(lines[-HASH_END_BYTES:-LINE_END_BYTES]).decode()
    stored = StoredSums(
        file_name(day, segment), len(lines), head, FileSums({first["caller"]: sums})
    )
    with contextlib.suppress(OSError):
        store_sums(folder, day, [stored])


def _line_length(lines: memoryview) -> int:
    size = FIRST_LINE_BYTES
    while (end := bytes(lines[:size]).find(b"\n")) < 0 and size < len(lines):
        size *= 2
    return end + 1


def list_batch_segments(
    folder: Path, checkpoints: Checkpoints | None, manifest: BatchManifest, chunks: Iterable[int]
) -> None:
    """List the published segments of a batch in the inventory of the log.

    Without the key they stay unlisted, which `carprice audit verify` reports.

    Args:
        folder: of the audit log.
        checkpoints: of the log; None: there is no inventory.
        manifest: of the batch.
        chunks: numbers of its parts.

    Raises:
        AuditUnavailable: the inventory cannot be written.
    """
    if checkpoints is None:
        return
    day = day_of(manifest.accepted_at)
    names = (file_name(day, segment_name(manifest.id, chunk)) for chunk in chunks)
    try:
        checkpoints.list_files([folder / name for name in names if (folder / name).exists()])
    except CheckpointError as error:
        if isinstance(error.__cause__, OSError):
            raise AuditUnavailable(reason=str(error)) from error
        log.warning("batch_segments_not_listed", batch_id=manifest.id, error=str(error))


def fsync_segment_names(folder: Path) -> None:
    """Make the names of all published segments durable.

    Raises:
        AuditUnavailable: the disk refuses.
    """
    try:
        fsync_folder(folder)
    except FileNotFoundError:  # nothing was published
        return
    except OSError as error:
        raise AuditUnavailable(reason=error.strerror or str(error)) from error


def remove_stale(folder: Path, now: float) -> None:
    """Delete the temporary files of killed writers; `now` is the Unix time."""
    for path in folder.glob(".predictions_*.tmp"):
        if path.stat().st_mtime + STALE_S < now:
            path.unlink(missing_ok=True)


def _is_linked(file: Path | None, path: Path) -> bool:
    """Link `path` to `file`; return whether `path` is there, from this process or another."""
    if file is None:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(file)
    except FileExistsError:
        return path.exists()
    except OSError:
        # Another disk, or one without links: any other cause shows when the file is written.
        return False
    return True


def _write(path: Path, lines: bytes | memoryview) -> None:
    try:
        with temporary_file(path, prefix=".") as (temporary, file):
            file.write(lines)
            fsync(file)
            temporary.replace(path)
    except OSError as error:
        AUDIT_FAILURES.inc()
        raise AuditUnavailable(reason=error.strerror or str(error)) from error
