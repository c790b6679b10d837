"""Blobs are written atomically and durably, in a folder and in a bucket alike."""

import contextlib
import errno
import io
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.blobs.batch_files import BatchFiles, SplitState, chunk_name, chunk_of, part_name
from shared.blobs.local import LocalBlobStore
from shared.blobs.s3 import ATTEMPTS, BLOBS_AHEAD, S3BlobStore
from shared.blobs.s3_writer import PART_BYTES, PARTS_AT_ONCE, S3Writer
from shared.blobs.stores import BlobStore, open_blob_store
from shared.domain.batch import BatchManifest, BatchOptions, BatchProgress, OnError
from shared.domain.ids import BatchId, CallerId, new_id
from shared.domain.table import Dialect
from shared.settings import Settings, SettingsError
from tests.object_store import BUCKET, ObjectStore, running_object_store

BATCH = BatchId(new_id())
LARGE = os.urandom(1 << 20) * 20


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """Either store, empty, as the settings open it."""
    if request.param == "folder":
        return open_blob_store(Settings(blobs_path=tmp_path / "batches"))
    store: ObjectStore = request.getfixturevalue("object_store")
    url = f"s3://{BUCKET}/{new_id()}"
    return open_blob_store(Settings(blob_url=url, blob_endpoint_url=store.endpoint_url))


@pytest.fixture
def local(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "batches")


@pytest.fixture
def bucket(object_store: ObjectStore) -> S3BlobStore:
    return S3BlobStore(f"s3://{BUCKET}/{new_id()}", object_store.endpoint_url)


def put(blobs: BlobStore, name: str, data: bytes = b"data") -> None:
    with blobs.write(BATCH, name) as blob:
        blob.write(data)


def content(blobs: BlobStore, name: str) -> bytes:
    with blobs.read(BATCH, name) as blob:
        return blob.read()


# --------------------------------------------------------------------------- both stores alike


@pytest.mark.parametrize("data", [b"", b"half and half", LARGE], ids=["empty", "small", "large"])
def test_nothing_is_seen_of_a_blob_before_all_of_it_is_there(blobs: BlobStore, data: bytes) -> None:
    half = len(data) // 2
    with blobs.write(BATCH, "parts/000001") as blob:
        blob.write(data[:half])
        assert blobs.size(BATCH, "parts/000001") is None
        assert blobs.names(BATCH, "parts") == []
        blob.write(data[half:])
        with pytest.raises(FileNotFoundError):
            blobs.read(BATCH, "parts/000001")
    assert blobs.size(BATCH, "parts/000001") == len(data)
    assert content(blobs, "parts/000001") == data


@pytest.mark.parametrize("data", [b"new", LARGE], ids=["small", "large"])
def test_a_writer_that_fails_leaves_the_old_blob(blobs: BlobStore, data: bytes) -> None:
    put(blobs, "results.csv", b"old")
    with contextlib.suppress(ZeroDivisionError), blobs.write(BATCH, "results.csv") as blob:
        blob.write(data)
        raise ZeroDivisionError
    assert content(blobs, "results.csv") == b"old"
    assert blobs.names(BATCH, "") == ["results.csv"]


def test_a_blob_is_replaced_as_a_whole(blobs: BlobStore) -> None:
    put(blobs, "split.json", LARGE)
    put(blobs, "split.json", b"{}")
    assert content(blobs, "split.json") == b"{}"


def test_a_blob_is_read_from_any_place(blobs: BlobStore) -> None:
    put(blobs, "source", LARGE)
    with blobs.read(BATCH, "source") as blob:
        blob.seek(12_345_678)
        assert blob.read(100) == LARGE[12_345_678:12_345_778]
        blob.seek(3)
        assert blob.read(7) == LARGE[3:10]
        assert blob.tell() == 10
        blob.seek(len(LARGE) - 5)
        assert blob.read(100) == LARGE[-5:]
        assert blob.read(1) == b""


def test_lines_of_a_blob_can_be_read_as_text(blobs: BlobStore) -> None:
    put(blobs, "results.csv", "a,é\nb,ü\n".encode())
    with io.TextIOWrapper(blobs.read(BATCH, "results.csv"), "utf-8") as text:
        assert list(text) == ["a,é\n", "b,ü\n"]


