"""The sweep in a bucket: unfinished batches go on at once, however many ended ones are retained."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.blobs.s3 import S3BlobStore
from shared.domain.ids import BatchId, new_id
from shared.domain.job import JobState
from shared.redis import keys
from shared.redis.batch_ledger.retained import RetainedBatch, RetainedBatches
from tests.batch_parts import CALLER, BulkPath, cars_csv
from tests.conftest import Servers
from tests.object_store import BUCKET, ObjectStore, running_object_store

RETENTION_S = 1000


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def path(servers: Servers, tmp_path: Path, object_store: ObjectStore) -> BulkPath:
    blobs = S3BlobStore(f"s3://{BUCKET}/{new_id()}", object_store.endpoint_url)
    return BulkPath(tmp_path, servers.broker, blobs=blobs, retention_s=RETENTION_S)


def retain(path: BulkPath, store: ObjectStore, count: int) -> list[BatchId]:
    """Run one batch, and store copies of its records under other ids."""
    model = path.run(cars_csv(5)).manifest.id
    copies = [BatchId(new_id(path.clock.now + 1 + number)) for number in range(count)]
    for name in ("manifest.json", "final.json", "results.csv"):
        content = path.blobs.load(model, name)
        (key,) = store.stored(model, name)
        for copy in copies:
            own = content.replace(model.encode(), copy.encode())
            store.put_many([key.replace(model, copy)], own)
    return [model, *copies]


def sweep_to_the_end(path: BulkPath) -> int:
    """Sweep until the scan has ended; return how many sweeps that took."""
    path.client.delete(keys.BATCH_SCAN_MARKER)
    for sweeps in range(1, 100):
        path.sweep.sweep()
        if not path.client.exists(keys.BATCH_SCAN_PLACE):
            return sweeps
    raise AssertionError("the scan does not end")


def test_an_open_batch_goes_on_before_any_retained_one_is_read(
    path: BulkPath, object_store: ObjectStore
) -> None:
    retained = retain(path, object_store, 30)
    batch_id = path.accept(cars_csv(95))
    for _ in range(6):
        path.step()
    done = path.get(batch_id).progress.counts.done
    path.queue.clear()
    path.client.flushall()
    object_store.traffic.requests.clear()
    path.sweep._find_open_batches()
    read = [one for one in object_store.traffic.requests if any(id_ in one for id_ in retained)]
    assert read == []
    assert path.get(batch_id).progress.counts.done == done > 0
    assert path.sweep_until_ended(batch_id).progress.state is JobState.SUCCEEDED
    assert list(path.blobs.open_batches()) == [], "its mark is removed"


def test_a_scan_reads_no_blob_of_a_batch_that_it_knows(
    path: BulkPath, object_store: ObjectStore
) -> None:
    retained = retain(path, object_store, 20)
    sweep_to_the_end(path)
    assert path.client.zcard(keys.batches_by_caller(CALLER)) == len(retained)
    object_store.traffic.requests.clear()
    sweep_to_the_end(path)
    asked = object_store.traffic.requests
    assert len(asked) <= 5, asked
    assert not any(id_ in one for one in asked for id_ in retained)

    path.clock.now += RETENTION_S + 1
    sweep_to_the_end(path)
    assert all(path.blobs.names(batch_id, "") == ["tombstone.json"] for batch_id in retained)
    path.clock.now += 8 * RETENTION_S
    sweep_to_the_end(path)
    sweep_to_the_end(path)
    path.clock.now += 8 * RETENTION_S
    sweep_to_the_end(path)
    assert list(path.blobs.batches()) == []
    assert path.client.hlen(keys.RETAINED_BATCHES) <= len(retained)
    sweep_to_the_end(path)
    assert path.client.hlen(keys.RETAINED_BATCHES) == 0


def test_a_long_scan_is_done_by_several_sweeps(
    path: BulkPath, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.batches.sweep.SLICE_S", -1.0)
    retained = retain(path, object_store, 20)
    path.client.flushall()
    assert sweep_to_the_end(path) == 4, "eight batches each, and one to see the end"
    assert path.client.zcard(keys.batches_by_caller(CALLER)) == len(retained)


def test_a_scan_that_another_process_does_is_left_to_it(path: BulkPath) -> None:
    retained = RetainedBatches(path.client)
    retained.begin_scan()
    with retained.slice() as place, retained.slice() as second:
        assert (place, second) == ("", None)
    with pytest.raises(OSError, match="away"), retained.slice():
        raise OSError("the store is away")
    with retained.slice() as place:
        assert place is None, "after a failure it is left alone for a while"


def test_a_batch_of_a_release_without_marks_gets_one(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(25))
    path.blobs.mark_ended(batch_id)
    path.queue.clear()
    path.client.flushall()
    path.sweep.sweep()
    assert list(path.blobs.open_batches()) == [batch_id]
    assert path.sweep_until_ended(batch_id).progress.state is JobState.SUCCEEDED


def test_a_mark_that_a_worker_left_behind_is_removed(path: BulkPath) -> None:
    ended = path.run(cars_csv(5)).manifest.id
    upload = BatchId(new_id(path.clock.now))
    for batch_id in (ended, upload):
        path.blobs.mark_open(batch_id)
    path.client.flushall()
    path.sweep.sweep()
    assert list(path.blobs.open_batches()) == [upload], "its file may still be received"
    path.clock.now += 90_000
    path.client.flushall()
    path.sweep.sweep()
    assert list(path.blobs.open_batches()) == []


def test_a_batch_is_marked_before_its_manifest_is_written(
    path: BulkPath, object_store: ObjectStore
) -> None:
    object_store.traffic.requests.clear()
    batch_id = path.accept(cars_csv(5))
    written = [one.rpartition("/")[2] for one in object_store.traffic.matching("PUT")]
    assert written.index(batch_id) < written.index("manifest.json")


def test_a_store_that_is_away_does_not_keep_lost_steps_from_being_sent(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = path.accept(cars_csv(25))
    path.queue.clear()
    path.clock.now += 100
    path.client.delete(keys.BATCH_SCAN_MARKER)

    def away(*_: object) -> None:
        raise OSError("object store: away")

    with monkeypatch.context() as patched:
        patched.setattr(path.blobs, "open_batches", away)
        assert path.sweep.sweep() == 1
    assert 0 < path.client.ttl(keys.BATCH_SCAN_MARKER) <= 60, "it is tried again soon"
    path.drain()
    assert path.get(batch_id).progress.state is JobState.SUCCEEDED


def test_a_deleted_batch_is_not_listed_again(path: BulkPath) -> None:
    batch_id = path.run(cars_csv(5)).manifest.id
    sweep_to_the_end(path)
    assert path.client.hexists(keys.RETAINED_BATCHES, batch_id)
    path.batches.delete(batch_id, CALLER)
    sweep_to_the_end(path)
    assert path.client.zcard(keys.batches_by_caller(CALLER)) == 0


def test_what_is_known_of_a_batch_survives_further_values() -> None:
    known = RetainedBatch(CALLER, 12.5, is_tombstone=True)
    packed = known.pack()
    assert RetainedBatch.unpack(packed) == known
    longer = bytes([packed[0] + 1]) + packed[1:] + b"\x01"
    assert RetainedBatch.unpack(longer) == known
