"""Workbooks of every writer are read as a person reads them, in bounded memory."""

import io
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.batch import RowCounts
from tests.batch_parts import BulkPath, rows_of
from tests.conftest import Servers
from tests.workbooks import (
    CAR_HEADER,
    CAR_ROW,
    MAIN,
    RELATIONS,
    cell,
    parts_of,
    sheet_xml,
    workbook,
    zipped,
)
from worker.batches.fast_csv.spans import find_byte_span
from worker.batches.rows.chunk import cut
from worker.batches.tables.workbook import Workbook


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


# Another reader


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**14), 10**14),
    st.floats(-1e9, 1e9).map(lambda number: round(number, 2)),
    st.text(
        st.characters(
            codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
        ),
        max_size=12,
    ),
    st.datetimes(datetime(1900, 3, 2), datetime(2099, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=0)
    ),
)


def as_text(value: Any) -> str:
    """What openpyxl reads, in our words."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}" if not value.is_integer() else str(int(value))
    if isinstance(value, datetime):
        # Its fractions of a day are rounded to the microsecond.
        return str((value + timedelta(milliseconds=500)).replace(microsecond=0))
    return str(value)


def sheet_rows(data: bytes) -> dict[int, list[str]]:
    """The rows of a workbook's only sheet, by number."""
    book = Workbook(io.BytesIO(data))
    return {number: list(cells) for number, cells in book.rows(book.sheet(None))}


@settings(max_examples=40, deadline=None)
@given(table=st.lists(st.lists(CELLS, min_size=1, max_size=5), min_size=1, max_size=8))
def test_a_workbook_reads_as_an_established_reader_reads_it(table: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    for row in table:
        book.active.append(row)
        for each in book.active[book.active.max_row]:
            if isinstance(each.value, str):
                each.data_type = "s"  # never a formula
    file = io.BytesIO()
    book.save(file)
    ours = sheet_rows(file.getvalue())
    sheet = openpyxl.load_workbook(file, read_only=True).worksheets[0]
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        theirs = [as_text(value) for value in row]
        cells = ours.get(number, [])
        padded = [*cells, *[""] * (len(theirs) - len(cells))]
        assert [text.removesuffix(" 00:00:00") for text in theirs] == [
            text[:-1] if re.fullmatch(r"-?\d+\.\d{3}0", text) else text for text in padded
        ]


# Pieces


def test_a_sheet_reads_the_same_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[f"ligne {n}", n, n / 7, None, "fin"] for n in range(400)]
    texts = "<si><t>shared</t></si>"
    data = workbook([["a", "b"], ['<c t="s"><v>0</v></c>'], [], *rows], texts=texts)
    whole = sheet_rows(data)
    assert len(whole) == 402
    monkeypatch.setattr("worker.batches.tables.workbook.PIECE_BYTES", 1)
    assert sheet_rows(data) == whole


def test_cells_far_from_the_others_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.batches.tables.pieces.PIECE_MAX_CELLS", 50_000)
    rows = [[n, cell("x", f"XFD{n}") if n == 300 else n] for n in range(1, 501)]
    ours = sheet_rows(workbook([*rows, [cell(1, "A501")]]))
    assert len(ours) == 501
    assert (len(ours[300]), ours[300][-1], ours[299]) == (16_384, "x", ["299", "299"])


@pytest.mark.parametrize(
    "xml",
    [
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1"><c r="A1"><v>2</v></c></row>',
        "<row><c><v>1</v></c></row><row><c><v>2</v></c></row>",
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="A1"><v>2</v></c></row>',
        "<row r='1'><c r='A1'><v>1</v></c></row><row\n r='2'><c\n r='A2'><v>\n 2\n</v></c></row>",
        (
            '<!-- x --><row spans="1:1" r="1"><c s="0" r="A1"><v>1</v></c></row>'
            '<row r="2"><c t="inlineStr"><is><t><![CDATA[2]]></t></is></c></row>'
        ),
    ],
    ids=["same number", "no numbers", "wrong places", "other quotes", "order of attributes"],
)
def test_no_row_is_lost_however_rows_are_numbered(xml: str) -> None:
    assert sheet_rows(zipped(parts_of({"s": one_sheet(xml)}))) == {1: ["1"], 2: ["2"]}


def one_sheet(rows: str, after: str = "") -> str:
    """A sheet whose rows are written by hand."""
    return f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{after}</worksheet>'


# Parts of unusual names


PACKAGE_RELATIONS = (
    f'<Relationships><Relationship Id="r1" Type="{RELATIONS}/officeDocument" '
    'Target="xl/book.xml"/></Relationships>'
)
WORKBOOK_TYPE = (
    '<Types><Override PartName="/xl/book.xml" ContentType="application/vnd.openxmlformats-'
    'officedocument.spreadsheetml.sheet.main+xml"/></Types>'
)


def renamed(parts: dict[str, str], form: str) -> bytes:
    """The same workbook with other names of its parts."""
    if form == "backslashes":
        return zipped({name.replace("/", "\\"): part for name, part in parts.items()})
    if form == "upper case":
        return zipped({name.upper(): part for name, part in parts.items()})
    if form == "strict":
        strict = "http://purl.oclc.org/ooxml"
        forms = {MAIN: f"{strict}/spreadsheetml/main", RELATIONS: f"{strict}/relationships"}
        for usual, other in forms.items():
            parts = {name: part.replace(usual, other) for name, part in parts.items()}
        return zipped(parts)
    names = {
        "xl/workbook.xml": "xl/book.xml",
        "xl/_rels/workbook.xml.rels": "xl/_rels/book.xml.rels",
    }
    parts = {names.get(name, name): part for name, part in parts.items()}
    return zipped(parts | {"_rels/.rels": PACKAGE_RELATIONS, "[Content_Types].xml": WORKBOOK_TYPE})


