"""The system's page cache: what nobody reads soon takes no memory from what is read.

The audit records of a large batch are gigabytes that are looked at days later, if ever. In the page
cache they push out what is needed at once, and the kernel's work for them costs more than theirs.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
"""What is written at once."""

ALIGNED_BYTES = 4096
"""Disks take whole sectors from whole pages of memory; no usual one has larger ones."""

_DIRECT = getattr(os, "O_DIRECT", 0)
"""Zero where the system has no such flag: everything goes through the cache then."""

_UNSUPPORTED_ERRNOS = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What file systems say that have no such writes, or want something else of places and lengths."""

_memory = threading.local()


def write_direct(handle: int, pieces: Sequence[bytes | memoryview]) -> None:
    """Write bytes into a new file, past the cache where its file system does that.

    Args:
        handle: descriptor of the file, which is empty.
        pieces: what to write, one after the other.

    Raises:
        OSError: the disk refuses.
    """
    rest: Sequence[bytes | memoryview]
    try:
        rest = [_write_blocks(handle, pieces)]
    except OSError as error:
        if error.errno not in _UNSUPPORTED_ERRNOS:
            raise
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        rest = pieces
    for piece in rest:
        _write_fully(handle, memoryview(piece))


def drop_from_page_cache(file: BinaryIO, start: int = 0, size: int = 0) -> None:
    """Let go of a part of a file that has been read for the last time; size 0: up to its end.

    Its pages serve what is written next. Does nothing where the file is none of this machine.
    """
    with contextlib.suppress(AttributeError, OSError):  # what has no descriptor raises the latter
        os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)


def _write_blocks(handle: int, pieces: Sequence[bytes | memoryview]) -> memoryview:
    """Write all but the end, which fills no page and is returned."""
    block, filled = _block(), 0
    with _direct(handle):
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                taken = rest[: BLOCK_BYTES - filled]
                block[filled : filled + len(taken)] = taken
                filled, rest = filled + len(taken), rest[len(taken) :]
                if filled == BLOCK_BYTES:
                    _write_fully(handle, block)
                    filled = 0
        whole = filled - filled % ALIGNED_BYTES
        _write_fully(handle, block[:whole])
    return block[whole:filled]


def _write_fully(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]


@contextmanager
def _direct(handle: int) -> Iterator[None]:
    """Writes to the file go past the cache meanwhile."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    fcntl.fcntl(handle, fcntl.F_SETFL, flags | _DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)


def _block() -> memoryview:
    """Whole pages of memory from which this thread writes, and nobody it has forked."""
    if getattr(_memory, "pid", None) != os.getpid():
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        _memory.block = memoryview(mmap.mmap(-1, BLOCK_BYTES, flags=private))
        _memory.pid = os.getpid()
    block: memoryview = _memory.block
    return block
