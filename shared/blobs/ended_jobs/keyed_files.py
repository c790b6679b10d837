"""Files of sorted keys with values, of which one is found by one or two small reads.

A file starts with an index: the first key of each block, its place and its checksum. Blocks of
neighbouring keys are compressed. A file is replaced as a whole; a reader that knows the index of
the former one finds checksums that do not fit, and reads the index again.
"""

import struct
import threading
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias, TypeVar

import msgpack

from shared.blobs.stores import BlobStore
from shared.domain.errors import StorageUnavailable, UnreadableRecord, record_errors
from shared.domain.ids import BatchId

Item: TypeAlias = tuple[bytes, bytes]
"""A key and its value."""

T = TypeVar("T")

MAGIC = b"CPK1"
_HEAD = struct.Struct(">4sII")
"""Magic, bytes of the packed index, its checksum."""

BLOCK_ITEMS, BLOCK_BYTES = 64, 65_536
"""A block ends after so many keys or bytes, whichever comes first."""

HEAD_BYTES = 65_536
"""What the first read of a file fetches: its index, and a small file as a whole."""

COMPRESSION_LEVEL = 3
MAX_INDEXES = 128
"""Indexes that a process keeps, the last used ones; with small files 8 MB."""


class _Block(NamedTuple):
    first_key: bytes
    offset: int
    """From the end of the index."""
    size: int
    checksum: int


class _Index(NamedTuple):
    keys: list[bytes]
    """First keys of the blocks."""
    blocks: list[_Block]
    start: int
    """Where the blocks begin."""
    content: bytes | None
    """The whole file, if it is small."""


class _StaleIndexError(Exception):
    """A block is not what the index says: the file was replaced, or it is damaged."""


def pack_items(items: Iterable[Item]) -> list[bytes]:
    """The content of a file, in pieces.

    Args:
        items: with different keys, sorted by them.
    """
    blocks, bodies, offset = [], [], 0
    for group in _groups(items):
        body = zlib.compress(msgpack.packb(group), COMPRESSION_LEVEL)
        blocks.append(_Block(group[0][0], offset, len(body), zlib.crc32(body)))
        bodies.append(body)
        offset += len(body)
    index = zlib.compress(msgpack.packb(blocks), COMPRESSION_LEVEL)
    return [_HEAD.pack(MAGIC, len(index), zlib.crc32(index)), index, *bodies]


def _groups(items: Iterable[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    size = 0
    for item in items:
        group.append(item)
        size += len(item[0]) + len(item[1])
        if len(group) == BLOCK_ITEMS or size >= BLOCK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class KeyedFiles:
    """Reads such files of a blob store; keeps the indexes of the last used ones.

    Every method raises `FileNotFoundError` for a missing file, `UnreadableRecord` for a damaged one
    and `StorageUnavailable` while the store does not answer.

    Args:
        blobs: the store.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._indexes: OrderedDict[tuple[str, str], _Index] = OrderedDict()

    def get(self, folder: str, name: str, key: bytes) -> bytes | None:
        """The value of a key; None if the file does not have it."""

        def find(index: _Index) -> bytes | None:
            place = bisect_right(index.keys, key) - 1
            if place < 0:
                return None
            return dict(self._block(folder, name, index, place)).get(key)

        return self._with_index(folder, name, find)

    def newest(self, folder: str, name: str, low: bytes, high: bytes, limit: int) -> list[Item]:
        """The items with the highest keys between `low` and `high`, both excluded, in descent."""

        def find(index: _Index) -> list[Item]:
            found: list[Item] = []
            place = bisect_right(index.keys, high) - 1
            while place >= 0 and len(found) < limit:
                block = self._block(folder, name, index, place)
                found += [each for each in reversed(block) if low < each[0] < high]
                if block[0][0] <= low:
                    break
                place -= 1
            return found[:limit]

        return self._with_index(folder, name, find)

    def all(self, folder: str, name: str) -> list[Item]:
        """All items, by one read."""
        with _storage_errors():
            content = self._blobs.load(BatchId(folder), name)
        index = _parse(content, content)
        try:
            return [
                item
                for place in range(len(index.blocks))
                for item in self._block(folder, name, index, place)
            ]
        except _StaleIndexError:
            raise _damaged(folder, name) from None

    def _with_index(self, folder: str, name: str, find: Callable[[_Index], T]) -> T:
        """What `find` finds by the index, which is read again if the file was replaced."""
        try:
            return find(self._index(folder, name))
        except _StaleIndexError:
            with self._lock:
                self._indexes.pop((folder, name), None)
        try:
            return find(self._index(folder, name))
        except _StaleIndexError:
            raise _damaged(folder, name) from None

    def _index(self, folder: str, name: str) -> _Index:
        with self._lock:
            known = self._indexes.get((folder, name))
            if known is not None:
                self._indexes.move_to_end((folder, name))
                return known
        head = self._read(folder, name, 0, HEAD_BYTES)
        is_whole = len(head) < HEAD_BYTES
        if not is_whole and (end := _index_end(head)) > len(head):
            head += self._read(folder, name, len(head), end)
        index = _parse(head, head if is_whole else None)
        with self._lock:
            self._indexes[folder, name] = index
            while len(self._indexes) > MAX_INDEXES:
                self._indexes.popitem(last=False)
        return index

    def _block(self, folder: str, name: str, index: _Index, place: int) -> list[Item]:
        _, offset, size, checksum = index.blocks[place]
        start = index.start + offset
        if index.content is None:
            body = self._read(folder, name, start, start + size)
        else:
            body = index.content[start : start + size]
        if zlib.crc32(body) != checksum:
            raise _StaleIndexError
        with record_errors():
            return [(key, value) for key, value in msgpack.unpackb(zlib.decompress(body))]

    def _read(self, folder: str, name: str, start: int, end: int) -> bytes:
        with _storage_errors():
            return self._blobs.read_range(BatchId(folder), name, start, end)


def _index_end(head: bytes) -> int:
    with record_errors():
        if len(head) < _HEAD.size:
            raise ValueError("no head")
        return _HEAD.size + int(_HEAD.unpack_from(head)[1])


def _parse(head: bytes, content: bytes | None) -> _Index:
    """Read the index at the start of a file.

    Raises:
        UnreadableRecord: it is damaged, or that of a newer version.
    """
    end = _index_end(head)
    packed = head[_HEAD.size : end]
    with record_errors():
        magic, _, checksum = _HEAD.unpack_from(head)
        if magic != MAGIC or zlib.crc32(packed) != checksum:
            raise ValueError("no index")
        blocks = [_Block(*each[:4]) for each in msgpack.unpackb(zlib.decompress(packed))]
    return _Index([each.first_key for each in blocks], blocks, end, content)


def _damaged(folder: str, name: str) -> UnreadableRecord:
    return UnreadableRecord(reason=f"{folder}/{name} is damaged")


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageUnavailable(reason=error.strerror or str(error)) from error
