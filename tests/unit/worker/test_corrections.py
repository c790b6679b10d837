"""Corrected rows return to the place of the rejected ones, whatever happens on the way."""

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.blobs.batch_files import errors_name, table_name
from shared.domain.batch import Batch, BatchOutcome, ExportFormat, ResultTable, RowCounts
from shared.domain.errors import (
    CorrectionInProgress,
    NothingToCorrect,
    ResultNotReady,
    UnreadableUpload,
)
from shared.domain.files.exports import STORED, Export
from shared.domain.ids import BatchId
from shared.domain.job import JobState
from tests.batch_parts import CALLER, BulkPath, Memory
from tests.conftest import Servers
from tests.workbooks import workbook

HEADER = "stock;marque;modèle;année;carburant;boîte;km"
ROWS = [
    "A1;Dacia;Sandero;2017;Diesel;Manuelle;98 500",
    "A2;Renault;Kadjar;1789;Diesel;Manuelle;61 000",
    'A3;Peugeot;"2008\nAllure";2016;Essence;Auto;74 200',
    "A4;Kia;Picanto;demain;Essence;Manuelle;33 000",
    "A5;Seat;Ibiza;2019;Essence;Auto;45 000",
    "A6;Fiat;500;1066;Essence;Auto;12 000",
]
STOCK = "\n".join([HEADER, *ROWS]).encode()


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> Iterator[BulkPath]:
    bulk = BulkPath(tmp_path, servers.broker, chunk_rows=2)
    yield bulk
    bulk.changes.close()


def table_text(path: BulkPath, batch: Batch, table: ResultTable, export: Export = STORED) -> bytes:
    file = path.results.file(batch, table, export)
    return b"".join(file.blocks(0, file.size))


def rows_of(
    path: BulkPath, batch: Batch, table: ResultTable = ResultTable.RESULTS
) -> list[dict[str, str]]:
    text = table_text(path, batch, table).decode()
    delimiter = batch.manifest.result_delimiter
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def rejected_text(path: BulkPath, batch: Batch) -> str:
    return table_text(path, batch, ResultTable.REJECTED).decode()


def refreshed(path: BulkPath, batch: Batch) -> Batch:
    return path.get(batch.manifest.id)


def statuses(path: BulkPath, batch: Batch) -> list[tuple[str, str]]:
    return [(row["stock"], row["row_status"]) for row in rows_of(path, refreshed(path, batch))]


def codes(refusal: pytest.ExceptionInfo[UnreadableUpload]) -> list[str]:
    return [problem.code for problem in refusal.value.problems]


def test_cells_of_rejected_rows_return_as_the_file_has_them(path: BulkPath) -> None:
    stock = "marque;modèle;année;km;note\nDacia;Logan;demain;+120 000 km;'=a\n"
    given = path.run(stock.replace("demain", "2018").encode())
    batch = path.run(stock.encode())
    text = rejected_text(path, batch)
    assert "'+120 000 km;''=a" in text
    path.correct(batch, text.replace("demain", "2018").encode())
    (row,) = rows_of(path, refreshed(path, batch))
    (expected,) = rows_of(path, given)
    assert row == expected


def test_corrected_rows_appear_in_their_original_place(path: BulkPath) -> None:
    batch = path.run(STOCK)
    assert batch.progress.counts == RowCounts(valid=3, invalid=3)
    before = rows_of(path, batch)
    text = rejected_text(path, batch)
    fixed = text.replace(";1789;", ";2018;").replace(";demain;", ";2020;")
    correction = path.correct(batch, fixed.encode())
    assert correction.manifest.corrects == batch.manifest.id
    assert correction.manifest.model_version == batch.manifest.model_version
    assert correction.progress.counts == RowCounts(valid=2, invalid=1)
    after = refreshed(path, batch)
    assert after.progress.counts == RowCounts(valid=5, invalid=1)
    assert after.progress.outcome is BatchOutcome.WITH_ERRORS
    assert after.progress.corrections == (correction.manifest.id,)
    rows = rows_of(path, after)
    assert [row["stock"] for row in rows] == ["A1", "A2", "A3", "A4", "A5", "A6"]
    assert [row["row_status"] for row in rows] == [*["valued"] * 5, "rejected"]
    for index in (0, 2, 4, 5):
        assert rows[index] == before[index]
    assert (rows[1]["année"], rows[1]["price_mad"]) == ("2018", "239000.0")
    (still,) = rows_of(path, after, ResultTable.REJECTED)
    assert (still["stock"], still["row_line"]) == ("A6", "8")
    assert [(error["line"], error["value"]) for error in path.errors(after)] == [(8, "1066")]


