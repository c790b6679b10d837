"""Any CSV a person has is read; what cannot be read costs its own row only."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.batch import BatchOptions
from shared.domain.errors import UnreadableUpload
from shared.domain.table import Dialect
from shared.tabular import csv_reader
from shared.tabular.csv_reader import START, CsvReader, SourceRow
from shared.tabular.dialect import HEAD_BYTES, detect_dialect
from shared.tabular.encoding import EncodingDetector
from shared.tabular.sample import key_index

HEADER = "Marque;Modèle;Année;Carburant;Boîte;Kilométrage"
ROW = "Citroën;C3;2019;Essence;Manuelle;45 000"


def rows_of(data: bytes, width: int | None = None, encoding: str = "utf-8") -> list[SourceRow]:
    return list(CsvReader(io.BytesIO(data), encoding, ",", width=width))


def detect_all(data: bytes, **options: str) -> Dialect:
    detector = EncodingDetector()
    detector.feed(data)
    return detect_dialect(data, detector, BatchOptions(**options), whole=True)


def refusal(data: bytes, **options: str) -> str:
    with pytest.raises(UnreadableUpload) as refused:
        detect_all(data, **options)
    return refused.value.problems[0].code


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found_out(codec: str, encoding: str, delimiter: str) -> None:
    text = f"{HEADER}\r\n{ROW}\r\n{ROW}\r\n".replace(";", delimiter)
    data = text.encode(codec)
    dialect = detect_all(data)
    assert (dialect.encoding, dialect.delimiter) == (encoding, delimiter)
    assert dialect.header == tuple(HEADER.split(";"))
    read = list(CsvReader.of(io.BytesIO(data), dialect))
    assert [row.cells for row in read] == [ROW.split(";")] * 2


def test_a_file_that_is_plain_ascii_for_long_and_then_western_is_western() -> None:
    detector = EncodingDetector()
    head = b"company,model,year,fuel,transmission,km_driven\n" + b"a,b,2020,Diesel,Manual,1\n" * 9
    detector.feed(head)
    detector.feed("Citroën,C3,2020,Diesel,Manual,1\n".encode("cp1252"))
    assert detect_dialect(head, detector, BatchOptions(), whole=False).encoding == "cp1252"


def test_a_file_that_changes_encoding_half_way_loses_only_the_rows_in_question() -> None:
    data = "a,é\nb,ç\n".encode() + "c,é\n".encode("cp1252") + b"d,e\n"
    detector = EncodingDetector()
    detector.feed(data)
    assert detector.finding.value == "utf-8"
    read = rows_of(data)
    assert [row.fault for row in read] == [None, None, "unreadable-text", None]
    assert read[2].cells == ["c", "\ufffd"]


def test_options_override_what_would_be_found_out() -> None:
    data = f"{HEADER}\n{ROW}\n".encode("iso8859-15")
    dialect = detect_all(data, encoding="iso8859-15", delimiter=";", decimal=".")
    assert (dialect.encoding, dialect.delimiter, dialect.decimal) == ("iso8859-15", ";", ".")


@pytest.mark.parametrize(
    ("cells", "decimal"), [("4,5", ","), ("4.5", "."), ("4", "auto"), ("4.5;4,5", "auto")]
)
def test_the_decimal_sign_is_the_one_that_the_numbers_prove(cells: str, decimal: str) -> None:
    rows = "".join(f"{ROW};{cell}\n" for cell in cells.split(";"))
    assert detect_all(f"{HEADER};Cylindrée\n{rows}".encode()).decimal == decimal


@pytest.mark.parametrize(
    ("first", "decimal"), [("14.06.2016", "auto"), ("06.2016", "auto"), ("2016.0", ".")]
)
def test_the_points_of_dates_prove_no_decimal_sign(first: str, decimal: str) -> None:
    text = f"Hersteller;Modell;Erstzulassung;Laufleistung\nSeat;Ibiza;{first};131.000\n"
    assert detect_all(text.encode()).decimal == decimal


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (b"\n\n \n", "empty-file"),
        (b" ;;\n; ;\n", "empty-file"),
        (b"\n\r\n", "empty-file"),
        (f"{HEADER}\n".encode(), "no-rows"),
        (f"{HEADER}\n;;;;;\n".encode(), "no-rows"),
        (b"\x00\x01\x02\x00\x00abc" * 20, "binary-file"),
        ("ماركة,موديل\n1,2\n".encode(), "missing-column"),
        (b"a" * 1000, "missing-column"),
        (f"{HEADER}\n{ROW}\n".encode() + f"{HEADER}\n{ROW}\n".encode("utf-16"), "binary-file"),
    ],
)
def test_what_is_no_table_of_cars_is_refused_with_a_reason(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_a_file_whose_first_line_does_not_end_is_none() -> None:
    detector = EncodingDetector()
    detector.feed(b"a" * HEAD_BYTES)
    with pytest.raises(UnreadableUpload) as refused:
        detect_dialect(b"a" * HEAD_BYTES, detector, BatchOptions(), whole=False)
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == ("/line/1", "line-too-long")


def test_an_unknown_key_column_is_refused() -> None:
    assert refusal(f"{HEADER}\n{ROW}\n".encode(), key_column="ref") == "unknown-key-column"
    assert key_index(("Réf.", "x"), "ref") == 0


def test_quotes_may_hold_line_ends_and_lines_are_counted_as_in_an_editor() -> None:
    read = rows_of(b'a,"1\r\n2\n3",c\r\nd,e,f\rg,h,i\n', 3)
    assert [(row.line, row.cells) for row in read] == [
        (1, ["a", "1\r\n2\n3", "c"]),
        (4, ["d", "e", "f"]),
        (5, ["g", "h", "i"]),
    ]


def test_an_open_quote_costs_its_own_line_only() -> None:
    read = rows_of(b'a,"b,c\nd,e,f\ng,h,i\n', 3)
    assert [(row.line, row.fault) for row in read] == [(1, "open-quote"), (2, None), (3, None)]
    assert read[0].cells == ["a", '"b', "c"]


def test_an_open_quote_far_from_the_end_costs_its_own_line_only() -> None:
    data = b'a,"b,c\n' + b"d,e,f\n" * 50_000
    read = rows_of(data, 3)
    assert [row.fault for row in read[:3]] == ["open-quote", None, None]
    assert len(read) == 50_001
    assert read[-1].line == 50_001


def test_a_cell_that_is_too_long_costs_its_row_only() -> None:
    read = rows_of(b"a,b\n" + b"x" * 150_000 + b",y\nc,d\n", 2)
    assert [row.fault for row in read] == [None, "cell-too-long", None]
    assert len(read[1].cells[0]) == 100_000


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(UnreadableUpload) as refused:
        rows_of(b"a,b\n" + b"x" * 4_000_000)
    assert refused.value.problems[0].code == "line-too-long"
    assert refused.value.problems[0].params["line"] == 2


def test_ragged_rows_are_marked_and_surplus_empty_cells_are_not() -> None:
    read = rows_of(b"1,2,3\n1,2\n1,2,3,4\n1,2,3,,\n", 3)
    faults = [row.fault for row in read]
    assert faults == [None, "wrong-cell-count", "wrong-cell-count", None]


def test_lines_without_any_value_are_no_rows() -> None:
    assert [row.line for row in rows_of(b"\n1,2\n,\n\r\n3,4\n\n", 2)] == [2, 5]


def test_nul_bytes_cost_the_row_they_stand_in() -> None:
    assert [row.fault for row in rows_of(b"1,2\n3,\x004\n5,6\n", 2)] == [
        None, "unreadable-text", None,
    ]  # fmt: skip


CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=8
)


@settings(max_examples=200, deadline=None)
@given(
    table=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=30),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-16-le"]),
    block=st.integers(min_value=2, max_value=60),
)
def test_reading_can_start_after_any_row(
    table: list[list[str]], line_end: str, encoding: str, block: int
) -> None:
    """Whatever the size of the blocks, the rows after a position are those that were left."""
    text = io.StringIO()
    csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(table)
    data = text.getvalue().encode(encoding)
    expected = [row for row in table if any(row)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "BLOCK_BYTES", block)
        reader = CsvReader(io.BytesIO(data), encoding, ",", width=3)
        places = [START]
        rows = []
        for row in reader:
            rows.append(row)
            places.append(reader.position)
        assert [row.cells for row in rows] == expected
        assert all(one.offset < other.offset for one, other in pairwise(places[1:]))
        for done, place in enumerate(places):
            rest = CsvReader(io.BytesIO(data), encoding, ",", width=3, start=place)
            assert list(rest) == rows[done:]


@pytest.mark.parametrize(
    ("above", "count"),
    [("sep=;\n", 1), ("Stock de mars;;;\n;;;;;\nSociété A, Casablanca\n", 2), ("", 0)],
)
@pytest.mark.parametrize("codec", ["utf-8-sig", "cp1252", "utf-16"])
def test_rows_above_the_header_are_left_out_and_named(above: str, count: int, codec: str) -> None:
    data = f"{above}{HEADER}\n{ROW}\n{ROW}\n".encode(codec)
    dialect = detect_all(data)
    assert (dialect.titles, dialect.delimiter) == (count, ";")
    assert dialect.header == tuple(HEADER.split(";"))
    assert [notice.code for notice in dialect.notices] == ["titles-left-out"] * bool(count)
    read = list(CsvReader.of(io.BytesIO(data), dialect))
    assert [row.cells for row in read] == [ROW.split(";")] * 2
    assert read[0].line == above.count("\n") + 2


def test_a_row_that_happens_to_hold_a_name_is_no_header() -> None:
    header = "1;2;3;4;5;6;7"
    places = ("company", "model", "year", "fuel", "transmission", "km_driven", "owner")
    columns = tuple((field, f"#{place}") for place, field in enumerate(places, 1))
    dialect = detect_all(f"{header}\n{ROW};Première main\n".encode(), columns=columns)
    assert (dialect.titles, dialect.header) == (0, tuple(header.split(";")))


@pytest.mark.parametrize(
    ("columns", "index"),
    [
        ((), 6),
        ((("asking_price_mad", "Prix net"),), 7),
        ((("asking_price_mad", "#8"),), 7),
        ((("asking_price_mad", ""),), None),
    ],
)
def test_the_column_of_asking_prices_is_found_and_overridden(
    columns: tuple[tuple[str, str], ...], index: int | None
) -> None:
    data = f"{HEADER};Prix;Prix net\n{ROW};90 000;85 000\n".encode()
    dialect = detect_all(data, columns=columns)
    assert dialect.asking_index == index
    assert "asking_price_mad" not in dialect.columns
    assert Dialect.from_json(dialect.to_json()) == dialect


def test_the_usual_english_headers_are_known() -> None:
    header = "brand,model,Year,Fuel type,Gearbox,Mileage (km),Engine size"
    dialect = detect_all(f"{header}\nDacia,Logan,2018,Diesel,Manual,120000,1461\n".encode())
    assert dialect.column_indexes["engine_cc"] == header.split(",").index("Engine size")
