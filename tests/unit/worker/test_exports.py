"""Forms of the results: delimiters, decimal signs, words as headers, workbooks."""

import csv
import gc
import io
import multiprocessing
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from api.batches import results
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.errors import TooManyRowsForSheet
from shared.domain.files.exports import STORED, Export
from shared.i18n.catalogue import translate
from shared.i18n.languages import Language
from shared.messages.exports import LOCALIZED_HEADERS, RESULT_HEADERS
from shared.redis.connections import connect
from shared.tabular.column_names import field_for_header
from shared.tabular.columns.units import find_prices
from tests.batch_parts import BulkPath, cars_csv
from tests.conftest import Servers
from tests.workbooks import CAR_HEADER, CAR_ROW, workbook

XLSX = Export(format=ExportFormat.XLSX)
STOCK = (
    "code;tel;marque;modèle;année;carburant;boîte;km;prix;cote;vu le\n"
    "007;0661223344;Dacia;Duster;2018;Diesel;Manuelle;91 500;142.000;1,5;03/02/2025\n"
    "012;661223345;Skoda;Octavia;2016;Diesel;Auto;120 000 km;99000;2;04/02/2025\n"
    "013;661223346;Skoda;Fabia;1492;Essence;Auto;77 000;;12;05/02/2025\n"
).encode()


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> Iterator[BulkPath]:
    bulk = BulkPath(tmp_path, servers.broker)
    yield bulk
    bulk.changes.close()


def whole(
    path: BulkPath, batch: Batch, export: Export, table: ResultTable = ResultTable.RESULTS
) -> bytes:
    file = path.results.file(batch, table, export)
    return b"".join(file.blocks(0, file.size))


def cells(data: bytes, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


def sheet(data: bytes) -> list[list[Any]]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert len(book.worksheets) == 1
    return [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_results_have_the_delimiter_of_the_file(path: BulkPath, delimiter: str, quote: str) -> None:
    """With the characters that need quotes, in rows for both engines."""
    header = ["ref", "note", "marque", "modèle", "année", "carburant", "boîte", "km"]
    notes = ["a,b", "c;d", 'e "f"', "=1+1", "g\th", "i|j", "two\nlines"]
    rows = [
        [f"R{number}", note, "Opel", "Corsa", year, "Essence", "Manuelle", "52000"]
        for number, note in enumerate(notes)
        for year in ("2019", "1212")
    ]
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows([header, *rows])
    batch = path.run(text.getvalue().encode())
    assert batch.progress.counts.valid == len(notes)
    for table, count in ((ResultTable.RESULTS, len(rows)), (ResultTable.REJECTED, len(notes))):
        data = whole(path, batch, STORED, table)
        table_rows = cells(data, delimiter)
        assert len(table_rows) == count + 1
        assert len({len(row) for row in table_rows}) == 1
        assert {row[1].removeprefix("'") for row in table_rows[1:]} == set(notes)
        assert table_rows[0][:8] == header
        comma = whole(path, batch, Export(delimiter=","), table)
        assert cells(comma, ",") == table_rows
    assert whole(path, batch, Export(delimiter=delimiter)) == whole(path, batch, STORED)


def test_results_of_a_workbook_have_commas(path: BulkPath) -> None:
    batch = path.run(workbook([CAR_HEADER, CAR_ROW]))
    head, row = cells(whole(path, batch, STORED), ",")
    assert (head[:2], row[:2]) == (["Réf", "Marque"], ["R1", "Dacia"])


def test_decimal_commas_stand_in_the_added_numbers_only(path: BulkPath) -> None:
    batch = path.run(STOCK)
    plain = cells(whole(path, batch, STORED), ";")
    data = whole(path, batch, Export(decimal=","))
    localized = cells(data, ";")
    price = plain[0].index("price_mad")
    assert plain[1][price] == "208500.0"
    assert localized[1][price] == "208500,0"
    assert [row[:11] for row in localized] == [row[:11] for row in plain]
    assert localized[0] == plain[0]
    # Between commas such a number is quoted: a reader of CSV gets the same cells.
    comma = whole(path, batch, Export(delimiter=",", decimal=","))
    assert b',"208500,0",' in comma
    assert cells(comma, ",") == localized


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("fr", "Prix estimé (MAD)"),
        ("ar", "الثمن المقدر (درهم)"),
        ("en", "Estimated price (MAD)"),
    ],
)
def test_headers_are_words_in_the_language_of_the_batch(
    path: BulkPath, language: Language, name: str
) -> None:
    batch = path.run(STOCK, language=language)
    plain = cells(whole(path, batch, STORED), ";")
    for export, delimiter in (
        (Export(localized=True), ";"),
        (Export(localized=True, delimiter="\t"), "\t"),
    ):
        words = cells(whole(path, batch, export), delimiter)
        assert words[1:] == plain[1:]
        assert words[0][:11] == plain[0][:11]
        assert words[0][plain[0].index("price_mad")] == name
        assert words[0][11:] == [
            translate(RESULT_HEADERS[each], language) for each in plain[0][11:]
        ]


def test_a_word_that_the_file_has_itself_is_not_repeated(path: BulkPath) -> None:
    header = STOCK.replace(b"code;", "Prix estimé (MAD);".encode(), 1)
    batch = path.run(header)
    head = cells(whole(path, batch, Export(localized=True)), ";")[0]
    assert head[0] == "Prix estimé (MAD)"
    assert len(set(head)) == len(head)


