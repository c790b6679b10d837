"""Complete files of the audit log: one for each chunk of a batch, written at once."""

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from shared.adapters.jsonl_audit import GENESIS, chain, day_of, file_name, link
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
    return seal(b"".join(lines[:-1]), lines[-1]) if lines else b""


def seal(before: bytes | memoryview, last: bytes) -> bytes:
    """The lines of a segment: the last one carries the hash of all.

    Args:
        before: all lines but the last.
        last: the last line.
    """
    line, _, _ = chain([last.rstrip(b"\n")], link(GENESIS, before))
    return b"".join((before, line))


def has_segment(folder: Path, segment: str, at: float) -> bool:
    """Whether `write_segment` has written this one."""
    return (folder / file_name(day_of(at), segment)).exists()


def write_segment(folder: Path, segment: str, at: float, lines: bytes) -> None:
    """Write one complete audit file, atomically; one that is there stays as it is.

    Args:
        folder: folder of the audit log.
        segment: name of the part, the same at every repetition.
        at: Unix time whose day names the file, the same at every repetition.
        lines: from `encode_segment`.

    Raises:
        AuditUnavailable: the disk refuses; no file is left.
    """
    path = folder / file_name(day_of(at), segment)
    # Two workers may write the same segment at once: each has a temporary file of its own.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        if path.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
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
    AUDIT_RECORDS.inc(lines.count(b"\n"))


def remove_stale(folder: Path, now: float) -> None:
    """Delete what writers that died have left half-written; `now` is the Unix time."""
    for path in folder.glob(".predictions_*.tmp"):
        if path.stat().st_mtime + STALE_S < now:
            path.unlink(missing_ok=True)
