"""A caller deletes a finished batch: its files go, its id is remembered, its records stay."""

from pathlib import Path
from typing import Any

import pytest

from api.batches.storage import CallerBatches
from shared.domain.batch import ExportFormat, ResultTable
from shared.domain.errors import (
    BatchDeleted,
    BatchNotFound,
    CorrectionInProgress,
    ResultNotReady,
)
from shared.domain.exports import Export
from shared.domain.ids import CallerId
from shared.redis import keys
from tests.batch_parts import BAD_ROW, CALLER, GOOD_ROW, HEADER, BulkPath, cars_csv
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