def test_a_row_that_is_still_wrong_has_its_new_reason(path: BulkPath) -> None:
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";1812;").replace(";1066;", ";2021;")
    path.correct(batch, fixed.encode())
    after = refreshed(path, batch)
    assert after.progress.counts == RowCounts(valid=4, invalid=2)
    reasons = {row["stock"]: row["row_error"] for row in rows_of(path, after)}
    assert "1812" in reasons["A2"]
    assert "demain" in reasons["A4"]
    assert reasons["A6"] == ""
    assert [error["value"] for error in path.errors(after)] == ["1812", "demain"]
    assert [row["année"] for row in rows_of(path, after, ResultTable.REJECTED)] == [
        "1812", "demain",
    ]  # fmt: skip


def test_several_corrections_follow_each_other(path: BulkPath) -> None:
    batch = path.run(STOCK)
    for wrong, right in ((";1789;", ";2018;"), (";demain;", ";2020;"), (";1066;", ";2015;")):
        head, *rows = rejected_text(path, refreshed(path, batch)).splitlines(keepends=True)
        some = [row.replace(wrong, right) for row in rows if wrong in row]
        assert path.correct(batch, "".join([head, *some]).encode()).progress.counts.valid == 1
    after = refreshed(path, batch)
    assert after.progress.outcome is BatchOutcome.COMPLETE
    assert after.progress.counts == RowCounts(valid=6)
    assert len(after.progress.corrections) == 3
    assert [row["row_status"] for row in rows_of(path, after)] == ["valued"] * 6
    assert rows_of(path, after, ResultTable.REJECTED) == []
    assert path.errors(after) == []
    names = path.blobs.names(batch.manifest.id, "")
    kept = [name for name in names if name.startswith("results")]
    former, current = after.progress.corrections[1:]
    assert kept == sorted(
        table_name(ResultTable.RESULTS, revision=each) for each in (former, current)
    )
    with pytest.raises(NothingToCorrect):
        path.correct(batch, rejected_text(path, after).encode() + b"x;x;x;x;x;x;x;3;\n")


def test_a_corrected_file_may_have_another_form_and_order(path: BulkPath) -> None:
    """A spreadsheet saved it with other delimiters, encoding and order, without the reasons."""
    batch = path.run(STOCK)
    header, *rows = csv.reader(io.StringIO(rejected_text(path, batch)), delimiter=";")
    order = [7, 6, 3, 0, 1, 2, 4, 5]
    years = {"1789": "2018", "demain": "2020", "1066": "2015"}
    rows = [[years.get(cell, cell) for cell in row] for row in reversed(rows)]
    lines = [",".join(row[index] for index in order) for row in (header, *rows)]
    path.correct(batch, "\r\n".join(lines).encode("cp1252"))
    assert [status for _, status in statuses(path, batch)] == ["valued"] * 6
    assert [row["année"] for row in rows_of(path, refreshed(path, batch))] == [
        "2017", "2018", "2016", "2020", "2019", "2015",
    ]  # fmt: skip


def test_a_workbook_of_rejected_rows_comes_back_as_one(path: BulkPath) -> None:
    batch = path.run(STOCK)
    _, *rows = csv.reader(io.StringIO(rejected_text(path, batch)), delimiter=";")
    header = [*HEADER.split(";"), "row_line", "row_error"]
    edited = [[*row[:3], 2018, *row[4:7], float(row[7]), None] for row in rows]
    correction = path.correct(batch, workbook([header, *edited]))
    assert correction.progress.error is None
    assert [status for _, status in statuses(path, batch)] == ["valued"] * 6
    assert correction.manifest.result_delimiter == ";"


