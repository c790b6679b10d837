"""Direct I/O writes complete files of any length on any file system."""

import ctypes
import errno
import fcntl
import io
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.blobs import direct_io
from shared.blobs.direct_io import ALIGNED_BYTES, BLOCK_BYTES, drop_from_page_cache, write_direct

CONTENT = bytes(range(256)) * (3 * BLOCK_BYTES // 256 + 16)


def written(path: Path, pieces: Sequence[bytes | memoryview]) -> bytes:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        write_direct(handle, pieces)
        os.write(handle, b"; what comes later")
    finally:
        os.close(handle)
    return path.read_bytes()


@pytest.mark.parametrize("around", [0, ALIGNED_BYTES, BLOCK_BYTES, 3 * BLOCK_BYTES])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_files_of_every_length(tmp_path: Path, around: int, more: int) -> None:
    data = CONTENT[: max(0, around + more)]
    cut = len(data) // 3
    pieces = [data[:cut], memoryview(data)[cut:], b""]
    assert written(tmp_path / "file", pieces) == data + b"; what comes later"


def test_no_bytes_of_one_file_appear_in_the_next(tmp_path: Path) -> None:
    written(tmp_path / "first", [b"a" * 5000])
    assert written(tmp_path / "second", [b"b" * 10]).startswith(b"b" * 10 + b";")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP])
@pytest.mark.parametrize("refused", [1, 2])
def test_other_alignments_fall_back_to_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int, code: int
) -> None:
    calls = []
    write = os.write

    def particular(handle: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == refused:
            raise OSError(code, os.strerror(code))
        return write(handle, data)

    monkeypatch.setattr(os, "write", particular)
    data = CONTENT[: 2 * BLOCK_BYTES + 7]
    assert written(tmp_path / "file", [data]).startswith(data + b";")
    assert len(calls) > refused


def test_a_file_system_without_direct_io_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = fcntl.fcntl

    def refuse(handle: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL:
            raise OSError(errno.EINVAL, "Invalid argument")
        return control(handle, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert written(tmp_path / "file", [b"records", b" and more"]).startswith(b"records and more;")


def test_a_forked_child_writes_its_own_data(tmp_path: Path) -> None:
    """Both have the same thread's memory, each has its own block."""
    data = b"p" * (2 * BLOCK_BYTES)
    written(tmp_path / "before", [data])
    parents = direct_io._block()
    if (child := os.fork()) == 0:
        direct_io._block()[:] = b"c" * BLOCK_BYTES
        os._exit(0)
    os.waitpid(child, 0)
    assert bytes(parents) == b"p" * BLOCK_BYTES


def test_a_full_disk_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    handle = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        write_direct(handle, [CONTENT])
    os.close(handle)


def cached_pages(path: Path) -> int:
    """How many pages of a file are in the system's cache."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        found = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), found
        )
        del start
    return sum(state & 1 for state in found)


def test_pages_of_a_file_read_for_the_last_time_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(CONTENT)
        file.flush()
        os.fsync(file.fileno())
    assert cached_pages(path) > 0
    with path.open("rb") as file:
        assert file.read() == CONTENT
        drop_from_page_cache(file)
        assert cached_pages(path) == 0
        file.seek(0)
        assert file.read() == CONTENT


def test_objects_of_a_bucket_are_ignored() -> None:
    drop_from_page_cache(io.BytesIO(b"object"))
