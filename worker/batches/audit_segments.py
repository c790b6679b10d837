"""Audit segments: complete files of the audit log, one per chunk of a batch.

A segment is made with its part, stored beside it and published when the part is durable. A record
in the log therefore belongs to a row whose result cannot be lost, and publishing a segment again
changes nothing.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name, link
from shared.blobs.batch_files import audit_name
from shared.blobs.local import fsync, fsync_folder, temporary_file
from shared.blobs.parts import PartHead
from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchManifest
from shared.domain.errors import AuditUnavailable
from shared.metrics import AUDIT_FAILURES, AUDIT_RECORDS

STALE_S = 86_400
"""A temporary file of this age belongs to a writer that was killed."""


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
    read: Callable[[], bytes]
    """Reads them, from the file or elsewhere."""
    records: int


def publish_part_segment(
    folder: Path, blobs: BlobStore, manifest: BatchManifest, chunk: int, head: PartHead
) -> None:
    """Publish the audit segment of a part; does nothing if it is published or empty.

    Args:
        folder: of the audit log.
        blobs: store of the parts.
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


def _write(path: Path, lines: bytes) -> None:
    try:
        with temporary_file(path, prefix=".") as (temporary, file):
            file.write(lines)
            fsync(file)
            temporary.replace(path)
    except OSError as error:
        AUDIT_FAILURES.inc()
        raise AuditUnavailable(reason=error.strerror or str(error)) from error
