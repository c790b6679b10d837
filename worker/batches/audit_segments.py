"""Complete files of the audit log: one for each chunk of a batch, written at once."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.audit.log import GENESIS_HASH, chain, day_of, file_name, link
from shared.blobs.local import fsync_folder
from shared.domain.errors import AuditUnavailable
from shared.metrics import AUDIT_FAILURES, AUDIT_RECORDS

STALE_S = 86_400
"""A temporary file that is older belongs to a writer that died."""


def encode_segment(records: Iterable[dict[str, Any]]) -> bytes:
    """The lines of a segment.

    Args:
        records: as `AuditRecord.to_json` gives them.
    """
    lines = [orjson.dumps(record) + b"\n" for record in records]
    before = b"".join(lines[:-1])
    return before + seal_last_line(before, lines[-1]) if lines else b""


def seal_last_line(before: bytes | memoryview, last: bytes) -> bytes:
    """The last line of a segment, which carries the hash of all.

    Args:
        before: all lines but the last.
        last: the last line.
    """
    line, _, _ = chain([last.rstrip(b"\n")], link(GENESIS_HASH, before))
    return line


class SegmentLines(NamedTuple):
    """The lines of a segment, wherever they lie."""

    file: Path | None
    """A durable file of nothing else, which nobody changes; None: there is no such file."""
    read: Callable[[], bytes]
    """Gives them, whether there is a file or not."""
    records: int


def publish_segment(folder: Path, segment: str, at: float, lines: SegmentLines) -> None:
    """Make lines a file of the audit log, at once; a segment that is there stays as it is.

    A file of the same disk becomes one by a second name; of another it is copied.

    Args:
        folder: folder of the audit log.
        segment: name of the part, the same at every repetition.
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


def write_segment(folder: Path, segment: str, at: float, lines: bytes) -> None:
    """Publish lines that lie in no file; see `publish_segment`."""
    publish_segment(folder, segment, at, SegmentLines(None, lambda: lines, lines.count(b"\n")))


def fsync_segment_names(folder: Path) -> None:
    """Have the names of all published segments on the disk, when this returns.

    Raises:
        AuditUnavailable: the disk refuses.
    """
    try:
        fsync_folder(folder)
    except FileNotFoundError:  # nothing was published
        return
    except OSError as error:
        raise AuditUnavailable(reason=error.strerror or str(error)) from error


def _is_linked(file: Path | None, path: Path) -> bool:
    """Whether `path` is another name of `file` now, or of what somebody else published there."""
    if file is None:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(file)
    except FileExistsError:
        return path.exists()
    except OSError:
        # Another disk, or one without links: whatever it is, writing the file will show it.
        return False
    return True


def _write(path: Path, lines: bytes) -> None:
    # Two workers may write the same segment at once: each has a temporary file of its own.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        AUDIT_FAILURES.inc()
        raise AuditUnavailable(reason=error.strerror or str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_stale(folder: Path, now: float) -> None:
    """Delete what writers that died have left half-written; `now` is the Unix time."""
    for path in folder.glob(".predictions_*.tmp"):
        if path.stat().st_mtime + STALE_S < now:
            path.unlink(missing_ok=True)
