"""Workbooks of every writer are read as a person reads them, in bounded memory."""

import io
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.batch import Batch, RowCounts
from shared.tabular.rows.chunk import cut
from shared.tabular.tables.workbooks.workbook import Workbook
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
    monkeypatch.setattr("shared.tabular.tables.workbooks.workbook.PIECE_BYTES", 1)
    assert sheet_rows(data) == whole


def test_cells_far_from_the_others_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.tabular.tables.workbooks.pieces.PIECE_MAX_CELLS", 50_000)
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


SHEET, RELS, TEXTS = "xl/worksheets/s1.xml", "xl/_rels/workbook.xml.rels", "xl/sharedStrings.xml"
TEXTS_REFERENCE = (
    f'<Relationship Id="s" Type="{RELATIONS}/sharedStrings" Target="/xl/Texts.XML"/>'
    "</Relationships>"
)
STRICT = {
    MAIN: "http://purl.oclc.org/ooxml/spreadsheetml/main",
    RELATIONS: "http://purl.oclc.org/ooxml/officeDocument/relationships",
}
OTHER_BOOK = {"xl/workbook.xml": "xl/book.xml", RELS: "xl/_rels/book.xml.rels"}
FORMS: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "strict": ({}, STRICT, {}),
    "strings by reference": (
        {TEXTS: "xl/texts.xml"}, {"</Relationships>": TEXTS_REFERENCE}, {},
    ),
    "percent signs": (
        {SHEET: "xl/worksheets/Stock été.xml"}, {"s1.xml": "Stock%20%C3%A9t%C3%A9.xml"}, {},
    ),
    "workbook at the root": (
        {"xl/workbook.xml": "workbook.xml", RELS: "_rels/workbook.xml.rels",
         SHEET: "worksheets/s1.xml", TEXTS: "sharedStrings.xml"},
        {},
        {"[Content_Types].xml": WORKBOOK_TYPE.replace("/xl/book.xml", "/workbook.xml")},
    ),
    "other workbook part": (
        OTHER_BOOK, {}, {"_rels/.rels": PACKAGE_RELATIONS, "[Content_Types].xml": WORKBOOK_TYPE},
    ),
    "other workbook part by type": (OTHER_BOOK, {}, {"[Content_Types].xml": WORKBOOK_TYPE}),
}  # fmt: skip
"""Unusual forms of a workbook: names of parts, texts in parts, and parts besides."""


def renamed(parts: dict[str, str], form: str) -> bytes:
    """The same workbook with other names of its parts."""
    if form == "backslashes":
        return zipped({name.replace("/", "\\"): part for name, part in parts.items()})
    if form == "upper case":
        return zipped({name.upper(): part for name, part in parts.items()})
    names, texts, besides = FORMS[form]
    for usual, other in texts.items():
        parts = {name: part.replace(usual, other) for name, part in parts.items()}
    return zipped({names.get(name, name): part for name, part in parts.items()} | besides)


@pytest.mark.parametrize("form", ["backslashes", "upper case", *FORMS])
def test_a_workbook_whose_parts_have_unusual_names_is_read(path: BulkPath, form: str) -> None:
    row = ['<c t="s"><v>0</v></c>', *CAR_ROW[1:]]
    parts = parts_of({"Stock": sheet_xml([CAR_HEADER, row])}, texts="<si><t>R7</t></si>")
    batch = path.run(renamed(parts, form))
    assert [row["Réf"] for row in rows_of(path, batch)] == ["R7"]


# Rows and cells that a person sees otherwise


def notices(batch: Batch) -> dict[str, tuple[str, ...]]:
    """Values of a batch's notices, by code."""
    return {notice.code: notice.values for notice in batch.manifest.dialect.notices}