def test_what_is_not_there_has_no_size_and_cannot_be_read(blobs: BlobStore) -> None:
    assert blobs.size(BATCH, "manifest.json") is None
    with pytest.raises(FileNotFoundError):
        blobs.read(BATCH, "manifest.json")


def test_a_batch_has_the_size_of_all_its_blobs(blobs: BlobStore) -> None:
    assert blobs.total_size(BATCH) == 0
    for name in ("source", "chunks/000000", "results.csv"):
        put(blobs, name, b"12345")
    assert blobs.total_size(BATCH) == 15
    blobs.remove(BATCH, ["chunks/000000"])
    assert blobs.total_size(BATCH) == 10


def test_two_writers_of_one_blob_do_not_mix(blobs: BlobStore) -> None:
    """A step that was sent twice runs twice at once."""
    writers = [
        threading.Thread(target=put, args=(blobs, "parts/000000", bytes([sign]) * 20_000_000))
        for sign in b"ab"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert blobs.names(BATCH, "parts") == ["parts/000000"]
    assert content(blobs, "parts/000000") in {b"a" * 20_000_000, b"b" * 20_000_000}


def test_names_are_sorted_and_of_one_folder(blobs: BlobStore) -> None:
    for name in ("parts/000010", "parts/000002", "chunks/000001", "manifest.json"):
        put(blobs, name)
    assert blobs.names(BATCH, "parts") == ["parts/000002", "parts/000010"]
    assert blobs.names(BATCH, "") == ["manifest.json"]
    assert blobs.names(BATCH, "nothing") == []


def test_batches_are_listed_by_age(blobs: BlobStore) -> None:
    assert list(blobs.batches()) == []
    older, newer = BatchId(new_id(1_000.0)), BatchId(new_id(2_000.0))
    for batch_id in (newer, older):
        with blobs.write(batch_id, "manifest.json") as blob:
            blob.write(b"{}")
    assert list(blobs.batches()) == [older, newer]


def test_whole_blobs_are_read_at_once(blobs: BlobStore) -> None:
    put(blobs, "parts/000000", LARGE)
    put(blobs, "parts/000001", b"second")
    assert blobs.load(BATCH, "parts/000000") == LARGE
    assert blobs.load(BATCH, "parts/000000", 10) == LARGE[:10]
    assert blobs.load(BATCH, "parts/000001", 10) == b"second"
    assert list(blobs.load_all(BATCH, ["parts/000001", "parts/000000"])) == [b"second", LARGE]
    with pytest.raises(FileNotFoundError):
        blobs.load(BATCH, "parts/000002")
    with pytest.raises(FileNotFoundError):
        list(blobs.load_all(BATCH, ["parts/000000", "parts/000002"]))


def test_an_open_batch_is_named_until_it_has_ended(blobs: BlobStore) -> None:
    older, newer = BatchId(new_id(1_000.0)), BatchId(new_id(2_000.0))
    for batch_id in (newer, older):
        blobs.mark_open(batch_id)
        blobs.mark_open(batch_id)
        with blobs.write(batch_id, "manifest.json") as blob:
            blob.write(b"{}")
    assert list(blobs.open_batches()) == [older, newer] == list(blobs.batches())
    blobs.mark_ended(older)
    blobs.mark_ended(older)
    assert newer in list(blobs.open_batches())
    assert list(blobs.batches()) == [older, newer]


def test_a_mark_in_a_bucket_is_removed_with_its_batch(
    bucket: S3BlobStore, object_store: ObjectStore
) -> None:
    bucket.mark_open(BATCH)
    assert len(object_store.stored(f"/open/{BATCH}")) == 1
    BatchFiles(bucket).discard(BATCH)
    assert object_store.stored(f"/open/{BATCH}") == []
    assert list(bucket.open_batches()) == []


def test_a_batch_whose_last_blob_is_removed_is_no_more(blobs: BlobStore) -> None:
    put(blobs, "source")
    blobs.remove(BATCH, ["source", "never-there"])
    assert list(blobs.batches()) == []


def test_more_blobs_than_one_answer_lists_are_listed_and_removed(
    bucket: S3BlobStore, object_store: ObjectStore
) -> None:
    names = [f"chunks/{number:06d}" for number in range(1_050)]
    put(bucket, names[0], b"")
    (first,) = object_store.stored(BATCH, names[0])
    object_store.put_many([first.replace(names[0], name) for name in names])
    assert bucket.names(BATCH, "chunks") == names
    bucket.remove(BATCH, names)
    assert bucket.names(BATCH, "chunks") == []


def test_a_manifest_reads_back_as_it_was_written(blobs: BlobStore) -> None:
    files = BatchFiles(blobs)
    manifest = BatchManifest(
        id=BATCH,
        caller=CallerId("somebody"),
        accepted_at=1.5,
        model_version="v1",
        options=BatchOptions(on_error=OnError.ABORT, key_column="Réf", decimal=","),
        dialect=Dialect(encoding="cp1252", delimiter=";", decimal=",", header=("a", "é")),
        sha256="0" * 64,
        size_bytes=10,
    )
    files.write_manifest(manifest)
    assert files.manifest(BATCH) == manifest
    assert files.final(BATCH) is None
    assert files.split_state(BATCH) == SplitState(0, 0, 0, 0, is_whole=False)


def test_an_expired_batch_leaves_a_tombstone_with_its_caller(blobs: BlobStore) -> None:
    files = BatchFiles(blobs)
    files.write_final(BATCH, BatchProgress())
    for name in (part_name(3), chunk_name(3), "results.csv"):
        put(blobs, name)
    assert chunk_of(part_name(3)) == 3
    files.reap(BATCH, CallerId("somebody"), 7.0)
    assert files.tombstone(BATCH) == ("somebody", 7.0, False)
    assert [*blobs.names(BATCH, ""), *blobs.names(BATCH, "parts")] == ["tombstone.json"]


# ------------------------------------------------------------------------------- a folder alone


def test_two_processes_that_write_one_file_do_not_mix(local: LocalBlobStore) -> None:
    """The process id tells their files apart."""
    child = os.fork()
    if child == 0:
        try:
            put(local, "parts/000000", b"a" * 5_000_000)
        finally:
            os._exit(0)
    put(local, "parts/000000", b"a" * 5_000_000)
    os.waitpid(child, 0)
    assert local.size(BATCH, "parts/000000") == 5_000_000
    assert local.names(BATCH, "parts") == ["parts/000000"]


def test_a_folder_that_is_no_batch_is_not_listed(local: LocalBlobStore, tmp_path: Path) -> None:
    (tmp_path / "batches" / "lost+found").mkdir(parents=True)
    assert list(local.batches()) == []


def test_removing_the_last_blob_removes_the_folder(local: LocalBlobStore, tmp_path: Path) -> None:
    put(local, "source")
    (tmp_path / "batches" / BATCH / "source.77-1.tmp").write_bytes(b"of a writer that was killed")
    local.remove(BATCH, ["source"])
    assert list(local.batches()) == []


def test_a_discarded_batch_leaves_nothing_of_a_writer_that_was_killed(
    local: LocalBlobStore, tmp_path: Path
) -> None:
    files = BatchFiles(local)
    for name in (part_name(3), "manifest.json"):
        put(local, name)
    (tmp_path / "batches" / BATCH / "source.77-1.tmp").write_bytes(b"of a writer that was killed")
    (tmp_path / "batches" / BATCH / "parts" / "000004.77-1.tmp").write_bytes(b"and another")
    files.discard(BATCH)
    files.discard(BATCH)
    assert list((tmp_path / "batches").iterdir()) == []


def test_an_expired_batch_keeps_nothing_of_a_killed_writer(
    local: LocalBlobStore, tmp_path: Path
) -> None:
    put(local, "results.csv")
    (tmp_path / "batches" / BATCH / "results.csv.77-1.tmp").write_bytes(b"half")
    BatchFiles(local).reap(BATCH, CallerId("somebody"), 7.0)
    (kept,) = (tmp_path / "batches" / BATCH).iterdir()
    assert kept.name == "tombstone.json"


# ------------------------------------------------------------------------------- a bucket alone


def test_a_failed_writer_leaves_no_parts_to_be_paid_for(
    bucket: S3BlobStore, object_store: ObjectStore
) -> None:
    with contextlib.suppress(ZeroDivisionError), bucket.write(BATCH, "source") as blob:
        blob.write(LARGE)
        raise ZeroDivisionError
    assert object_store.unfinished() == []


def test_a_discarded_batch_leaves_no_parts_of_a_writer_that_was_killed(
    bucket: S3BlobStore, object_store: ObjectStore
) -> None:
    put(bucket, "manifest.json")
    killed = bucket.write(BATCH, "source")
    killed.__enter__().write(LARGE)
    assert len(object_store.unfinished()) == 1
    bucket.discard(BATCH)
    assert object_store.unfinished() == []
    assert list(bucket.batches()) == []
    # Its end must not be left to the collector, which may run in a thread of the server.
    with contextlib.suppress(OSError):
        killed.gen.close()


def test_a_batch_beside_one_that_is_discarded_stays(bucket: S3BlobStore) -> None:
    put(bucket, "manifest.json")
    other = BatchId(new_id())
    with bucket.write(other, "manifest.json") as blob:
        blob.write(b"{}")
    bucket.discard(BATCH)
    assert list(bucket.batches()) == [other]


def test_the_memory_of_a_writer_is_flat(bucket: S3BlobStore, object_store: ObjectStore) -> None:
    """The server lives in this process too and keeps what it gets: what waits is counted."""
    object_store.traffic.latency_s = 0.05
    try:
        with bucket.write(BATCH, "source") as blob:
            for _ in range(3 * PARTS_AT_ONCE):
                blob.write(LARGE[:PART_BYTES])
                waiting = sum(not part.done() for part in blob._sending)
                assert blob._buffer.tell() <= PART_BYTES
                assert waiting <= PARTS_AT_ONCE
    finally:
        object_store.traffic.latency_s = 0.0
    assert bucket.size(BATCH, "source") == 3 * PARTS_AT_ONCE * PART_BYTES


def test_parts_that_are_stored_out_of_order_make_the_same_object(
    bucket: S3BlobStore, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(bytes([number]) * (PART_BYTES // 2) for number in range(9)) + b"end"
    store_part = S3Writer._store_part
    stored = []

    def later_parts_first(writer: S3Writer, number: int, body: bytes) -> None:
        time.sleep(0.1 * (PARTS_AT_ONCE - number % PARTS_AT_ONCE))
        store_part(writer, number, body)
        stored.append(number)

    monkeypatch.setattr(S3Writer, "_store_part", later_parts_first)
    with bucket.write(BATCH, "results.csv") as blob:
        for start in range(0, len(data), 1_000_003):
            blob.write(data[start : start + 1_000_003])
    assert stored != sorted(stored)
    assert content(bucket, "results.csv") == data
    assert object_store.unfinished() == []


def test_a_part_that_is_refused_ends_the_writing(
    bucket: S3BlobStore, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_part = S3Writer._store_part

    def refused(writer: S3Writer, number: int, body: bytes) -> None:
        if number == 2:
            raise OSError(errno.EIO, "object store: refused")
        store_part(writer, number, body)

    monkeypatch.setattr(S3Writer, "_store_part", refused)
    with (
        pytest.raises(OSError, match="refused"),
        bucket.write(BATCH, "results.csv") as blob,
    ):
        blob.write(LARGE * 3)
    assert bucket.size(BATCH, "results.csv") is None
    assert object_store.unfinished() == []


def test_blobs_in_memory_and_whole_reads_are_one_request_each(
    bucket: S3BlobStore, object_store: ObjectStore
) -> None:
    object_store.traffic.requests.clear()
    bucket.write_all(BATCH, {"audit/000000": [LARGE[:PART_BYTES], b"more"], "parts/000000": [b"p"]})
    assert bucket.load(BATCH, "audit/000000") == LARGE[:PART_BYTES] + b"more"
    assert bucket.load(BATCH, "parts/000000", 100) == b"p"
    with pytest.raises(FileNotFoundError):
        bucket.load(BATCH, "parts/000001", 100)
    assert bucket.size(BATCH, "parts/000001") is None
    asked = [one.split()[0] for one in object_store.traffic.requests]
    assert asked == ["PUT", "PUT", "GET", "GET", "GET", "HEAD"]


def test_blobs_of_a_sequence_are_fetched_at_the_same_time(
    bucket: S3BlobStore, object_store: ObjectStore
) -> None:
    names = [part_name(number) for number in range(20)]
    for number, name in enumerate(names):
        put(bucket, name, bytes([number]) * 1000)
    object_store.traffic.requests.clear()
    object_store.traffic.latency_s = 0.1
    try:
        fetched = bucket.load_all(BATCH, names)
        first = next(fetched)
        ahead = len(object_store.traffic.matching("GET", "/parts/"))
        assert [first, *fetched] == [bytes([number]) * 1000 for number in range(20)]
    finally:
        object_store.traffic.latency_s = 0.0
    assert 1 < ahead <= BLOBS_AHEAD + 1


def test_a_reader_fetches_what_it_reads_and_little_more(
    bucket: S3BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "source", LARGE)
    fetched: list[int] = []
    with bucket.read(BATCH, "source") as blob:
        cache = blob.raw._file.cache  # type: ignore[attr-defined]
        fetch = cache.fetcher

        def noted(start: int, end: int) -> bytes:
            fetched.append(end - start)
            return fetch(start, end)

        monkeypatch.setattr(cache, "fetcher", noted)
        blob.seek(10_000_000)
        assert blob.read(10) == LARGE[10_000_000:10_000_010]
    assert 0 < sum(fetched) < 4 << 20


def test_a_store_that_is_away_is_an_os_error_like_a_full_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.blobs.s3.ATTEMPTS", 1)  # each one more is a wait
    with running_object_store() as gone:
        blobs = S3BlobStore(f"s3://{BUCKET}/away", gone.endpoint_url)
        put(blobs, "manifest.json")
        opened = blobs.read(BATCH, "manifest.json")
        large = blobs.write(BATCH, "source")
        large.__enter__().write(LARGE)
        gone.server.stop()
        with opened, pytest.raises(OSError, match="object store"):
            opened.read()
        for call in (
            lambda: put(blobs, "parts/000000"),
            lambda: blobs.read(BATCH, "manifest.json"),
            lambda: list(blobs.batches()),
            lambda: large.__exit__(None, None, None),
        ):
            with pytest.raises(OSError, match="object store") as caught:
                call()
            assert not isinstance(caught.value, FileNotFoundError), "nothing is known to be gone"


def test_a_silent_store_is_asked_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.blobs.s3.REPLY_TIMEOUT_S", 0.2)
    asked: list[bytes] = []

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while request := self.request.recv(1 << 16):
                asked.append(request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        blobs = S3BlobStore(f"s3://{BUCKET}/silent", f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(OSError, match="object store"):
            blobs.size(BATCH, "manifest.json")
        server.shutdown()
    assert len(asked) == ATTEMPTS


@pytest.mark.parametrize("url", ["cars", "s3://", "https://s3.example/cars", "s3://Big Bucket"])
def test_an_address_that_names_no_bucket_ends_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="BLOB_URL"):
        Settings.from_env({"BLOB_URL": url})


def test_a_folder_needs_no_library_of_object_stores() -> None:
    """The API and the workers are small and quick to start without one."""
    code = (
        "import sys, api.container, worker.container; "
        "from shared.blobs.stores import open_blob_store; "
        "from shared.settings import Settings; open_blob_store(Settings()); "
        "print([name for name in ('s3fs', 'botocore', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_blobs_that_are_written_together_are_there_together(blobs: BlobStore) -> None:
    written = {"audit/000001": [b"re", b"cords"], "parts/000001": [b"rows"]}
    blobs.write_all(BATCH, written, uncached=["audit/000001"])
    assert content(blobs, "audit/000001") == b"records"
    assert content(blobs, "parts/000001") == b"rows"


def test_of_blobs_that_cannot_all_be_written_none_is_left(
    local: LocalBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []

    def full(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        local.write_all(BATCH, {"audit/000001": [b"records"], "parts/000001": [b"rows"]})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
