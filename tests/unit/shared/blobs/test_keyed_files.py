"""Files of sorted keys: found by few small reads, also after they were replaced."""

import random

import pytest

from shared.blobs.ended_jobs.keyed_files import HEAD_BYTES, KeyedFiles, pack_items
from shared.blobs.local import LocalBlobStore
from shared.domain.errors import UnreadableRecord
from shared.domain.ids import BatchId, new_id

FOLDER = new_id()


class CountingStore(LocalBlobStore):
    """Counts what is read."""

    def __init__(self, root):
        super().__init__(root)
        self.reads = []

    def read_range(self, batch_id, name, start, end):
        found = super().read_range(batch_id, name, start, end)
        self.reads.append(len(found))
        return found


@pytest.fixture
def store(tmp_path) -> CountingStore:
    return CountingStore(tmp_path)


def write(store, items) -> None:
    store.write_all(BatchId(FOLDER), {"file": pack_items(sorted(items.items()))})


def items(count, size=300) -> dict[bytes, bytes]:
    """Keys and values that hardly compress."""
    draw = random.Random(1)
    return {draw.randbytes(20): draw.randbytes(size) for _ in range(count)}


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_each_key_is_found_and_no_other(store, count):
    stored = items(count)
    write(store, stored)
    files = KeyedFiles(store)
    assert all(files.get(FOLDER, "file", key) == value for key, value in stored.items())
    for key in (b"", b"\xff" * 21, *(key + b"x" for key in stored), *(key[:-1] for key in stored)):
        assert files.get(FOLDER, "file", key) is None
    assert dict(files.all(FOLDER, "file")) == stored


def test_a_key_is_found_by_two_small_reads_and_the_next_one_by_one(store):
    stored = items(20_000)
    write(store, stored)
    files = KeyedFiles(store)
    first, second, *_ = stored
    assert files.get(FOLDER, "file", first) == stored[first]
    assert store.reads[0] == HEAD_BYTES
    assert len(store.reads) == 2
    assert files.get(FOLDER, "file", second) == stored[second]
    assert len(store.reads) == 3
    assert max(store.reads[1:]) < HEAD_BYTES


def test_an_index_that_is_longer_than_the_first_read(store):
    draw = random.Random(1)
    stored = {draw.randbytes(2000): b"x" for _ in range(5000)}
    write(store, stored)
    files = KeyedFiles(store)
    assert all(files.get(FOLDER, "file", key) == b"x" for key in [*stored][:50])


def test_the_newest_items_of_a_range_come_in_descent(store):
    stored = {b"%04d" % number: b"x%d" % number for number in range(0, 2000, 2)}
    write(store, stored)
    files = KeyedFiles(store)
    found = files.newest(FOLDER, "file", b"0100", b"1001", 10)
    assert [key for key, _ in found] == [b"%04d" % number for number in range(1000, 980, -2)]
    assert [key for key, _ in files.newest(FOLDER, "file", b"0100", b"0106", 10)] == [
        b"0104", b"0102"
    ]  # fmt: skip
    assert files.newest(FOLDER, "file", b"a", b"b", 10) == []
    assert len(files.newest(FOLDER, "file", b"", b"~", 5000)) == 1000


def test_a_file_that_was_replaced_is_read_again(store):
    stored = items(20_000)
    write(store, stored)
    files = KeyedFiles(store)
    kept = [*stored][::2]
    assert files.get(FOLDER, "file", kept[0]) == stored[kept[0]]
    write(store, {key: stored[key] for key in kept})
    for key in kept[:100]:
        assert files.get(FOLDER, "file", key) == stored[key]
    assert files.get(FOLDER, "file", [*stored][1]) is None


@pytest.mark.parametrize("place", [0, 5, 20, -1, None])
def test_a_damaged_file_says_so(store, place):
    stored = items(2000)
    write(store, stored)
    path = store.local_path(BatchId(FOLDER), "file")
    content = bytearray(path.read_bytes())
    if place is None:
        content = content[:6]
    else:
        content[place] ^= 1
    path.write_bytes(content)
    files = KeyedFiles(store)
    with pytest.raises(UnreadableRecord):
        files.get(FOLDER, "file", max(stored))
    with pytest.raises(UnreadableRecord):
        files.all(FOLDER, "file")