def test_hidden_rows_are_read_and_counted(path: BulkPath) -> None:
    sheet = sheet_xml([["Stock"], CAR_HEADER, CAR_ROW, CAR_ROW, [], CAR_ROW, CAR_ROW])
    for number, tag in {1: 'hidden="1"', 4: 'ht="9" hidden="1"', 5: 'hidden="1"',
                        6: "hidden='true'"}.items():  # fmt: skip
        sheet = sheet.replace(f'<row r="{number}">', f'<row r="{number}" {tag}>')
    sheet = sheet.replace('<row r="7">', '<row hidden="1" r="7">')
    batch = path.run(zipped(parts_of({"Stock": sheet})))
    assert batch.progress.counts == RowCounts(valid=4)
    assert notices(batch) == {"titles-left-out": ("Stock",), "hidden-rows": ("3",)}


def test_rows_without_height_and_columns_without_width_count_as_hidden(path: BulkPath) -> None:
    columns = (
        '<cols><col min="6" max="6" width="0" customWidth="1"/>'
        '<col min="7" max="7" width="0.5"/></cols>'
    )
    sheet = sheet_xml([CAR_HEADER, CAR_ROW, CAR_ROW, CAR_ROW])
    for number, tag in {2: 'ht="0.75"', 3: 'ht="0" customHeight="1"', 4: 'ht="10"'}.items():
        sheet = sheet.replace(f'<row r="{number}">', f'<row r="{number}" {tag}>')
    batch = path.run(
        zipped(parts_of({"Stock": sheet.replace("<sheetData>", f"{columns}<sheetData>")}))
    )
    assert notices(batch) == {"hidden-rows": ("1",), "hidden-columns": (CAR_HEADER[5],)}


def test_hidden_columns_are_read_and_named_where_they_are_used(path: BulkPath) -> None:
    columns = (
        '<cols><col min="1" max="1" width="9" hidden="1"/><col min="4" max="4"/>'
        '<col hidden="true" min="6" max="7"/><col min="30" max="16384" hidden="1"/></cols>'
    )
    sheet = sheet_xml([CAR_HEADER, CAR_ROW]).replace("<sheetData>", f"{columns}<sheetData>")
    batch = path.run(zipped(parts_of({"Stock": sheet})))
    assert batch.progress.counts == RowCounts(valid=1)
    assert notices(batch) == {"hidden-columns": ("Boîte", "Kilométrage")}


def test_a_hidden_sheet_is_read_where_all_others_are_blank_and_is_named(path: BulkPath) -> None:
    cars = sheet_xml([CAR_HEADER, CAR_ROW])
    parts = parts_of({"Feuil1": sheet_xml([]), "Stock": cars})
    book = parts["xl/workbook.xml"].replace('name="Stock"', 'name="Stock" state="veryHidden"')
    batch = path.run(zipped({**parts, "xl/workbook.xml": book}))
    assert batch.progress.counts == RowCounts(valid=1)
    assert notices(batch) == {"other-sheets": ("Feuil1",), "hidden-sheet": ("Stock",)}


def test_hidden_lists_behind_a_sheet_are_not_taken_for_it(path: BulkPath) -> None:
    lists = sheet_xml([("Marque", "Modèle", "Année", "Carburant", "Boîte", "Kilométrage")])
    parts = parts_of({"Listes": lists, "Stock": sheet_xml([["Voiture"], ["Dacia Logan 2019"]])})
    book = parts["xl/workbook.xml"].replace('name="Listes"', 'name="Listes" state="hidden"')
    batch = path.run(zipped({**parts, "xl/workbook.xml": book}))
    assert batch.refusal[-1].params == {"sheet": "Stock", "found": "Listes"}


def merged(rows: list[Any], *ranges: str) -> bytes:
    """A workbook with merged cells."""
    tags = "".join(f'<mergeCell ref="{each}"/>' for each in ranges)
    sheet = sheet_xml(rows).replace("</sheetData>", f"</sheetData><mergeCells>{tags}</mergeCells>")
    return zipped(parts_of({"Stock": sheet}))


