"""What goes wrong around a batch is put right: nothing is left over, miscounted or unrecorded."""

import csv
import errno
import io
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY
from pyarrow import parquet

from shared.blobs.batch_files import table_name
from shared.domain.batch import Batch, BatchManifest, ExportFormat, ResultTable, RowCounts
from shared.domain.errors import (
    BatchNotFound,
    BrokerUnavailable,
    StorageUnavailable,
    UnreadableUpload,
)
from shared.domain.ids import BatchId, CallerId
from shared.domain.job import Callback, JobState
from shared.metrics import (
    PRICE_BUCKETS_MAD,
    PriceHistogram,
    observe_price_histogram,
    observe_valuations,
)
from shared.queue.names import TaskName
from tests.batch_parts import BAD_ROW, CALLER, GOOD_ROW, HEADER, BulkPath, cars_csv
from tests.conftest import Servers
from tests.unit.worker.test_batch_path import Killed, file_of, kill_at, refs, rows_of
from tests.unit.worker.test_batch_results import whole

TOO_LONG = "x" * 70_000


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> Iterator[BulkPath]:
    bulk = BulkPath(tmp_path, servers.broker)
    yield bulk
    bulk.changes.close()


def plain_name(table: ResultTable) -> str:
    return table_name(table)


def left_on_disk(path: BulkPath) -> list[Path]:
    return list((path.folder / "batches").glob("**/*"))


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def run_with_deaths(path: BulkPath, batch_id: BatchId) -> Batch:
    """Carry a batch out although workers die."""
    for _ in range(300):
        if path.get(batch_id).progress.state.is_terminal:
            return path.get(batch_id)
        try:
            if path.queue:
                path.step()
            else:
                path.clock.now += 31
                path.sweep.sweep()
        except Killed:
            continue
    raise AssertionError(path.get(batch_id).progress)


# Uploads


def test_a_refused_upload_leaves_no_folder(path: BulkPath) -> None:
    with pytest.raises(UnreadableUpload):
        path.accept(b"not;a;car\n1;2;3\n")
    assert left_on_disk(path) == []


def test_what_a_killed_upload_left_is_deleted_after_a_day(path: BulkPath) -> None:
    with path.blobs.write(BatchId("00000000000000000000000000"), "source") as blob:
        blob.write(b"x")
    (folder,) = (path.folder / "batches").iterdir()
    (folder / "source").rename(folder / "source.77-1.tmp")
    path.sweep.sweep()
    assert left_on_disk(path) == []


def test_a_full_disk_refuses_an_upload_for_now_and_keeps_nothing(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageUnavailable):
        path.accept(cars_csv(5))
    assert left_on_disk(path) == []


def test_two_uploads_at_once_with_one_key_are_one_batch(path: BulkPath) -> None:
    """The second looks for the first's batch at the worst moment: right after its key is set."""
    is_claimed, is_answered = threading.Event(), threading.Event()
    create, write_manifest = path.store.create, path.files.write_manifest

    def pause() -> None:
        if threading.current_thread() is first:
            is_claimed.set()
            is_answered.wait(3)

    def slow_create(*arguments: Any) -> None:
        pause()
        create(*arguments)

    def slow_manifest(manifest: BatchManifest) -> None:
        pause()
        write_manifest(manifest)

    path.store.create = slow_create  # type: ignore[assignment,method-assign]
    path.files.write_manifest = slow_manifest  # type: ignore[method-assign]
    ids: list[BatchId] = []
    data = cars_csv(5)
    first = threading.Thread(target=lambda: ids.append(path.accept(data, key="k")))
    first.start()
    assert is_claimed.wait(20)
    ids.append(path.accept(data, key="k"))
    is_answered.set()
    first.join()
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert list(path.blobs.batches()) == [ids[0]]