def test_decimals_mean_what_they_mean_in_the_batch(path: BulkPath) -> None:
    """The rejected rows alone would not prove the decimal comma."""
    header = "marque,modèle,année,carburant,boîte,km,cylindrée"
    batch = path.run(
        f'{header}\nFiat,Tipo,2018,Diesel,Auto,1.000,"1,6"\nFiat,Tipo,18,Diesel,Auto,91.500,1\n'.encode()
    )
    assert batch.manifest.dialect.decimal == ","
    fixed = rejected_text(path, batch).replace(",18,", ",2018,").encode()
    assert path.correct(batch, fixed).manifest.dialect.decimal == ","
    prices = [row["price_mad"] for row in rows_of(path, refreshed(path, batch))]
    assert prices == ["299000.0", "208500.0"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("A1;Dacia;Sandero;2017;Diesel;Manuelle;98 500;2;", "not-a-rejected-row"),
        ("A9;Dacia;Sandero;2017;Diesel;Manuelle;98 500;99;", "not-a-rejected-row"),
        ("A9;Dacia;Sandero;2017;Diesel;Manuelle;98 500;;", "not-a-rejected-row"),
        ("A9;Dacia;Sandero;2017;Diesel;Manuelle;98 500;deux;", "not-a-rejected-row"),
        ("A2;Renault;Kadjar;2018;Diesel;Manuelle;61 000;3;", "repeated-correction"),
        ("A9;Dacia;Sandero;2017", "unreadable-correction"),
        pytest.param(
            "x" * 100_001 + ";Dacia;Sandero;2017;Diesel;Manuelle;1;3;",
            "correction-cell-too-long",
            id="long",
        ),
    ],
)
def test_rows_that_correct_nothing_refuse_the_file(path: BulkPath, line: str, code: str) -> None:
    batch = path.run(STOCK)
    before = table_text(path, batch, ResultTable.RESULTS)
    with pytest.raises(UnreadableUpload) as refusal:
        path.correct(batch, (rejected_text(path, batch) + line + "\n").encode())
    assert codes(refusal) == [code]
    after = refreshed(path, batch)
    assert table_text(path, after, ResultTable.RESULTS) == before
    assert after.progress.corrections == ()
    assert list(path.blobs.batches()) == [batch.manifest.id]


def test_a_file_without_the_columns_of_the_rejected_rows_is_refused(path: BulkPath) -> None:
    batch = path.run(STOCK)
    with pytest.raises(UnreadableUpload) as refusal:
        path.correct(batch, STOCK)
    assert codes(refusal) == ["missing-correction-columns"]
    assert refusal.value.problems[0].params["columns"] == "row_line"
    with pytest.raises(UnreadableUpload) as refusal:
        path.correct(batch, rejected_text(path, batch).replace(";km;", ";compteur;").encode())
    assert refusal.value.problems[0].params["columns"] == "km"


def test_a_workbook_that_corrects_nothing_ends_with_the_reasons(path: BulkPath) -> None:
    batch = path.run(STOCK)
    header = [*HEADER.split(";"), "row_line", "row_error"]
    row = ["A1", "Dacia", "Sandero", 2017, "Diesel", "Manuelle", 98_500, 2, None]
    correction = path.correct(batch, workbook([header, row]))
    assert correction.progress.state is JobState.FAILED
    assert correction.progress.error == "correction-refused"
    assert [problem.code for problem in correction.refusal] == ["not-a-rejected-row"]
    assert refreshed(path, batch).progress == batch.progress
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;")
    assert path.correct(batch, fixed.encode()).progress.counts.valid == 1


def test_one_of_two_corrections_at_once_is_accepted(path: BulkPath) -> None:
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;").encode()
    accepted: list[BatchId] = []
    refused: list[Exception] = []

    def submit() -> None:
        try:
            accepted.append(path.accept_correction(batch, fixed))
        except CorrectionInProgress as error:
            refused.append(error)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(accepted), len(refused)) == (1, 3)
    path.drain()
    assert refreshed(path, batch).progress.corrections == tuple(accepted)
    with pytest.raises(UnreadableUpload):
        path.correct(batch, fixed)


def test_a_correction_that_was_received_while_another_ended_is_refused(path: BulkPath) -> None:
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;").encode()

    class Slow(Memory):
        def __iter__(self) -> Iterator[bytes]:
            path.correct(batch, fixed)
            return super().__iter__()

    with pytest.raises(CorrectionInProgress):
        path.batches.correct(batch.manifest.id, Slow(fixed), CALLER)
    assert len(refreshed(path, batch).progress.corrections) == 1


def test_a_repeated_correction_with_one_key_is_one(path: BulkPath) -> None:
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;").encode()
    first = path.accept_correction(batch, fixed, "k")
    assert path.accept_correction(batch, fixed, "k") == first
    path.drain()
    assert path.accept_correction(batch, fixed, "k") == first
    assert refreshed(path, batch).progress.corrections == (first,)


