"""Durable file writes: after a crash a file has its old or its new content."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content atomically; returns after it is synced to disk."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; returns after it is synced to disk.

    An incomplete last line, left by a crash, is terminated first.
    """
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        is_incomplete = False
        if size:
            file.seek(-1, os.SEEK_END)
            is_incomplete = file.read(1) != b"\n"
        file.write(b"\n" * is_incomplete + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Sync a file to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Sync a folder's entries to disk, which makes renames durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
