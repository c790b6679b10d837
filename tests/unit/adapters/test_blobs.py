"""A blob is there as a whole and for good, or not at all."""

import contextlib
import os
from pathlib import Path

import pytest

from shared.adapters.batch_files import BatchFiles, CutState, chunk_name, chunk_of, part_name
from shared.adapters.blobs import LocalBlobStore
from shared.domain.batch import BatchManifest, BatchOptions, BatchProgress, Dialect, OnError
from shared.domain.ids import BatchId, CallerId, new_id

BATCH = BatchId(new_id())


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "batches")


def put(blobs: LocalBlobStore, name: str, data: bytes = b"data") -> None:
    with blobs.write(BATCH, name) as blob:
        blob.write(data)


def test_nothing_is_seen_of_a_blob_before_all_of_it_is_there(blobs: LocalBlobStore) -> None:
    with blobs.write(BATCH, "parts/000001") as blob:
        blob.write(b"half")
        assert blobs.size(BATCH, "parts/000001") is None
        assert blobs.names(BATCH, "parts") == []
        blob.write(b" and half")
    with blobs.read(BATCH, "parts/000001") as read:
        assert read.read() == b"half and half"


def test_a_writer_that_fails_leaves_the_old_blob(blobs: LocalBlobStore, tmp_path: Path) -> None:
    put(blobs, "results.csv", b"old")
    with contextlib.suppress(ZeroDivisionError), blobs.write(BATCH, "results.csv") as blob:
        blob.write(b"new")
        raise ZeroDivisionError
    with blobs.read(BATCH, "results.csv") as read:
        assert read.read() == b"old"
    assert [path.name for path in (tmp_path / "batches" / BATCH).iterdir()] == ["results.csv"]


def test_two_writers_of_one_blob_do_not_mix(blobs: LocalBlobStore) -> None:
    """A step that was sent twice runs twice at once; the process id tells the files apart."""
    child = os.fork()
    if child == 0:
        try:
            put(blobs, "parts/000000", b"a" * 5_000_000)
        finally:
            os._exit(0)
    put(blobs, "parts/000000", b"a" * 5_000_000)
    os.waitpid(child, 0)
    assert blobs.size(BATCH, "parts/000000") == 5_000_000
    assert blobs.names(BATCH, "parts") == ["parts/000000"]


def test_names_are_sorted_and_of_one_folder(blobs: LocalBlobStore) -> None:
    for name in ("parts/000010", "parts/000002", "chunks/000001", "manifest.json"):
        put(blobs, name)
    assert blobs.names(BATCH, "parts") == ["parts/000002", "parts/000010"]
    assert blobs.names(BATCH, "") == ["manifest.json"]
    assert blobs.names(BATCH, "nothing") == []


def test_batches_are_listed_by_age_and_nothing_else_is(
    blobs: LocalBlobStore, tmp_path: Path
) -> None:
    assert list(blobs.batches()) == []
    older, newer = BatchId(new_id(1_000.0)), BatchId(new_id(2_000.0))
    for batch_id in (newer, older):
        with blobs.write(batch_id, "manifest.json") as blob:
            blob.write(b"{}")
    (tmp_path / "batches" / "lost+found").mkdir()
    assert list(blobs.batches()) == [older, newer]


def test_removing_the_last_blob_removes_the_folder(blobs: LocalBlobStore, tmp_path: Path) -> None:
    put(blobs, "source")
    (tmp_path / "batches" / BATCH / "source.77-1.tmp").write_bytes(b"of a writer that was killed")
    blobs.remove(BATCH, ["source", "never-there"])
    assert list(blobs.batches()) == []


def test_a_manifest_reads_back_as_it_was_written(blobs: LocalBlobStore) -> None:
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
    assert files.cut(BATCH) == CutState(0, 0, 0, 0, is_whole=False)


def test_a_buried_batch_leaves_its_caller_only(blobs: LocalBlobStore) -> None:
    files = BatchFiles(blobs)
    files.write_final(BATCH, BatchProgress())
    for name in (part_name(3), chunk_name(3), "results.csv"):
        put(blobs, name)
    assert chunk_of(part_name(3)) == 3
    files.bury(BATCH, CallerId("somebody"), 7.0)
    assert files.tombstone(BATCH) == ("somebody", 7.0)
    assert [*blobs.names(BATCH, ""), *blobs.names(BATCH, "parts")] == ["tombstone.json"]


def test_a_discarded_batch_leaves_nothing_of_a_writer_that_was_killed(
    blobs: LocalBlobStore, tmp_path: Path
) -> None:
    files = BatchFiles(blobs)
    for name in (part_name(3), "manifest.json"):
        put(blobs, name)
    (tmp_path / "batches" / BATCH / "source.77-1.tmp").write_bytes(b"of a writer that was killed")
    (tmp_path / "batches" / BATCH / "parts" / "000004.77-1.tmp").write_bytes(b"and another")
    files.discard(BATCH)
    files.discard(BATCH)
    assert list((tmp_path / "batches").iterdir()) == []


def test_a_buried_batch_keeps_nothing_of_a_writer_that_was_killed(
    blobs: LocalBlobStore, tmp_path: Path
) -> None:
    put(blobs, "results.csv")
    (tmp_path / "batches" / BATCH / "results.csv.77-1.tmp").write_bytes(b"half")
    BatchFiles(blobs).bury(BATCH, CallerId("somebody"), 7.0)
    (kept,) = (tmp_path / "batches" / BATCH).iterdir()
    assert kept.name == "tombstone.json"
