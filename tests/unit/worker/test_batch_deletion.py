"""A caller deletes a finished batch: its files go, its id is remembered, its records stay."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from api.batches import service as batch_service
from api.batches.storage import CallerBatches
from api.jobs.idempotency import IDEMPOTENCY_TTL_S, REFUSED_TTL_S
from shared.domain.batch import BatchOptions, ExportFormat, ResultTable
from shared.domain.errors import (
    BatchDeleted,
    BatchNotFound,
    BrokerUnavailable,
    CorrectionInProgress,
    OpenBatchesLimitReached,
    ResultNotReady,
)
from shared.domain.files.exports import Export
from shared.domain.ids import BatchId, CallerId, new_id
from shared.redis import keys
from tests.batch_parts import BAD_ROW, CALLER, GOOD_ROW, HEADER, BulkPath, Memory, cars_csv
from tests.conftest import Servers

OTHER = CallerId("somebody else")


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def test_a_deleted_batch_leaves_its_tombstone_and_its_audit_records(path: BulkPath) -> None:
    batch_id = path.run(cars_csv(25)).manifest.id
    path.batches.delete(batch_id, CALLER)
    assert path.blobs.names(batch_id, "") == ["tombstone.json"]
    assert len(path.audit_lines()) == 25
    with pytest.raises(BatchDeleted):
        path.get(batch_id)
    with pytest.raises(BatchDeleted):
        path.batches.delete(batch_id, CALLER)
    assert not path.client.exists(keys.batch(batch_id))
    assert path.client.zscore(keys.batches_by_caller(CALLER), batch_id) is None


def test_what_a_batch_takes_up_is_recorded_at_each_change(path: BulkPath) -> None:
    usage, data = CallerBatches(path.client), cars_csv(25)
    batch_id = path.accept(data)
    assert usage.stored_bytes(CALLER) == len(data)
    path.drain()
    results = path.blobs.size(batch_id, "results.csv")
    assert results is not None
    ended = usage.stored_bytes(CALLER)
    assert results < ended == path.blobs.total_size(batch_id)
    form = Export(format=ExportFormat.NDJSON)
    path.forms.run(batch_id, ResultTable.RESULTS, form, "")
    assert usage.stored_bytes(CALLER) == path.blobs.total_size(batch_id) > ended
    path.batches.delete(batch_id, CALLER)
    assert usage.stored_bytes(CALLER) == 0


def test_a_correction_counts_and_so_do_the_rows_that_it_returned(path: BulkPath) -> None:
    batch = path.run(f"{HEADER}\n{GOOD_ROW}\n{BAD_ROW}".encode())
    fixed = path.text(batch, "rejected.csv").replace("1890", "1990").replace("a lot", "120000")
    correction = path.accept_correction(batch, fixed.encode())
    path.drain()
    sizes = [path.blobs.total_size(each) for each in (batch.manifest.id, correction)]
    assert CallerBatches(path.client).stored_bytes(CALLER) == sum(sizes)


def test_the_sweep_records_what_is_missing_and_forgets_what_has_expired(path: BulkPath) -> None:
    usage, batch_id = CallerBatches(path.client), path.run(cars_csv(25)).manifest.id
    known = usage.stored_bytes(CALLER)
    path.client.flushall()
    path.sweep.sweep()
    assert usage.stored_bytes(CALLER) == known == path.blobs.total_size(batch_id)
    path.clock.now += 1001
    path.client.delete(keys.BATCH_SCAN_MARKER)
    path.sweep.sweep()
    assert usage.stored_bytes(CALLER) == 0


@pytest.mark.parametrize("cause", ["deleted", "expired"])
def test_a_process_that_dies_while_it_deletes_a_batch_leaves_no_bytes(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    batch_id = path.run(cars_csv(5)).manifest.id

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path.files), "discard_remains", die)
    if cause == "expired":
        path.clock.now += 1001
        path.client.delete(keys.BATCH_SCAN_MARKER)
    delete = (
        path.sweep.sweep if cause == "expired" else partial(path.batches.delete, batch_id, CALLER)
    )
    with pytest.raises(KeyboardInterrupt):
        delete()
    assert CallerBatches(path.client).stored_bytes(CALLER) == 0


def test_an_upload_that_could_not_be_started_leaves_no_bytes(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise BrokerUnavailable(reason="test")

    monkeypatch.setattr(path.store, "create", fail)
    with pytest.raises(BrokerUnavailable):
        path.accept(cars_csv(5))
    assert CallerBatches(path.client).stored_bytes(CALLER) == 0


def test_bytes_that_nobody_forgot_are_kept_no_longer_than_their_batch_is_listed(
    path: BulkPath,
) -> None:
    old = new_id()
    path.store.index_by_caller(BatchId(old), CALLER, 100)
    path.store.record_bytes(BatchId(old), CALLER, 7)
    assert CallerBatches(path.client).stored_bytes(CALLER) == 7
    path.clock.now = time.time() + 200
    path.store.index_by_caller(BatchId(new_id()), CALLER, 100)
    assert CallerBatches(path.client).stored_bytes(CALLER) == 0


class Refusing:
    """An admission that refuses every batch when its file has been received."""

    limits_batches = True

    def check_batch(self, *, is_valued: bool) -> None:
        assert is_valued

    def batch(self, *_: Any, **__: Any) -> Any:
        raise OpenBatchesLimitReached(limit=1, retry_after_s=1)


def test_the_key_of_a_refused_upload_is_kept_for_a_short_time(path: BulkPath) -> None:
    def kept_s() -> int:
        return int(path.client.ttl(keys.idempotency(CALLER, "batches:once")))

    with pytest.raises(OpenBatchesLimitReached):
        path.batches.accept(
            Memory(cars_csv(5)), BatchOptions(), CALLER, "once", cast("Any", Refusing())
        )
    assert 0 < kept_s() <= REFUSED_TTL_S
    batch_id = path.accept(cars_csv(5), "once")
    assert kept_s() > IDEMPOTENCY_TTL_S - 10
    assert path.accept(cars_csv(5), "once") == batch_id


def test_an_upload_does_not_get_the_batch_of_one_at_once_that_is_refused(path: BulkPath) -> None:
    received = threading.Event()

    class Slow(Refusing):
        def batch(self, *_: Any, **__: Any) -> Any:
            received.set()
            time.sleep(0.3)
            raise OpenBatchesLimitReached(limit=1, retry_after_s=1)

    def refused() -> str:
        try:
            path.batches.accept(
                Memory(cars_csv(5)), BatchOptions(), CALLER, "once", cast("Any", Slow())
            )
        except OpenBatchesLimitReached:
            return "refused"
        return "accepted"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(refused)
        assert received.wait(20)
        batch_id = path.accept(cars_csv(5), "once")
    assert first.result() == "refused"
    path.drain()
    assert path.get(batch_id).progress.counts.valid == 5


def test_a_repeated_upload_has_a_batch_restored_whose_process_died_before_it_was_started(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_service, "START_TIMEOUT_S", 0.1)
    path.sweep.sweep()
    batch_id = path.accept(cars_csv(5), "once")
    path.queue.clear()
    path.client.delete(keys.batch(batch_id))
    path.client.zrem(keys.OPEN_BATCHES, batch_id)
    path.sweep.sweep()
    assert not path.queue, "the next scan is minutes away"
    assert path.accept(cars_csv(5), "once") == batch_id
    path.sweep.sweep()
    path.clock.now += 60
    path.sweep.sweep()
    path.drain()
    assert path.get(batch_id).progress.counts.valid == 5


def test_the_tombstone_is_kept_as_long_as_that_of_an_expired_batch(path: BulkPath) -> None:
    batch_id = path.run(cars_csv(5)).manifest.id
    path.batches.delete(batch_id, CALLER)
    path.clock.now += 7 * 1001
    path.client.flushall()
    path.sweep.sweep()
    with pytest.raises(BatchDeleted):
        path.get(batch_id)
    path.clock.now += 2 * 1001
    path.client.flushall()
    path.sweep.sweep()
    with pytest.raises(BatchNotFound):
        path.get(batch_id)


def test_another_caller_cannot_delete_a_batch_nor_learn_that_it_existed(path: BulkPath) -> None:
    batch_id = path.run(cars_csv(5)).manifest.id
    with pytest.raises(BatchNotFound):
        path.batches.delete(batch_id, OTHER)
    assert path.get(batch_id).progress.counts.valid == 5
    path.batches.delete(batch_id, CALLER)
    with pytest.raises(BatchNotFound):
        path.batches.get(batch_id, OTHER)


def test_an_open_batch_is_cancelled_and_not_deleted(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(20))
    with pytest.raises(ResultNotReady):
        path.batches.delete(batch_id, CALLER)
    asked = path.batches.cancel_or_delete(batch_id, CALLER)
    assert asked is not None
    assert asked.progress.cancel_requested
    path.drain()
    assert path.get(batch_id).progress.state.is_terminal
    assert path.batches.cancel_or_delete(batch_id, CALLER) is None


def test_a_batch_whose_rows_are_being_corrected_is_kept(path: BulkPath) -> None:
    batch_id = path.run(f"{HEADER}\n{GOOD_ROW}\n{BAD_ROW}".encode()).manifest.id
    batch = path.get(batch_id)
    fixed = path.text(batch, "rejected.csv").replace("1890", "1990").replace("a lot", "120000")
    correction = path.accept_correction(batch, fixed.encode())
    with pytest.raises(CorrectionInProgress):
        path.batches.delete(batch_id, CALLER)
    path.drain()
    assert path.get(batch_id).progress.corrections == (correction,)
    path.batches.delete(batch_id, CALLER)
    assert path.get(correction).progress.state.is_terminal


def test_a_form_that_is_written_during_the_deletion_is_deleted_too(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id, form = path.run(cars_csv(5)).manifest.id, Export(format=ExportFormat.NDJSON)
    write = path.blobs.write

    def write_late(*arguments: Any) -> Any:
        monkeypatch.setattr(path.blobs, "write", write)
        path.batches.delete(batch_id, CALLER)
        return write(*arguments)

    writers = {ExportFormat.NDJSON: lambda _, target: target.write(b"rows")}
    monkeypatch.setattr(path.forms, "_writers", writers)
    monkeypatch.setattr(path.blobs, "write", write_late)
    path.forms.run(batch_id, ResultTable.RESULTS, form, "")
    assert path.blobs.names(batch_id, "") == ["tombstone.json"]


def test_what_a_slow_writer_adds_is_deleted_by_the_sweep(path: BulkPath) -> None:
    batch_id = path.run(cars_csv(5)).manifest.id
    path.batches.delete(batch_id, CALLER)
    with path.blobs.write(batch_id, "results.xlsx") as blob:
        blob.write(b"rows")
    path.client.delete(keys.BATCH_SCAN_MARKER)
    path.sweep.sweep()
    assert path.blobs.names(batch_id, "") == ["tombstone.json"]