def test_a_merged_value_counts_for_each_row_of_its_block(path: BulkPath) -> None:
    rows = [CAR_HEADER, CAR_ROW, ("R2", None, "Duster", *CAR_ROW[3:]), ["R3"], [], ["R5", "VW"]]
    batch = path.run(merged(rows, "B2:B5", "A1:A1"))
    assert [(row["Réf"], row["Marque"]) for row in rows_of(path, batch)] == [
        ("R1", "Dacia"), ("R2", "Dacia"), ("R3", "Dacia"), ("R5", "VW"),
    ]  # fmt: skip
    assert notices(batch) == {"merged-cells": ("2",)}


def test_a_merged_text_counts_for_each_named_column_and_a_number_for_the_first(
    path: BulkPath,
) -> None:
    header = [*CAR_HEADER, None, "Prix", "Note", None, "État"]
    first = [*CAR_ROW[:6], 45_000, None, None, "VENDU le 3"]
    second = ["R2", "Dacia Duster", None, *CAR_ROW[3:6], 60_000, None, 90_000]
    batch = path.run(merged([header, first, second, ["R3"]], "G2:I2", "B3:C4", "J2:L3", "D3:D4"))
    names = ("Réf", "Marque", "Modèle", "Année", "Prix", "Note", "column_11", "État")
    assert [[row[name] for name in names] for row in rows_of(path, batch)] == [
        ["R1", "Dacia", "Logan", "2019", "", "VENDU le 3", "", "VENDU le 3"],
        ["R2", "Dacia Duster", "Dacia Duster", "2019", "90000", "VENDU le 3", "", "VENDU le 3"],
        ["R3", "Dacia Duster", "Dacia Duster", "2019", "", "", "", ""],
    ]
    assert notices(batch)["merged-cells"] == ("7",)


def test_names_merged_over_two_lines_of_a_header_count_in_the_second(path: BulkPath) -> None:
    top = ("Réf", "Marque", "Modèle", "Année", "Technique", None, None)
    low = (None, None, None, None, "Carburant", "Boîte", "Kilométrage")
    ranges = ("A1:A2", "B1:B2", "C1:C2", "D1:D2", "E1:G1")
    batch = path.run(merged([top, low, CAR_ROW], *ranges))
    assert batch.manifest.dialect.header == CAR_HEADER
    assert batch.progress.counts == RowCounts(valid=1)
    assert "merged-cells" not in notices(batch)


def test_a_header_that_is_merged_with_the_row_below_adds_nothing_to_it(path: BulkPath) -> None:
    batch = path.run(merged([CAR_HEADER, (*CAR_ROW[:1], None, *CAR_ROW[2:])], "B1:B2"))
    assert batch.manifest.dialect.header == CAR_HEADER
    assert [row["Marque"] for row in rows_of(path, batch)] == [""]
    assert "merged-cells" not in notices(batch)


@pytest.mark.parametrize(
    ("cell_xml", "count"),
    [
        ("<c><f>H9*2</f></c>", 1),
        ("<c><f>H9*2</f><v/></c>", 1),
        ('<c t="str"><f>H9</f><v></v></c>', 1),
        ('<c><f t="shared" si="1"/></c>', 1),
        ("<c><f>H9*2</f><v>0</v></c>", 0),
        ("<c><f>H9*2</f><v>7</v></c>", 0),
    ],
)
@pytest.mark.parametrize("calculates", [False, True])
def test_formulas_without_a_saved_value_are_counted(
    path: BulkPath, cell_xml: str, count: int, *, calculates: bool
) -> None:
    shared = '<c t="str"><f t="shared" ref="A2:H2" si="1">H9</f><v>R1</v></c>'
    cells: list[Any] = [shared, *CAR_ROW[1:], cell_xml]
    parts = parts_of({"Stock": sheet_xml([[*CAR_HEADER, "Prix"], cells])})
    if calculates:  # a saved zero is no result then
        calculation = '</sheets><calcPr calcId="1" fullCalcOnLoad="1"/>'
        parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace("</sheets>", calculation)
        count = max(count, int(">0<" in cell_xml))
    batch = path.run(zipped(parts))
    assert notices(batch).get("formulas-without-values", ("0",)) == (str(count),)
    (row,) = rows_of(path, batch)
    found = re.search(r"<v>(\d)", cell_xml)
    assert row["Prix"] == ("" if count or found is None else found[1])


