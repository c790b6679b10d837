"""Files through which the processes of a host share their metrics, safe on a full disk.

`prometheus_client` maps sparse files into memory: on a full disk the first write to a page kills
the process with SIGBUS. Here a file is mapped only on a file system in memory and after its pages
have been reserved. Everywhere else the values are in the memory of the process and are written to
the file; while that fails, the process continues and the file is behind.

A file belongs to a slot, not to a process id: the successor of a process continues its counters,
so the number of files is the largest number of simultaneous processes (docs/adr/0102).
"""

import fcntl
import mmap
import os
import struct
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SLOTS_FILE = "slots.lock"
"""Each process holds a lock on one byte of it, whose offset is the number of its slot."""

MAX_SLOTS = 10_000
INITIAL_BYTES = 65_536
HEADER_BYTES = 8
"""Number of used bytes, padded."""

ENTRY_BYTES = 32
"""At most this many bytes of an entry are not its key."""

RETRY_S = 1.0
"""Pause after a failed attempt to write a file that is behind."""

_MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}
_INT = struct.Struct("i")

Buffer: TypeAlias = "mmap.mmap | WrittenBuffer"


def share_metrics() -> None:
    """Make the library use these files, if processes share metrics at all.

    To be called before the first metric is made.
    """
    if os.environ.get(FOLDER_VARIABLE):
        values.MmapedDict = MetricFile  # type: ignore[attr-defined, assignment]
        values.ValueClass = values.MultiProcessValue(ProcessSlot())  # type: ignore[no-untyped-call]


def is_in_use(folder: Path) -> bool:
    """Whether a process that still runs has a slot in a folder."""
    try:
        handle = os.open(folder / SLOTS_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, MAX_SLOTS)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@lru_cache(maxsize=8)
def is_in_memory(folder: Path) -> bool:
    """Whether a folder is on a file system in memory."""
    kinds: dict[Path, str] = {}
    try:
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            _, place, kind, *_ = line.split(" ")
            kinds[Path(place.encode().decode("unicode_escape"))] = kind
    except (OSError, ValueError):
        return False
    folder = folder.resolve()
    mounted = next((each for each in (folder, *folder.parents) if each in kinds), None)
    return mounted is not None and kinds[mounted] in _MEMORY_FILE_SYSTEMS


