"""What comes out of a batch: every form of it, the first rows of one under way, an expired one."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from pyarrow import parquet

from api.batches import results
from shared.blobs.batch_files import table_name
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.errors import BatchExpired, BrokerUnavailable, ExportNotReady, ResultNotReady
from shared.domain.files.exports import Export
from shared.queue.names import TaskName
from tests.batch_parts import BAD_ROW, GOOD_ROW, HEADER, BulkPath, cars_csv
from tests.conftest import Servers

RESULTS, REJECTED = ResultTable.RESULTS, ResultTable.REJECTED


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> Iterator[BulkPath]:
    bulk = BulkPath(tmp_path, servers.broker)
    yield bulk
    bulk.changes.close()


def whole(
    path: BulkPath, batch: Batch, form: ExportFormat | Export, table: ResultTable = RESULTS
) -> bytes:
    export = form if isinstance(form, Export) else Export(format=form)
    file = path.results.file(batch, table, export)
    data = b"".join(file.blocks(0, file.size))
    assert len(data) == file.size
    return data


NASTY = (
    "ref,note,=remark,company,model,year,fuel,transmission,km_driven\n"
    'R1,"a;b\nc ""d""",é,Toyota,Corolla,2020,Petrol,Manual,25000\n'
    "R2,=1+1,€,Toyota,Corolla,1890,Petrol,Manual,25000\n"
)


