"""Workbooks and Parquet files are read as the same rows as a CSV; hostile ones end clearly."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.batch import BatchOutcome, RowCounts
from shared.domain.car import FIELD_NAMES
from shared.domain.errors import DomainError, InvalidInput, UnreadableUpload
from shared.domain.job import JobState
from shared.domain.table import FileKind
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds.number import Number
from shared.fields.requests import load_car_request
from shared.tabular.tables.cells import cell_text
from shared.tabular.tables.process import ReadCancelled, TableReadRequest, read_table
from tests.batch_parts import CALLER, BulkPath, rows_of
from tests.conftest import Servers, wait_until
from tests.workbooks import (
    CAR_HEADER,
    CAR_ROW,
    cell,
    parts_of,
    sheet_xml,
    workbook,
    zipped,
)  # fmt: skip


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def refusal(path: BulkPath, data: bytes, **options: Any) -> tuple[str, dict[str, Any]]:
    """Code and parameters of why the batch of a file ends, or of why there is none."""
    try:
        batch = path.run(data, **options)
    except UnreadableUpload as error:
        return error.problems[0].code, error.problems[0].params
    except DomainError as error:
        return error.code, error.params
    assert (batch.progress.state, batch.progress.error) == (JobState.FAILED, "unreadable-table")
    return batch.refusal[0].code, batch.refusal[0].params


def converted(data: bytes, kind: FileKind, spool: Path, **options: Any) -> list[list[str]]:
    """The stored rows of a file that lies in no local folder."""
    order = {"kind": kind, "sheet": None, "headers": (), "max_bytes": 100_000_000} | options
    target = io.BytesIO()
    read_table(io.BytesIO(data), target, TableReadRequest(**order), spool, lambda: True)
    return list(csv.reader(io.StringIO(target.getvalue().decode(), newline="")))


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def cars(**columns: Any) -> dict[str, Any]:
    """Columns of three cars."""
    return {
        "Marque": ["Dacia", "VW", "Toyota"],
        "Modèle": ["Logan", "Golf", "Corolla"],
        "Année": [2019, 2018, 2020],
        "Carburant": ["Diesel", "Essence", "Hybride"],
        "Boîte": ["Manuelle", "Auto", "Auto"],
        "Kilométrage": [45_000, 90_000, 25_000],
    } | columns


# Workbooks


def test_a_workbook_is_priced_as_the_csv_of_its_sheet(path: BulkPath) -> None:
    table = [CAR_HEADER, CAR_ROW, ("R2", "VW", "Golf", 2018.0, "Essence", "Auto", "90 000 km")]
    file = io.BytesIO()
    book = openpyxl.Workbook()
    for row in table:
        book.active.append(row)
    book.save(file)
    text = "\n".join(",".join(map(str, row)) for row in table).encode()
    batch, same = path.run(file.getvalue()), path.run(text)
    assert batch.manifest.dialect.kind is FileKind.XLSX
    assert batch.progress.counts == same.progress.counts == RowCounts(valid=2)
    prices = [row["price_mad"] for row in rows_of(path, batch)]
    assert prices == [row["price_mad"] for row in rows_of(path, same)] == ["255000.0", "210000.0"]
    assert rows_of(path, batch)[1]["Année"] == "2018"
    kept = sorted(item.name for item in (path.folder / "batches" / batch.manifest.id).iterdir())
    assert "table" not in kept
    assert "source" not in kept


def test_all_kinds_of_cells_are_read_as_a_person_reads_them(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["texts", "numbers", "dates", "booleans", "blank"])
    sheet.append(["a\nb", 1461.5, date(2019, 3, 1), True, None])
    sheet.append(["=x", 0.1 + 0.2, datetime(2019, 3, 1, 12, 30), False, None])  # noqa: DTZ001
    sheet.append([])
    sheet.append([' "é" ', 25.125, date(1900, 3, 1), True, "end"])
    sheet["A3"].data_type = "s"
    sheet["B5"].number_format = '0.00 "days"'
    file = io.BytesIO()
    book.save(file)
    assert converted(file.getvalue(), FileKind.XLSX, tmp_path) == [
        ["1", "texts", "numbers", "dates", "booleans", "blank"],
        ["2", "a\nb", "1461.5", "2019-03-01", "true", ""],
        ["3", "=x", "0.3", "2019-03-01 12:30:00", "false", ""],
        ["5", ' "é" ', "25.1250", "1900-03-01", "true", "end"],
    ]


def test_what_other_writers_put_into_cells_is_read(tmp_path: Path) -> None:
    texts = (
        "<si><r><t>Da</t></r><r><t>cia</t></r><rPh sb='0' eb='1'><t>no</t></rPh></si>"
        "<si><t>line_x000A_end</t></si>"
    )
    row = [
        '<c t="s"><v>0</v></c>', '<c t="s"><v>1</v></c>', '<c t="str"><f>A1</f><v>cached</v></c>',
        '<c t="e"><v>#REF!</v></c>', '<c t="d"><v>2020-01-05</v></c>', "<c><v>1.5E3</v></c>",
        '<c r="J2"><v>7</v></c>', "<c><f>1/3</f><v>0.33333333333333331</v></c>",
    ]  # fmt: skip
    names = list("abcdefghijk")
    plain = workbook([names, row], texts=texts)
    prefixed = zipped(
        {
            name: part.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")
            for name, part in parts_of({"s": sheet_xml([names, row])}, texts=texts).items()
        }
    )
    expected = ["2", "Dacia", "line\nend", "cached", "", "2020-01-05", "1500", "", "", "",
                "7", "0.333333333333333"]  # fmt: skip
    assert converted(plain, FileKind.XLSX, tmp_path)[1] == expected
    assert converted(prefixed, FileKind.XLSX, tmp_path)[1] == expected


def test_days_may_count_from_1904(tmp_path: Path) -> None:
    parts = parts_of(
        {"s": sheet_xml([["day"], ['<c s="1"><v>1</v></c>']])},
        styles='<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>',
    )
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(
        "<sheets>", '<workbookPr date1904="1"/><sheets>'
    )
    assert converted(zipped(parts), FileKind.XLSX, tmp_path)[1] == ["2", "1904-01-02"]


def test_lines_are_those_of_the_sheet_and_a_title_is_no_header(path: BulkPath) -> None:
    wrong = ("R2", "Dacia", "Logan", 1890, "Diesel", "Manuelle", "a\nlot")
    table = [["Stock au 12 mars"], [], CAR_HEADER, CAR_ROW, [], wrong]
    batch = path.run(workbook(table), key_column="Réf")
    (year,) = path.errors(batch)
    assert (year["line"], year["row_key"], year["column"], year["value"]) == (
        6, "R2", "Année", "1890",
    )  # fmt: skip
    (row,) = rows_of(path, batch, "rejected.csv")
    assert (row["Réf"], row["row_line"]) == ("R2", "6")


def test_a_sheet_is_chosen_by_name_or_number(path: BulkPath) -> None:
    other = [CAR_HEADER, ("R9", *CAR_ROW[1:])]
    data = zipped(
        parts_of({"Notes": sheet_xml([["nothing here"]]), "2": sheet_xml([CAR_HEADER, CAR_ROW]),
                  "Été": sheet_xml(other)})
    )  # fmt: skip
    assert rows_of(path, path.run(data, sheet="2"))[0]["Réf"] == "R1"
    batch = path.run(data, sheet="3")
    assert rows_of(path, batch)[0]["Réf"] == "R9"
    assert batch.manifest.dialect.findings["sheet"].value == "Été"
    assert batch.manifest.dialect.notices[0].values == ("Notes", "2")
    found = path.run(data).manifest.dialect.findings["sheet"]
    assert (found.value, found.basis) == ("2", "first-with-cars")
    assert refusal(path, data, sheet="1")[0] == "missing-column"
    (_, others) = path.run(data, sheet="1").refusal
    assert (others.pointer, others.code) == ("?sheet", "other-sheets")
    assert others.params == {"sheet": "Notes", "found": "2, Été"}
    code, params = refusal(path, data, sheet="Mars")
    assert (code, params["found"]) == ("unknown-sheet", "Notes, 2, Été")


def test_a_hidden_sheet_is_read_only_where_it_is_asked_for(path: BulkPath) -> None:
    parts = parts_of(
        {
            "Archive": sheet_xml([CAR_HEADER, ("R8", *CAR_ROW[1:])]),
            "Stock": sheet_xml([CAR_HEADER, CAR_ROW]),
        }
    )
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(
        'name="Archive"', 'name="Archive" state="hidden"'
    )
    data = zipped(parts)
    assert rows_of(path, path.run(data))[0]["Réf"] == "R1"
    assert rows_of(path, path.run(data, sheet="Archive"))[0]["Réf"] == "R8"


def test_titles_above_a_sheets_header_are_left_out_and_named(path: BulkPath) -> None:
    batch = path.run(workbook([["", "Stock de mars"], ["Casablanca"], CAR_HEADER, CAR_ROW]))
    (notice,) = batch.manifest.dialect.notices
    assert (notice.code, notice.values) == ("titles-left-out", ("Stock de mars", "Casablanca"))
    assert rows_of(path, batch)[0]["Réf"] == "R1"


def test_options_that_mean_nothing_for_a_workbook_are_named(path: BulkPath) -> None:
    batch = path.run(workbook([CAR_HEADER, CAR_ROW]), encoding="cp1252", delimiter=";")
    (notice,) = batch.manifest.dialect.notices
    assert (notice.code, notice.values) == ("options-without-use", ("encoding", "delimiter"))


def test_macros_are_not_read(path: BulkPath) -> None:
    parts = parts_of({"Stock": sheet_xml([CAR_HEADER, CAR_ROW])})
    batch = path.run(zipped({**parts, "xl/vbaProject.bin": b"\xd0\xcf\x11\xe0 macro"}))
    assert batch.progress.outcome is BatchOutcome.COMPLETE
    assert [notice.code for notice in batch.manifest.dialect.notices] == ["macros-ignored"]


def test_a_dry_run_of_a_workbook_reports_and_prices_nothing(path: BulkPath) -> None:
    batch = path.run(workbook([CAR_HEADER, CAR_ROW]), dry_run=True)
    assert batch.progress.outcome is BatchOutcome.DRY_RUN
    assert path.model.calls == 0


def test_a_workbook_survives_a_worker_that_dies_while_it_is_opened(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dying(*_: Any) -> None:
        raise Killed

    batch_id = path.accept(workbook([CAR_HEADER, *[CAR_ROW] * 25]))
    with monkeypatch.context() as patch:
        patch.setattr(path.files, "write_table", dying)
        with pytest.raises(Killed):
            path.step()
    batch = path.sweep_until_ended(batch_id)
    assert batch.progress.counts == RowCounts(valid=25)


def test_a_batch_that_is_cancelled_while_it_is_opened_ends(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = path.accept(workbook([CAR_HEADER, *[CAR_ROW] * 5000]))
    monkeypatch.setattr("worker.batches.tables.PROGRESS_INTERVAL_S", 0.0)
    begin = path.store.begin

    def cancelled_meanwhile(*arguments: Any) -> Any:
        start = begin(*arguments)
        path.batches.cancel(batch_id, CALLER)
        return start

    with monkeypatch.context() as patch:
        patch.setattr(path.store, "begin", cancelled_meanwhile)
        path.step()
    batch = path.sweep_until_ended(batch_id)
    assert batch.progress.outcome is BatchOutcome.CANCELLED
    assert path.model.calls == 0


# Parquet


def test_a_parquet_file_is_priced_as_the_csv_of_its_rows(path: BulkPath) -> None:
    data = parquet(
        cars(
            Année=pa.array([2019.0, 2018.0, 2020.0]),
            Carburant=pa.array(["Diesel", "Essence", "Hybride"]).dictionary_encode(),
            Prix=pa.array(["1.5", "2", None]).cast(pa.decimal128(10, 2)),
            Vu=pa.array([datetime(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5), None]),  # noqa: DTZ001
            Jour=pa.array([date(2026, 1, 2)] * 3),
            Neuf=pa.array([True, False, None]),
            Note=pa.array([float("nan"), 25.125, 0.5]),
            Octets=pa.array(["é".encode(), b"a,b\nc", None]),
            Rien=pa.nulls(3),
        ),
        row_group_size=2,
    )
    batch = path.run(data)
    assert batch.manifest.dialect.kind is FileKind.PARQUET
    assert batch.progress.counts == RowCounts(valid=3)
    first, second, third = rows_of(path, batch)
    assert [row["price_mad"] for row in (first, second, third)] == [
        "255000.0", "210000.0", "275000.0",
    ]  # fmt: skip
    assert [row["Année"] for row in (first, second, third)] == ["2019", "2018", "2020"]
    assert (first["Prix"], second["Prix"]) == ("1.50", "2")
    assert (first["Vu"], second["Vu"], third["Vu"]) == ("2026-01-02", "2026-01-02 03:04:05", "")
    assert (first["Jour"], first["Neuf"], third["Neuf"]) == ("2026-01-02", "true", "")
    assert (first["Note"], second["Note"]) == ("", "25.1250")
    assert (first["Octets"], second["Octets"]) == ("é", "a,b\nc")


def test_the_line_of_a_parquet_row_is_its_number(path: BulkPath) -> None:
    batch = path.run(parquet(cars(Année=[2019, 1890, 2020])))
    (error,) = path.errors(batch)
    assert (error["line"], error["column"], error["value"]) == (2, "Année", "1890")


def test_a_parquet_row_without_any_value_is_a_row(path: BulkPath) -> None:
    batch = path.run(parquet({name: [*cells[:2], None] for name, cells in cars().items()}))
    assert batch.progress.counts == RowCounts(valid=2, invalid=1)
    assert {error["line"] for error in path.errors(batch)} == {3}


def test_a_text_that_is_none_or_too_long_costs_its_row_only(path: BulkPath) -> None:
    modele = pa.array([b"\xff\xfe", b"x" * 150_000, b"Corolla"])
    batch = path.run(parquet(cars(Modèle=modele)))
    assert batch.progress.counts == RowCounts(valid=1, invalid=2)
    assert [(error["line"], error["code"]) for error in path.errors(batch)] == [
        (1, "unreadable-text"), (2, "cell-too-long"),
    ]  # fmt: skip


def test_a_nested_column_of_cars_is_refused_by_name(path: BulkPath) -> None:
    code, params = refusal(path, parquet(cars(Ville=[["a"], [], ["b"]])))
    assert (code, params["column"]) == ("nested-column", "Ville")


def test_columns_that_no_car_needs_cost_no_row_whatever_is_in_them(path: BulkPath) -> None:
    photos = [["a", "é"], None, []]
    batch = path.run(parquet(cars(Photos=photos, Vignette=[b"\xff\0", b"", None])))
    assert batch.progress.counts.valid == 3
    rows = rows_of(path, batch)
    assert [row["Photos"] for row in rows] == ['["a","é"]', "", "[]"]
    assert [row["Vignette"] for row in rows] == ["\ufffd\ufffd", "", ""]


# Hostile files


GOOD = parts_of({"Stock": sheet_xml([CAR_HEADER, CAR_ROW])})
SHEET = "xl/worksheets/s1.xml"
DOCTYPE = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><worksheet>'
    "<sheetData><row><c t='inlineStr'><is><t>&b;</t></is></c></row></sheetData></worksheet>"
)


def locked(stream: str) -> bytes:
    """An OLE file with a stream of this name."""
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream.encode("utf-16-le") + bytes(512)
    )


def without(*names: str) -> bytes:
    return zipped({name: part for name, part in GOOD.items() if name not in names})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (workbook([]), "empty-file"),
        (workbook([CAR_HEADER]), "no-rows"),
        (workbook([["ماركة", "موديل"], ["داسيا", "لوغان"]]), "missing-column"),
        (workbook([[*CAR_HEADER, "Année"], [*CAR_ROW, 1]]), "duplicate-column"),
        (workbook([[*CAR_HEADER, *(f"c{n}" for n in range(5000))], CAR_ROW]), "too-many-columns"),
        (workbook([["a"], [cell(1, "XFE2")]]), "wrong-workbook"),
        (workbook([["a"], [cell(1, "ABCD2")]]), "wrong-workbook"),
        (workbook([CAR_HEADER, ['<c t="s"><v>99</v></c>']]), "wrong-workbook"),
        (zipped({**GOOD, SHEET: DOCTYPE}), "wrong-workbook"),
        (zipped({**GOOD, SHEET: "<worksheet><sheetData><row>"}), "wrong-workbook"),
        (zipped({**GOOD, SHEET: b"\0" * 1000}), "wrong-workbook"),
        (without(SHEET), "wrong-workbook"),
        (without("xl/_rels/workbook.xml.rels"), "wrong-workbook"),
        (zipped({**GOOD, "xl/workbook.xml": "<workbook/>"}), "unknown-sheet"),
        (zipped(GOOD)[:-30], "truncated-workbook"),
        (zipped(GOOD)[:40] + b"?" * 60 + zipped(GOOD)[100:], "wrong-workbook"),
        (b"PK\x03\x04" + bytes(100), "truncated-workbook"),
        (zipped({"word/document.xml": "<x/>"}), "unsupported-upload"),
        (zipped({"stock.csv": "a,b"}), "unsupported-upload"),
        (zipped({f"part{n}": "" for n in range(2100)}), "wrong-workbook"),
        (locked("Workbook"), "unsupported-upload"),
        (locked("EncryptedPackage"), "unsupported-upload"),
        (parquet(cars())[:-5], "truncated-parquet"),
        (b"PAR1PAR1", "truncated-parquet"),
        (b"PAR1" + bytes(100) + b"\xff\xff\xff\x7fPAR1", "wrong-parquet"),
        (b"PAR1" + bytes(100) + b"\x40\0\0\0PAR1", "wrong-parquet"),
        (parquet(cars(), compression="snappy")[:60] + b"?" * 40
         + parquet(cars(), compression="snappy")[100:], "wrong-parquet"),
        (parquet({f"c{n}": [1] for n in range(501)}), "too-many-columns"),
        (parquet({name: column[:0] for name, column in cars().items()}), "no-rows"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_ends_with_a_reason(
    path: BulkPath, data: bytes, code: str
) -> None:
    assert refusal(path, data)[0] == code
    assert path.model.calls == 0


ODS = {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<x/>"}


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (locked("Workbook"), "Excel 97-2003 (.xls)"),
        (locked("Book"), "Excel 5 (.xls)"),
        (locked("EncryptedPackage"), "Excel (password)"),
        (locked("WordDocument"), "Word (.doc)"),
        (locked("another"), "Excel 97-2003 (.xls)"),
        (zipped({"xl/workbook.bin": b"x"}), "Excel (.xlsb)"),
        (zipped({"XL\\Workbook.bin": b"x"}), "Excel (.xlsb)"),
        (zipped(ODS), "OpenDocument (.ods)"),
        (zipped({"content.xml": "<x/>"}), "OpenDocument"),
        (zipped({"Index/Document.iwa": b"x"}), "Apple iWork (.numbers)"),
        (zipped({"stock.csv": "a,b"}), "ZIP"),
    ],
)
def test_a_spreadsheet_of_another_format_is_refused_by_its_name(
    path: BulkPath, data: bytes, given: str
) -> None:
    code, params = refusal(path, data)
    assert (code, params["given"]) == ("unsupported-upload", given)


def test_a_workbook_that_unzips_to_too_much_is_refused_before_it_is_opened(
    servers: Servers, tmp_path: Path
) -> None:
    path = BulkPath(tmp_path, servers.broker, max_bytes=3_000_000)
    bomb = zipped({**GOOD, "xl/media/a.bin": bytes(4_000_000)})
    assert len(bomb) < 10_000
    assert refusal(path, bomb)[0] == "upload-too-large"
    assert not path.queue


def test_a_workbook_that_lies_about_its_size_gives_no_more_than_it_says(path: BulkPath) -> None:
    rows = [CAR_HEADER, *[CAR_ROW] * 20_000]
    data = workbook(rows)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        true_size = archive.getinfo(SHEET).file_size
    lie = data.replace(true_size.to_bytes(4, "little"), (5000).to_bytes(4, "little"))
    assert refusal(path, lie)[0] == "wrong-workbook"


def test_a_table_that_swells_while_it_is_read_is_refused(servers: Servers, tmp_path: Path) -> None:
    path = BulkPath(tmp_path, servers.broker, max_bytes=2_000_000)
    same = ["x" * 1000] * 10_000
    bomb = parquet({name: [column[0]] * 10_000 for name, column in cars(Note=same).items()})
    assert len(bomb) < 20_000
    assert refusal(path, bomb)[0] == "table-too-large"


PEAK_OF_A_READER = """
import io, pathlib, resource, sys
from shared.domain.errors import UnreadableUpload
from shared.domain.table import FileKind
from shared.tabular.tables.process import TableReadRequest, read_table
order = TableReadRequest(FileKind.PARQUET, None, (), 10**12)
with open(sys.argv[1], "rb") as source:
    try:
        read_table(source, io.BytesIO(), order, pathlib.Path(sys.argv[1]).parent, lambda: True)
    except UnreadableUpload as refused:
        print(refused.problems[0].code)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_a_reader_that_needs_too_much_memory_dies_alone(path: BulkPath, tmp_path: Path) -> None:
    """A dictionary makes a few bytes mean 90 KB in each of 20,000 rows."""
    note = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000), pa.array(["x" * 90_000]))
    bomb = parquet({name: [column[0]] * 20_000 for name, column in cars().items()} | {"Note": note})
    assert len(bomb) < 20_000
    assert refusal(path, bomb)[0] == "table-too-large"
    file = tmp_path / "bomb"
    file.write_bytes(bomb)
    done = subprocess.run(
        [sys.executable, "-c", PEAK_OF_A_READER, str(file)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, peak_mb = done.stdout.splitlines()[-2:]
    assert code == "table-too-large"
    assert int(peak_mb) < 700


def test_a_file_in_another_store_leaves_nothing_in_the_spool(tmp_path: Path) -> None:
    assert len(converted(workbook([CAR_HEADER, CAR_ROW]), FileKind.XLSX, tmp_path)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_reader_whose_rows_nobody_wants_is_ended(tmp_path: Path) -> None:
    order = TableReadRequest(FileKind.XLSX, None, (), 100_000_000)
    source = io.BytesIO(workbook([CAR_HEADER, *[CAR_ROW] * 3000]))
    with pytest.raises(ReadCancelled):
        read_table(source, io.BytesIO(), order, tmp_path, lambda: False)
    file = tmp_path / "a.xlsx"
    file.write_bytes(source.getvalue())
    with file.open("rb") as local, pytest.raises(ReadCancelled):
        read_table(local, io.BytesIO(), order, tmp_path, lambda: False)


def test_a_reader_knows_no_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@localhost/0")
    start, environments = subprocess.Popen, []

    def watched(*arguments: Any, **options: Any) -> Any:
        child = start(*arguments, **options)
        os.kill(child.pid, signal.SIGSTOP)  # it must not end before it was looked at
        environ = Path(f"/proc/{child.pid}/environ")
        environments.append(wait_until(environ.read_bytes, what="the child's environment"))
        os.kill(child.pid, signal.SIGCONT)
        return child

    monkeypatch.setattr(subprocess, "Popen", watched)
    assert len(converted(workbook([CAR_HEADER, CAR_ROW]), FileKind.XLSX, tmp_path)) == 2
    (environment,) = environments
    assert b"PATH=" in environment
    assert b"s3cret" not in environment


def test_a_reader_that_is_killed_from_outside_is_started_again(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = path.accept(workbook([CAR_HEADER, *[CAR_ROW] * 30]))
    start, killed = subprocess.Popen, []

    def killed_once(*arguments: Any, **options: Any) -> Any:
        child = start(*arguments, **options)
        if not killed:
            killed.append(child.pid)
            child.kill()
        return child

    monkeypatch.setattr(subprocess, "Popen", killed_once)
    batch = path.sweep_until_ended(batch_id)
    assert len(killed) == 1
    assert batch.progress.counts == RowCounts(valid=30)


def test_a_reader_ends_with_the_worker_that_started_it(tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    file.write_bytes(workbook([CAR_HEADER, *[CAR_ROW] * 20_000]))
    with file.open("rb") as source:
        order = {"kind": "xlsx", "fd": source.fileno(), "sheet": None, "headers": [],
                 "max_bytes": 1 << 30}  # fmt: skip
        child = subprocess.Popen(
            [sys.executable, "-m", "shared.tabular.tables.child", orjson.dumps(order).decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[source.fileno()],
        )  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stdin is not None
        os.read(child.stdout.fileno(), 10)  # it works, and cannot end: nobody takes its rows
        child.stdin.close()
        until = time.monotonic() + 30
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        assert child.returncode == 1


# Numbers


NUMBERS = [name for name in FIELD_NAMES if isinstance(CAR_FIELDS[name], Number)]
GOOD_CAR: dict[str, Any] = {
    "company": "Dacia", "model": "Logan", "year": 2019, "fuel": "Diesel",
    "transmission": "Manual", "km_driven": 45_000,
}  # fmt: skip


def json_verdict(name: str, number: float) -> tuple[Any, list[str]]:
    """Normal form of a number in a JSON body, and the codes of the rules that it breaks."""
    try:
        return getattr(load_car_request(GOOD_CAR | {name: number}).car, name), []
    except InvalidInput as refused:
        return None, [problem.code for problem in refused.problems]


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(NUMBERS),
    number=st.one_of(
        st.integers(-10, 2_100_000),
        st.floats(-1, 12_000).map(lambda number: round(number, 3)),
    ),
)
def test_a_number_in_a_cell_means_what_it_means_in_json(name: str, number: float) -> None:
    shown = cell_text(float(number))
    values, errors, notes = ColumnValidator(".").validate({name: [shown]})
    codes = [error.code for error in errors] + [note.code for note in notes]
    if name == "km_driven" and 0 <= number < 1000 and number != int(number):
        assert (values[name][0], codes) == (None, ["not-whole"])  # a cell may count thousands
        return
    assert (values[name][0], codes) == json_verdict(name, number)
