"""Direct I/O: writes large files without filling the page cache.

The audit records of a large batch are gigabytes that are rarely read. In the page cache they evict
pages that are needed soon, and the kernel spends more time on caching them than on writing them.
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
"""Bytes per write."""

ALIGNED_BYTES = 4096
"""Direct writes need lengths and addresses that are multiples of the sector and page size."""

_DIRECT = getattr(os, "O_DIRECT", 0)
"""Zero where the system lacks the flag: writes then use the page cache."""

_UNSUPPORTED_ERRNOS = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of file systems without direct I/O, or with another alignment."""

_memory = threading.local()


def write_direct(handle: int, pieces: Sequence[bytes | memoryview]) -> None:
    """Write a new file, without the page cache where the file system supports that.

    Args:
        handle: descriptor of the empty file.
        pieces: the content, in order.

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
    """Evict a range of a file from the page cache; size 0: up to its end.

    Does nothing for a file of a remote store, which has no descriptor.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)


def _write_blocks(handle: int, pieces: Sequence[bytes | memoryview]) -> memoryview:
    """Write all whole pages; return the rest."""
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
    """Switch direct I/O on for the file."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    fcntl.fcntl(handle, fcntl.F_SETFL, flags | _DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)


def _block() -> memoryview:
    """The page-aligned buffer of this thread; a forked child allocates its own."""
    if getattr(_memory, "pid", None) != os.getpid():
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        _memory.block = memoryview(mmap.mmap(-1, BLOCK_BYTES, flags=private))
        _memory.pid = os.getpid()
    block: memoryview = _memory.block
    return block