def test_a_batch_under_way_cannot_be_corrected(path: BulkPath) -> None:
    batch = path.get(path.accept(STOCK))
    with pytest.raises(ResultNotReady):
        path.correct(batch, STOCK)


@pytest.mark.parametrize("survived", range(12))
def test_a_worker_that_is_killed_while_it_returns_the_rows_changes_nothing_twice(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    """It dies at each of its writes in turn; another one does the work again."""
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;").encode()
    correction_id = path.accept_correction(batch, fixed)
    while path.queue and path.queue[0][0] != "batch.assemble":
        path.step()
    write, writes = path.blobs.write, []

    def deadly(batch_id: BatchId, name: str) -> Any:
        writes.append(name)
        if len(writes) == survived + 1:
            raise KeyboardInterrupt
        return write(batch_id, name)

    with monkeypatch.context() as patch:
        patch.setattr(path.blobs, "write", deadly)
        try:
            path.drain()
        except KeyboardInterrupt:
            seen = refreshed(path, batch)
            rows = rows_of(path, seen)
            assert len(rows) == 6
            assert sum(row["row_status"] == "rejected" for row in rows) == (
                seen.progress.counts.invalid
            )
            assert len(path.errors(seen)) == seen.progress.counts.invalid
    correction = path.sweep_until_ended(correction_id)
    assert correction.progress.state is JobState.SUCCEEDED
    after = refreshed(path, batch)
    assert after.progress.corrections == (correction_id,)
    assert after.progress.counts == RowCounts(valid=4, invalid=2)
    assert [row["row_status"] for row in rows_of(path, after)].count("valued") == 4


def test_a_lost_broker_loses_no_correction(path: BulkPath) -> None:
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;").encode()
    correction_id = path.accept_correction(batch, fixed)
    path.queue.clear()
    path.client.flushall()
    with pytest.raises(CorrectionInProgress):
        path.accept_correction(batch, fixed)
    path.sweep_until_ended(correction_id)
    assert refreshed(path, batch).progress.corrections == (correction_id,)


def test_a_cancelled_correction_changes_nothing(path: BulkPath) -> None:
    batch = path.run(STOCK)
    fixed = rejected_text(path, batch).replace(";1789;", ";2018;").encode()
    correction_id = path.accept_correction(batch, fixed)
    path.batches.cancel(correction_id, CALLER)
    path.drain()
    assert path.get(correction_id).progress.state is JobState.CANCELLED
    assert refreshed(path, batch).progress == batch.progress
    assert path.correct(batch, fixed).progress.state is JobState.SUCCEEDED


def test_exports_are_made_anew_after_a_correction(path: BulkPath) -> None:
    batch = path.run(STOCK)
    export = Export(format=ExportFormat.NDJSON)
    before = table_text(path, batch, ResultTable.RESULTS, export)
    path.correct(batch, rejected_text(path, batch).replace(";1789;", ";2018;").encode())
    after = table_text(path, refreshed(path, batch), ResultTable.RESULTS, export)
    assert orjson.loads(before.splitlines()[1])["row_status"] == "rejected"
    assert orjson.loads(after.splitlines()[1])["row_status"] == "valued"
    # A reader that has just learnt of the former results still gets them.
    assert table_text(path, batch, ResultTable.RESULTS, export) == before
    assert path.blobs.size(batch.manifest.id, errors_name()) is not None


def test_rows_that_a_correction_rejected_are_corrected_in_the_batch(path: BulkPath) -> None:
    batch = path.run(STOCK)
    first = path.correct(batch, rejected_text(path, batch).replace(";1789;", ";2018;").encode())
    again = rejected_text(path, first).replace(";demain;", ";2020;").replace(";1066;", ";2015;")
    second = path.correct(first, again.encode())
    assert second.manifest.corrects == batch.manifest.id
    assert [status for _, status in statuses(path, batch)] == ["valued"] * 6


def test_a_corrected_batch_is_kept_from_its_last_correction_on(path: BulkPath) -> None:
    batch = path.run(STOCK)
    path.clock.now += 900
    path.correct(batch, rejected_text(path, batch).replace(";1789;", ";2018;").encode())
    path.clock.now += 900
    path.client.flushall()
    path.sweep.sweep()
    assert refreshed(path, batch).progress.counts.valid == 4