@pytest.mark.parametrize("name", sorted(LOCALIZED_HEADERS))
def test_results_with_words_as_headers_are_no_input_when_they_come_back(name: str) -> None:
    assert field_for_header(name) is None
    assert find_prices([name], (), lambda _: [], None).column is None


def test_a_workbook_has_numbers_where_they_are_numbers(path: BulkPath) -> None:
    batch = path.run(STOCK, decimal=",")
    head, first, second, third = sheet(whole(path, batch, XLSX))
    by_name = dict(zip(head, first, strict=True))
    assert (by_name["code"], by_name["tel"], by_name["vu le"]) == (
        "007", "0661223344", "03/02/2025",
    )  # fmt: skip
    assert (by_name["année"], by_name["km"], by_name["prix"]) == (2018, 91_500, 142_000)
    assert (by_name["cote"], second[head.index("cote")]) == (1.5, 2)
    assert by_name["price_mad"] == 208_500.0
    assert isinstance(by_name["percentile"], int | float)
    # Text stays text: a unit, a longer number.
    assert second[head.index("km")] == "120 000 km"
    assert second[head.index("tel")] == "661223345"
    assert (third[head.index("price_mad")], third[head.index("row_status")]) == (None, "rejected")


def test_the_header_of_a_workbook_stays_visible_and_columns_are_as_wide_as_their_texts(
    path: BulkPath,
) -> None:
    batch = path.run(STOCK)
    page = openpyxl.load_workbook(io.BytesIO(whole(path, batch, XLSX))).active
    assert page is not None
    assert page.freeze_panes == "A2"
    assert all(cell.font.b for cell in page[1])
    widths = [page.column_dimensions[letter].width for letter in "AK"]
    assert widths[0] < widths[1] < 60


@pytest.mark.parametrize(
    "cell", ["=1+1", "@SUM(A1)", "+1-cmd", "-x", '=HYPERLINK("http://x")', "http://example.org"]
)
def test_no_text_is_a_formula_or_a_link_in_a_workbook(path: BulkPath, cell: str) -> None:
    quoted = cell.replace('"', '""')
    data = STOCK.replace(b"007;", f'"{quoted}";'.encode())
    batch = path.run(data.replace(b"code;", f'"{quoted}";'.encode()))
    for table in ResultTable:
        data = whole(path, batch, XLSX, table)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            xml = archive.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in xml
        assert b"<hyperlink" not in xml
    header, row, *_ = sheet(whole(path, batch, XLSX))
    assert [header[0], row[0]] == [cell, cell]


def test_long_and_strange_texts_fit_into_a_workbook(path: BulkPath) -> None:
    long, strange = "x" * 40_000, "a\x01b\ufffe😀"
    stock = STOCK.decode().replace("007;", f"{long};").replace("012;", f"{strange};")
    batch = path.run(stock.encode())
    _, first, second, _ = sheet(whole(path, batch, XLSX))
    assert first[0] == "x" * 32_766 + "…"
    assert "😀" in second[0]


def test_rejected_rows_in_a_workbook_are_texts_as_they_were_written(path: BulkPath) -> None:
    """They are sent back: the decimal comma must not become a point."""
    batch = path.run(STOCK.replace(b"77 000;;12;", b"77 000;;12,5;"))
    head, row = sheet(whole(path, batch, XLSX, ResultTable.REJECTED))
    assert row[:11] == [
        "013", "661223346", "Skoda", "Fabia", "1492", "Essence", "Auto", "77 000", None, "12,5",
        "05/02/2025",
    ]  # fmt: skip
    assert (head[-2], row[-2]) == ("row_line", "4")


def test_a_workbook_of_results_can_be_uploaded(path: BulkPath) -> None:
    batch = path.run(cars_csv(30))
    again = path.run(whole(path, batch, XLSX))
    assert again.progress.counts.valid == 30


def test_more_rows_than_a_sheet_has_are_refused(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = path.run(cars_csv(10))
    monkeypatch.setattr(results, "SHEET_MAX_ROWS", 11)
    assert len(sheet(whole(path, batch, XLSX))) == 11
    monkeypatch.setattr(results, "SHEET_MAX_ROWS", 10)
    with pytest.raises(TooManyRowsForSheet) as refusal:
        whole(path, batch, XLSX)
    assert refusal.value.params == {"rows": 10, "maximum": 9}
    assert whole(path, batch, XLSX, ResultTable.REJECTED)


def peak_of_workbook(parent: Path, broker_url: str, rows: int) -> int:
    """Return the bytes that the workbook of a batch with these rows needs at most."""
    folder = parent / str(rows)
    with connect(broker_url) as broker:
        path = BulkPath(folder, broker)
        whole(path, path.run(cars_csv(5)), XLSX)  # imports are done
        batch = path.run(cars_csv(rows))
        gc.collect()
        tracemalloc.start()
        path.results.file(batch, ResultTable.RESULTS, XLSX)
        peak = tracemalloc.get_traced_memory()[1]
        path.changes.close()
    assert list((folder / "spool").iterdir()) == []
    return peak


def test_the_memory_of_a_workbook_does_not_grow_with_its_rows(
    servers: Servers, tmp_path: Path
) -> None:
    """In processes of their own: threads that other tests have started allocate too."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        small, large = pool.map(
            partial(peak_of_workbook, tmp_path, servers.settings.redis_url), (300, 9000)
        )
    assert large < 1.5 * small