def test_all_forms_hold_the_same_rows(path: BulkPath) -> None:
    batch = path.run(NASTY.encode())
    plain = list(csv.reader(io.StringIO(whole(path, batch, ExportFormat.CSV).decode(), newline="")))
    excel = whole(path, batch, ExportFormat.EXCEL_FR)
    assert excel.startswith(b"\xef\xbb\xbfref;note;")
    assert excel.count(b"\r\n") == 3
    table = list(csv.reader(io.StringIO(excel.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert [row[:9] for row in table] == [row[:9] for row in plain]
    price = plain[0].index("price_mad")
    assert table[1][price] == plain[1][price].replace(".", ",")
    objects = [orjson.loads(line) for line in whole(path, batch, ExportFormat.NDJSON).splitlines()]
    assert list(objects[0]) == ["ref", "note", "'=remark", *plain[0][3:]]
    assert [objects[0]["note"], objects[1]["note"]] == ['a;b\nc "d"', "'=1+1"]
    assert objects[0]["price_mad"] == float(plain[1][price])
    assert (objects[0]["row_error"], objects[1]["price_mad"]) == (None, None)
    frame = parquet.read_table(io.BytesIO(whole(path, batch, ExportFormat.PARQUET)))
    assert frame.to_pylist() == objects
    assert str(frame.schema.field("price_mad").type) == "double"


@pytest.mark.parametrize("cell", ["x\r=1+1", "x\n=1+1", "x\r\ny"])
def test_a_line_end_in_a_cell_begins_no_row(path: BulkPath, cell: str) -> None:
    batch = path.run(f'{HEADER},note\n{GOOD_ROW},"{cell}"\n{GOOD_ROW},"\n=2"\n'.encode())
    text = whole(path, batch, ExportFormat.CSV).decode()
    notes = [row["note"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert notes == [cell, "'\n=2"]
    assert f'"{cell}"' in text
    lines = whole(path, batch, ExportFormat.NDJSON).splitlines()
    assert [orjson.loads(line)["note"] for line in lines] == notes
    assert f'"{cell}"'.encode() in whole(path, batch, ExportFormat.EXCEL_FR)


def test_rejected_rows_come_as_a_french_excel_reads_them(path: BulkPath) -> None:
    batch = path.run(f"{HEADER}\n{GOOD_ROW}\n{BAD_ROW}\n".encode())
    lines = whole(path, batch, ExportFormat.EXCEL_FR, REJECTED).decode("utf-8-sig").splitlines()
    assert lines[0].endswith(";km_driven;row_line;row_error")
    assert lines[1].startswith("Toyota;Corolla;1890;")


def test_a_batch_without_any_row_has_every_form(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(20))
    path.batches.cancel(batch_id, path.get(batch_id).manifest.caller)
    path.drain()
    batch = path.get(batch_id)
    assert whole(path, batch, ExportFormat.NDJSON) == b""
    assert parquet.read_table(io.BytesIO(whole(path, batch, ExportFormat.PARQUET))).num_rows == 0
    assert whole(path, batch, ExportFormat.EXCEL_FR).count(b"\n") == 1


def test_large_tables_are_written_in_groups(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.batches.exports.parquet.GROUP_ROWS", 30)
    monkeypatch.setattr("worker.batches.exports.text.BLOCK_ROWS", 7)
    batch = path.run(cars_csv(100))
    file = parquet.ParquetFile(io.BytesIO(whole(path, batch, ExportFormat.PARQUET)))
    assert file.num_row_groups == 4
    assert file.read()["ref"].to_pylist() == [f"R{number}" for number in range(1, 101)]
    assert len(whole(path, batch, ExportFormat.NDJSON).splitlines()) == 100
    assert whole(path, batch, ExportFormat.EXCEL_FR).count(b"\r\n") == 101


def test_a_form_is_made_once_and_expires_with_its_batch(path: BulkPath) -> None:
    batch = path.run(cars_csv(5))
    batch_id, name = batch.manifest.id, table_name(RESULTS, Export(format=ExportFormat.PARQUET))
    first = whole(path, batch, ExportFormat.PARQUET)
    path.is_broker_down = True
    assert whole(path, batch, ExportFormat.PARQUET) == first
    with pytest.raises(BrokerUnavailable):
        whole(path, batch, ExportFormat.NDJSON)
    path.is_broker_down = False
    assert whole(path, batch, ExportFormat.NDJSON)
    assert path.blobs.size(batch_id, name) == len(first)
    path.clock.now += 1001
    path.client.flushall()
    path.sweep.sweep()
    with pytest.raises(BatchExpired):
        path.get(batch_id)
    assert path.blobs.names(batch_id, "") == ["tombstone.json"]


def test_a_form_that_takes_long_is_ordered_once_and_asked_for_again(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "EXPORT_WAIT_S", 0.0)
    orders = []
    path.results = dataclasses.replace(path.results, send=lambda *order: orders.append(order))
    batch = path.run(cars_csv(5))
    for _ in range(3):
        with pytest.raises(ExportNotReady):
            path.results.file(batch, RESULTS, Export(format=ExportFormat.NDJSON))
    ((task, order, caller),) = orders
    assert task is TaskName.MAKE_EXPORT
    path.make_form(task, order, caller)
    assert whole(path, batch, ExportFormat.NDJSON).count(b"\n") == 5
    assert len(orders) == 1


def test_a_form_that_failed_is_ordered_anew(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "EXPORT_WAIT_S", 0.0)
    batch = path.run(cars_csv(5))
    with monkeypatch.context() as broken:
        broken.setattr(path.blobs, "write", _full)
        with pytest.raises(ExportNotReady):
            path.results.file(batch, RESULTS, Export(format=ExportFormat.NDJSON))
    assert whole(path, batch, ExportFormat.NDJSON)


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_first_rows_of_a_batch_under_way_have_no_hole(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(100))
    batch = path.get(batch_id)
    assert b"".join(path.results.first_rows(batch)).decode().startswith("ref,company")
    path.step()
    chunks = [task for task in path.queue if task[0] is TaskName.VALUE_CHUNK]
    path.queue.remove(chunks[1])
    for _ in range(3):
        path.step()
    so_far = b"".join(path.results.first_rows(batch))
    assert so_far.count(b"\n") == 11, "chunk 1 is missing, so chunk 2 is not shown"
    with pytest.raises(ResultNotReady):
        path.results.file(path.get(batch_id), RESULTS, Export())
    path.queue.append(chunks[1])
    ended = path.sweep_until_ended(batch_id)
    assert whole(path, ended, ExportFormat.CSV).startswith(so_far)


def test_first_rows_that_are_read_while_the_batch_ends_go_on_to_its_end(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(100))
    for _ in range(5):
        path.step()
    rows = path.results.first_rows(path.get(batch_id))
    begin = next(rows) + next(rows)
    ended = path.sweep_until_ended(batch_id)
    assert begin + b"".join(rows) == whole(path, ended, ExportFormat.CSV)
    assert not results.is_partial(ended)


def test_a_batch_that_ended_early_holds_its_first_rows_without_a_hole(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(100))
    path.step()
    while path.queue[0][1].get("chunk") != 1:
        path.queue.rotate(-1)
    path.step()
    path.batches.cancel(batch_id, path.get(batch_id).manifest.caller)
    batch = path.sweep_until_ended(batch_id)
    rows = list(csv.DictReader(io.StringIO(whole(path, batch, ExportFormat.CSV).decode())))
    assert [row["ref"] for row in rows] == [f"R{number}" for number in range(1, len(rows) + 1)]
    assert len(rows) == batch.progress.counts.done == 20
    assert results.is_partial(batch)