def test_a_key_whose_upload_was_taken_back_is_free_again(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise BrokerUnavailable(reason="test")

    with monkeypatch.context() as patch:
        patch.setattr(path.store, "create", away)
        with pytest.raises(BrokerUnavailable):
            path.accept(cars_csv(5), key="k")
    batch_id = path.accept(cars_csv(5), key="k")
    assert list(path.blobs.batches()) == [batch_id]


def test_a_ledger_whose_upload_was_taken_back_is_closed(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker opened it, and its reply was lost: the caller heard that it was refused."""
    create, opened = path.store.create, []

    def reply_lost(
        batch_id: BatchId, accepted_at: float, caller: CallerId, callback: Callback | None
    ) -> None:
        create(batch_id, accepted_at, caller, callback)
        opened.append(batch_id)
        raise BrokerUnavailable(reason="reply lost")

    monkeypatch.setattr(path.store, "create", reply_lost)
    with pytest.raises(BrokerUnavailable):
        path.accept(cars_csv(5))
    for _ in range(40):
        path.clock.now += 60
        path.sweep.sweep()
        path.drain()
    assert path.store.open_batches() == []
    progress = path.store.progress(opened[0])
    assert progress is not None
    assert progress.state is JobState.FAILED
    with pytest.raises(BatchNotFound):
        path.get(opened[0])
    assert left_on_disk(path) == []


# Files that are hard to read again


@pytest.mark.parametrize(
    "row",
    [
        f"{GOOD_ROW},{TOO_LONG},{TOO_LONG}",
        f"{GOOD_ROW},={'1' * 99_999}",
        f"{GOOD_ROW},{'x' * 100_000}",
    ],
)
def test_every_form_of_the_results_holds_every_row_however_long_its_cells(
    path: BulkPath, row: str
) -> None:
    batch = path.run(file_of(f"{GOOD_ROW},a", row, f"{GOOD_ROW},b", header=f"{HEADER},note"))
    lines = whole(path, batch, ExportFormat.NDJSON).splitlines()
    first, long, last = (orjson.loads(line)["note"] for line in lines)
    assert (first, last) == ("a", "b")
    assert 99_000 < len(long) <= 100_000
    frame = parquet.read_table(io.BytesIO(whole(path, batch, ExportFormat.PARQUET)))
    assert frame["note"].to_pylist() == [first, long, last]
    for table in ResultTable:
        excel = whole(path, batch, ExportFormat.EXCEL_FR, table).decode("utf-8-sig")
        stored = list(csv.reader(io.StringIO(path.text(batch, plain_name(table)))))
        assert len(list(csv.reader(io.StringIO(excel), delimiter=";"))) == len(stored)


def test_no_column_name_is_a_formula_for_a_spreadsheet(path: BulkPath) -> None:
    formula = '=HYPERLINK("http://x")'
    quoted = '"' + formula.replace('"', '""') + '"'
    batch = path.run(file_of(f"{GOOD_ROW},1", f"{BAD_ROW},2", header=f"{HEADER},{quoted}"))
    for table in ResultTable:
        assert f"'{formula}" in rows_of(path, batch, plain_name(table))[0]
        excel = whole(path, batch, ExportFormat.EXCEL_FR, table).decode("utf-8-sig")
        assert f"'{formula}" in next(csv.reader(io.StringIO(excel), delimiter=";"))
    assert f"'{formula}" in orjson.loads(whole(path, batch, ExportFormat.NDJSON).splitlines()[0])
    frame = parquet.read_table(io.BytesIO(whole(path, batch, ExportFormat.PARQUET)))
    assert f"'{formula}" in frame.column_names


def test_column_names_that_differ_by_an_apostrophe_stay_different(path: BulkPath) -> None:
    batch = path.run(file_of(f"{GOOD_ROW},1,2", header=f"{HEADER},=a,'=a"))
    (row,) = [orjson.loads(line) for line in whole(path, batch, ExportFormat.NDJSON).splitlines()]
    assert (row["''=a"], row["'=a"]) == ("1", "2")


# Counts


def test_a_worker_that_dies_between_part_and_ledger_changes_no_metric(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [("batch_rows_total", {"outcome": each}) for each in ("valued", "validated")] + [
        ("predictions_total", {"status": "success"}),
        ("predicted_prices_mad_count", {}),
        ("predicted_prices_mad_sum", {}),
        ("audit_records_total", {}),
    ]
    before = [metric(name, **labels) for name, labels in names]
    batch_id = path.accept(cars_csv(35))
    kill_at(monkeypatch, path.store, "finish_chunk", 2)
    batch = run_with_deaths(path, batch_id)
    prices = [float(row["price_mad"]) for row in rows_of(path, batch)]
    added = [
        metric(name, **labels) - was for (name, labels), was in zip(names, before, strict=True)
    ]
    assert added == pytest.approx([35, 0, 35, 35, sum(prices), 35])


def test_many_prices_are_observed_as_they_are_one_by_one() -> None:
    prices = [1.0, 10_000.0, 10_000.5, 99_999.0, 5e6, 1e7, 1e7 + 1, 3e7]
    bounds = [str(float(bound)) for bound in PRICE_BUCKETS_MAD] + ["+Inf"]

    def state() -> list[float]:
        buckets = [metric("predicted_prices_mad_bucket", le=bound) for bound in bounds]
        sums = [metric("predicted_prices_mad_sum"), metric("predictions_total", status="success")]
        return [*buckets, *sums]

    def added(observe: Any) -> list[float]:
        before = state()
        observe()
        return [now - was for now, was in zip(state(), before, strict=True)]

    one_by_one = added(lambda: observe_valuations(prices))
    assert one_by_one[-1] == len(prices)
    assert added(lambda: observe_price_histogram(PriceHistogram.of(prices))) == pytest.approx(
        one_by_one
    )
    assert added(lambda: observe_price_histogram(PriceHistogram.of(()))) == [0.0] * len(one_by_one)


# Chunks that are given up, and the record of what was answered


def test_the_error_report_names_every_row_that_was_given_up(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(25), key_column="ref")

    def poison() -> None:
        if path.reading == "R11":
            raise ValueError("a car that no forest survives")

    path.model.fault = poison
    batch = path.sweep_until_ended(batch_id)
    assert batch.progress.counts == RowCounts(valid=15, failed=10)
    errors = path.errors(batch)
    assert [error["row_key"] for error in errors] == [f"R{row}" for row in range(11, 21)]
    assert [error["line"] for error in errors] == list(range(12, 22))
    assert {error["code"] for error in errors} == {"attempts-exhausted"}
    assert errors[0]["message"].startswith("Given up after several attempts")
    assert rows_of(path, batch, "rejected.csv") == []
    statuses = [row["row_status"] for row in rows_of(path, batch)]
    assert statuses == ["valued"] * 10 + ["failed"] * 10 + ["valued"] * 5


def audited(path: BulkPath) -> list[int]:
    return sorted(orjson.loads(line)["row"] for line in path.audit_lines())


def test_rows_that_were_estimated_and_then_given_up_are_not_on_record(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the worker is killed after the estimate, before its answer is durable."""
    batch_id = path.accept(cars_csv(25))
    write_all = path.blobs.write_all

    def deadly(
        batch: BatchId, blobs: Mapping[str, Sequence[bytes]], *, uncached: Collection[str] = ()
    ) -> None:
        if "parts/000001" in blobs and len(deaths) < 3:
            # The records are durable, the part is not.
            write_all(batch, {"audit/000001": blobs["audit/000001"]})
            deaths.append("parts/000001")
            raise Killed
        write_all(batch, blobs, uncached=uncached)

    deaths: list[str] = []
    monkeypatch.setattr(path.blobs, "write_all", deadly)
    batch = run_with_deaths(path, batch_id)
    assert batch.progress.counts == RowCounts(valid=15, failed=10)
    assert audited(path) == [*range(1, 11), *range(21, 26)]


def test_a_cancelled_batch_has_a_record_for_each_of_its_answers_and_no_other(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker died after its part was durable; the batch was cancelled before another came."""
    batch_id = path.accept(cars_csv(45))
    while path.queue[0][0] is TaskName.SPLIT_BATCH:
        path.step()
    monkeypatch.setattr("worker.batches.value.publish_part_segment", _die)
    with pytest.raises(Killed):
        path.step()
    path.batches.cancel(batch_id, CALLER)
    batch = path.sweep_until_ended(batch_id)
    answered = [int(ref[1:]) for ref in refs(path, batch)]
    assert answered
    assert audited(path) == answered


def _die(*_: Any, **__: Any) -> None:
    raise Killed


def test_a_repeated_chunk_is_recorded_as_the_first_time(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = path.accept(cars_csv(15))
    kill_at(monkeypatch, path.store, "finish_chunk", 1)
    with pytest.raises(Killed):
        path.drain()
    (segment,) = path.audit_folder.glob("*-0.jsonl")
    first = segment.read_bytes()
    path.clock.now += 1000
    run_with_deaths(path, batch_id)
    assert segment.read_bytes() == first
    assert audited(path) == list(range(1, 16))