class ProcessSlot:
    """Number of the slot of this process, which no other running process has.

    A record lock is not inherited by forked children, and the kernel releases that of a killed
    process.
    """

    def __init__(self) -> None:
        self._slot: int | str | None = None
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self) -> int | str:
        """Return the slot; a forked child gets one of its own at its first call."""
        if self._slot is None:
            self._slot = self._claim()
        return self._slot

    def _forget(self) -> None:
        self._slot = None

    def _claim(self) -> int | str:
        """Lock the first free slot; without a lock file the process id is the slot."""
        folder = Path(os.environ[FOLDER_VARIABLE])
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It is never closed: that would release the lock.
            handle = os.open(folder / SLOTS_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return f"pid{os.getpid()}"
        for slot in range(MAX_SLOTS):
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            except OSError:
                continue
            return slot
        return f"pid{os.getpid()}"


class MetricFile(MmapedDict):
    """The values of one type of metric of one process, as the library reads and writes them.

    Args:
        filename: continued if it exists.
    """

    def __init__(self, filename: str) -> None:
        # The library's own initialisation would map the file as it is.
        self._path = Path(filename)
        self._positions: dict[str, int] = {}
        self._m: Any = _open_buffer(self._path)
        try:
            self._read_entries()
        except (struct.error, RuntimeError, ValueError, IndexError):  # damaged: start again
            self._m.close()
            self._path.unlink(missing_ok=True)
            self._m = _open_buffer(self._path)
            self._read_entries()

    def close(self) -> None:
        """Close the file."""
        if self._m is not None:
            self._m.close()
            self._m = None

    def _read_entries(self) -> None:
        self._capacity = len(self._m)
        (self._used,) = _INT.unpack_from(self._m)
        if self._used > self._capacity:
            raise ValueError(f"{self._path}: shorter than its header says")
        if self._used == 0:
            self._used = HEADER_BYTES
            self._m[: _INT.size] = _INT.pack(self._used)
        entries: Any = self._read_all_values()  # type: ignore[no-untyped-call]
        self._positions = {key: position for key, _, _, position in entries}

    def _init_value(self, key: str) -> None:
        """Add a value; the lock of all values is held."""
        needed = self._used + len(key.encode()) + ENTRY_BYTES
        if needed > self._capacity:
            self._m = _enlarged(self._path, self._m, max(2 * self._capacity, needed))
            self._capacity = len(self._m)
        super()._init_value(key)  # type: ignore[no-untyped-call]


class WrittenBuffer(bytearray):
    """Memory whose changes are written to a file.

    A file that does not exist gets its name once it is complete, so that a reader never finds a
    file without header.
    """

    _path: Path
    _handle: int | None
    _is_behind: bool
    _retry_at: float

    @classmethod
    def of(cls, path: Path, content: bytes) -> "WrittenBuffer":
        """Make a buffer whose whole content has to be written to this file."""
        buffer = cls(content)
        buffer._path, buffer._handle = path, None
        buffer._is_behind, buffer._retry_at = True, 0.0
        return buffer

    def __setitem__(self, place: Any, value: Any) -> None:
        """Change bytes here and, if possible, in the file."""
        super().__setitem__(place, value)
        if self._is_behind or self._handle is None:
            self._catch_up()
            return
        try:
            written = os.pwrite(self._handle, value, place.start or 0)
            self._is_behind = written < len(value)
        except OSError:
            self._is_behind = True

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _catch_up(self) -> None:
        """Write the whole content, unless an attempt has failed just now."""
        if time.monotonic() < self._retry_at:
            return
        try:
            self._write_file()
            self._is_behind = False
        except OSError:
            self._retry_at = time.monotonic() + RETRY_S

    def _write_file(self) -> None:
        """Write entries before the header, which then never counts an entry that is missing."""
        (used,) = _INT.unpack_from(self)
        new = self._path.with_suffix(".new")
        is_new = not self._path.exists()
        if self._handle is None or is_new:
            self.close()
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle = os.open(new if is_new else self._path, os.O_RDWR | os.O_CREAT, 0o600)
        _write_all(self._handle, bytes(self[HEADER_BYTES:used]), HEADER_BYTES)
        _write_all(self._handle, bytes(self[:HEADER_BYTES]), 0)
        if is_new:
            new.rename(self._path)


def _write_all(handle: int, content: bytes, offset: int) -> None:
    """Write all bytes at an offset; raises `OSError`."""
    while content:
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written


def _open_buffer(path: Path) -> Buffer:
    """The content of a file, mapped if that is safe; a file of zeros if there is none."""
    mapped = _map_reserved(path, INITIAL_BYTES)
    if mapped is not None:
        return mapped
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    return WrittenBuffer.of(path, content.ljust(INITIAL_BYTES, b"\0"))


def _enlarged(path: Path, buffer: Buffer, size: int) -> Buffer:
    """A buffer of this size with the content of another one, which is closed."""
    if isinstance(buffer, WrittenBuffer):
        buffer.extend(bytes(size - len(buffer)))
        return buffer
    content = buffer[:]
    buffer.close()
    return _map_reserved(path, size) or WrittenBuffer.of(path, content.ljust(size, b"\0"))


def _map_reserved(path: Path, size: int) -> mmap.mmap | None:
    """Map a file of at least this size with all its pages reserved.

    Returns:
        None if it is not on a file system in memory, or there is not enough space.
    """
    if not is_in_memory(path.parent):
        return None
    new = path.with_suffix(".new")
    is_new = not path.exists()
    try:
        handle = os.open(new if is_new else path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        size = max(size, os.fstat(handle).st_size)
        os.posix_fallocate(handle, 0, size)
        mapped = mmap.mmap(handle, size)
        if is_new:
            new.rename(path)
    except (OSError, ValueError):
        return None
    else:
        return mapped
    finally:
        os.close(handle)