def test_cells_beyond_the_header_are_left_out_and_their_rows_named(path: BulkPath) -> None:
    far = [*CAR_ROW, None, "à rappeler"]
    rows = [CAR_HEADER, CAR_ROW, far, [*[None] * 9, "note"], *[far] * 5]
    batch = path.run(workbook(rows))
    assert batch.progress.counts == RowCounts(valid=7)
    assert notices(batch) == {"cells-beyond-header": ("3", "4", "5", "6", "7", "…")}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("#,##0\\ [$€-40C]", "14500 €"),
        ("[$$-409]#,##0.00;[Red]-0", "14500 $"),
        ('#,##0 "EUR"', "14500 EUR"),
        ("#,##0 €", "14500 €"),
        ('0" miles"', "14500 miles"),
        ("#,##0 [$MAD]", "14500"),
        ('#,##0 "DH"', "14500"),
        ('0 "km"', "14500"),
        ("[>999]# ##0;0", "14500"),
    ],
)
def test_a_foreign_currency_or_unit_of_a_number_format_is_part_of_the_cell(
    code: str, text: str
) -> None:
    styles = (
        f'<numFmts><numFmt numFmtId="170" formatCode="{escape(code, {chr(34): "&quot;"})}"/>'
        '</numFmts><cellStyleXfs><xf numFmtId="170"/></cellStyleXfs>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="170"/></cellXfs>'
    )
    cells = ['<c s="1"><v>14500</v></c>', '<c s="1" t="n"><f>A2</f><v>1.45E4</v></c>',
             '<c s="0"><v>7</v></c>', '<c s="1" t="inlineStr"><is><t>x</t></is></c>', '<c s="1"/>',
             '<c r="F1" s="1"><v>14500</v></c>']  # fmt: skip
    assert sheet_rows(workbook([cells], styles=styles)) == {1: [text, text, "7", "x", "", text]}


@pytest.mark.parametrize(
    "error", ["#REF!", "#N/A", "#NAME?", "#SPILL!", "#CALC!", "#GETTING_DATA", "#NV", "Err:502", ""]
)
def test_any_error_value_is_blank(error: str) -> None:
    cells = [f'<c t="e"><v>{error}</v></c>', f"<c r='B1' t='e' s='0'><f>1/0</f><v>{error}</v></c>",
             '<c t="e"/>', "end"]  # fmt: skip
    assert sheet_rows(workbook([cells])) == {1: ["", "", "", "end"]}


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


@pytest.mark.parametrize(
    ("cell_xml", "text"),
    [
        ('<c t="n"><v>sur demande</v></c>', "sur demande"),
        ('<c s="0" t="number"><v>7</v></c>', "7"),
        ('<c t=""><v>1,5</v></c>', "1,5"),
        ("<c><v>NaN</v></c>", ""),
        ("<c><v>-INF</v></c>", ""),
    ],
)
def test_a_cell_of_a_wrong_type_is_read_as_its_text(cell_xml: str, text: str) -> None:
    data = workbook([["x", cell_xml, 8, True, '<c t="n"><v>9</v></c>']])
    assert sheet_rows(data) == {1: ["x", text, "8", "true", "9"]}


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
    assert fast.progress.counts == general.progress.counts == RowCounts(valid=57, invalid=2)
    assert len(chunks) > 2
    for name in ("results.csv", "rejected.csv", "errors.ndjson"):
        assert path.text(fast, name) == path.text(general, name)
    assert [(error["line"], error["column"]) for error in path.errors(fast)] == [
        (8, "Année"),
        (12, "Année"),
        (12, "Marque"),
    ]
    noted = {(note.field, note.code) for note in fast.progress.notes}
    assert {("km_driven", "not-a-number"), ("km_driven", "out-of-range")} <= noted


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