@pytest.mark.parametrize("form", ["backslashes", "upper case", "strict", "other workbook part"])
def test_a_workbook_whose_parts_have_unusual_names_is_read(path: BulkPath, form: str) -> None:
    row = ['<c t="s"><v>0</v></c>', *CAR_ROW[1:]]
    parts = parts_of({"Stock": sheet_xml([CAR_HEADER, row])}, texts="<si><t>R7</t></si>")
    batch = path.run(renamed(parts, form))
    assert [row["Réf"] for row in rows_of(path, batch)] == ["R7"]


# Rows and cells that a person sees otherwise


def test_hidden_rows_are_read_and_counted(path: BulkPath) -> None:
    sheet = sheet_xml([CAR_HEADER, CAR_ROW, CAR_ROW, [], CAR_ROW])
    for number in (3, 4, 5):
        sheet = sheet.replace(f'<row r="{number}">', f'<row r="{number}" hidden="1">')
    batch = path.run(zipped(parts_of({"Stock": sheet})))
    assert batch.progress.counts == RowCounts(valid=3)
    (notice,) = batch.manifest.dialect.notices
    assert (notice.code, notice.values) == ("hidden-rows", ("2",))


def test_a_merged_value_counts_for_each_row_of_its_block(path: BulkPath) -> None:
    rows = [CAR_HEADER, CAR_ROW, ("R2", None, "Duster", *CAR_ROW[3:]), ["R3"], []]
    merged = '<mergeCells count="2"><mergeCell ref="B2:B9"/><mergeCell ref="A1:A1"/></mergeCells>'
    sheet = sheet_xml(rows).replace("</sheetData>", f"</sheetData>{merged}")
    batch = path.run(zipped(parts_of({"Stock": sheet})))
    assert [(row["Réf"], row["Marque"]) for row in rows_of(path, batch)] == [
        ("R1", "Dacia"), ("R2", "Dacia"), ("R3", "Dacia"),
    ]  # fmt: skip


def test_an_error_value_in_a_cell_is_no_value(path: BulkPath) -> None:
    errors = ['<c t="e"><v>#REF!</v></c>', '<c t="e"><f>1/0</f><v>#DIV/0!</v></c>']
    batch = path.run(workbook([[*CAR_HEADER, "Portes", "Prix"], [*CAR_ROW, *errors]]))
    assert batch.progress.counts == RowCounts(valid=1)
    (row,) = rows_of(path, batch)
    assert (row["Portes"], row["Prix"]) == ("", "")


@pytest.mark.parametrize(
    ("style", "value", "text"),
    [
        (1, 60, "1900-02-28"),
        (1, 43525.9999999, "2019-03-02"),
        (1, 0, "0"),
        (2, 0.75, "18:00:00"),
        (3, 1.5, "36:00:00"),
        (3, 0.0625, "1:30:00"),
    ],
)
def test_dates_times_and_durations_are_told_apart(style: int, value: float, text: str) -> None:
    styles = (
        '<numFmts><numFmt numFmtId="170" formatCode="[h]:mm"/></numFmts><cellXfs>'
        '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="20"/><xf numFmtId="170"/></cellXfs>'
    )
    data = workbook([[f'<c s="{style}"><v>{value}</v></c>']], styles=styles)
    assert sheet_rows(data) == {1: [text]}


# The engines


def test_the_rows_of_a_table_are_valued_by_the_fast_engine_as_by_the_general_one(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = [*CAR_HEADER, "Note", "Prix"]
    rows: list[list[Any]] = [[*CAR_ROW, f"note {n}", 90_000 + n] for n in range(60)]
    rows[5][3] = 1890
    rows[6][7] = 'deux\nlignes; "cit\u00e9es", fin'
    rows[7][7], rows[7][6] = "=1+1", "beaucoup"
    rows[8] = []
    rows[9] = [None, None, None, None, None, None, None, "seule"]
    rows[10][7], rows[10][6] = "retour_x000D_seul", -1
    rows[11].append("trop large")
    rows[12][8] = "sur demande"
    data = workbook([["Stock"], header, *rows])
    fast = path.run(data, key_column="Réf")
    chunks: list[Any] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        chunks.append(cut(*arguments, **options))
        return chunks[-1]

    monkeypatch.setattr("worker.batches.split.supports_fast_csv", lambda _: False)
    monkeypatch.setattr("worker.batches.split.cut", watched)
    general = path.run(data, key_column="Réf")
    assert fast.progress.counts == general.progress.counts == RowCounts(valid=54, invalid=5)
    assert len(chunks) > 2
    for name in ("results.csv", "rejected.csv", "errors.ndjson"):
        assert path.text(fast, name) == path.text(general, name)
    assert [(error["line"], error["column"]) for error in path.errors(fast)] == [
        (8, "Année"), (10, "Kilométrage"), (12, "Marque"), (12, "Modèle"), (12, "Année"),
        (12, "Carburant"), (12, "Boîte"), (12, "Kilométrage"), (13, "Kilométrage"), (14, None),
    ]  # fmt: skip


def test_most_rows_of_a_table_are_cut_as_byte_spans(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: list[Any] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        spans.append(find_byte_span(*arguments, **options))
        return spans[-1]

    monkeypatch.setattr("worker.batches.split.find_byte_span", watched)
    batch = path.run(workbook([CAR_HEADER, *[CAR_ROW] * 30]))
    assert batch.progress.counts == RowCounts(valid=30)
    assert sum(len(span[0]) for span in spans if span) == 30
