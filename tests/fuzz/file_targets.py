"""Fuzz targets: uploaded tables."""

import contextlib
import csv
import io
import zipfile
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from shared.domain.batch import BatchOptions
from shared.domain.errors import DomainError
from shared.domain.table import FileKind
from shared.fields.columns import ColumnValidator
from shared.tabular.csv_reader import CsvReader
from shared.tabular.dialect import detect_dialect
from shared.tabular.encoding import EncodingDetector
from shared.tabular.files.file_kinds import check_readable, detect_kind
from shared.tabular.tables.child import convert_workbook
from shared.tabular.tables.json_rows import convert_json
from shared.tabular.tables.parquet import convert_parquet
from shared.tabular.tables.rows import RowWriter
from tests.fuzz.inputs import (
    CSV_FILE,
    SCALARS,
    TEXTS,
    WORDS,
    altered_bytes,
    json_bytes,
    parquet_file,
    workbook_file,
)
from tests.fuzz.target import target

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "cp1256", "cp850", "mac-roman")
RECORDS = [
    {"Marque": "Dacia", "Modèle": "Logan", "Année": 2018, "prix": {"valeur": 5, "devise": "MAD"}},
    {"Marque": "VW", "Modèle": "Golf", "Année": None, "options": ["a", {"b": 1}]},
]
MAX_BYTES = 1_000_000


def _csv_texts() -> st.SearchStrategy[bytes]:
    head = st.sampled_from(
        ["Marque", "Modèle", "Année", "km", "prix", "Carburant", "", "puissance"]
    )
    header = st.lists(head | TEXTS, min_size=1, max_size=7)
    rows = st.lists(st.lists(TEXTS, max_size=8), max_size=5)
    return st.builds(
        lambda names, cells, delimiter, end, encoding: end.join(
            delimiter.join(row) for row in [names, *cells]
        ).encode(encoding, "replace"),
        header,
        rows,
        st.sampled_from([";", ",", "\t", "|"]),
        st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
        st.sampled_from(ENCODINGS),
    )


@target(
    _csv_texts() | altered_bytes([CSV_FILE], [word.encode() for word in WORDS if len(word) < 99])
)
def csv_file(data: bytes) -> None:
    """A text file: its kind, its dialect, and its rows."""
    try:
        if detect_kind(data) is not FileKind.CSV:
            return
        detector = EncodingDetector()
        detector.feed(data)
        for whole in (True, False):
            dialect = detect_dialect(data, detector, BatchOptions(), whole=whole)
        rows = list(CsvReader.of(io.BytesIO(data), dialect))
    except DomainError:
        return
    validator = ColumnValidator(dialect.decimal, dialect.units)
    width = len(dialect.header)
    cells = [(*row.cells, *[""] * width)[:width] for row in rows]
    columns = {name: [row[at] for row in cells] for name, at in dialect.column_indexes.items()}
    validator.validate(columns)


def _workbooks() -> st.SearchStrategy[bytes]:
    """Workbooks with one altered part."""
    with zipfile.ZipFile(io.BytesIO(workbook_file())) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    words = [
        b"<",
        b">",
        b'"',
        b"&#0;",
        b"&lt;",
        b"<c",
        b"</row>",
        b"<row",
        b't="s"',
        b"r=",
        b"A1:XFD9",
    ]
    words += [b"<v>", b"</v>", b"1e999", b"-1", b"99999999999", b"s=", b"<mergeCell ref=", b"]]>"]

    def altered(name: str) -> st.SearchStrategy[bytes]:
        return altered_bytes([parts[name]], words).map(
            lambda content: zipped({**parts, name: content})
        )

    return st.sampled_from(sorted(parts)).flatmap(altered)


def zipped(parts: dict[str, bytes]) -> bytes:
    """The parts of a workbook as a file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return file.getvalue()


@target(_workbooks() | altered_bytes([workbook_file()]))
def workbook(data: bytes) -> None:
    """A workbook: its package and its first sheet."""
    with contextlib.suppress(DomainError):
        check_readable(FileKind.XLSX, io.BytesIO(data), MAX_BYTES)
        read_table(data, FileKind.XLSX)


def _parquet_files() -> st.SearchStrategy[bytes]:
    types = st.sampled_from(
        [
            (pa.string(), ["Dacia", None]), (pa.int64(), [2018, -5]),
            (pa.float32(), [float("inf"), float("nan")]), (pa.bool_(), [True, None]),
            (pa.timestamp("ns", "UTC"), [2**62, -(2**62)]), (pa.date64(), [86_400_000 * 10**7, 0]),
            (pa.decimal128(38, 10), [1, None]), (pa.list_(pa.int8()), [[1], []]),
            (pa.struct([("a", pa.int8())]), [{"a": 1}, None]), (pa.binary(), [b"\xff", b"2018"]),
            (pa.time64("us"), [5, 0]), (pa.duration("s"), [2**40, -1]), (pa.null(), [None, None]),
            (pa.map_(pa.string(), pa.int8()), [[("a", 1)], []]),
        ]
    )  # fmt: skip
    names = st.sampled_from(["Marque", "Modèle", "Année", "km", "Prix", ""]) | st.text(max_size=5)
    return st.lists(st.tuples(names, types), min_size=1, max_size=5).map(_parquet)


def _parquet(columns: list[tuple[str, tuple[Any, list[Any]]]]) -> bytes:
    arrays = [pa.array(values, kind) for _, (kind, values) in columns]
    names = [name.encode("utf-8", "replace").decode() for name, _ in columns]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), file)
    return file.getvalue()


@target(_parquet_files() | altered_bytes([parquet_file()]))
def parquet(data: bytes) -> None:
    """A Parquet file."""
    with contextlib.suppress(DomainError):
        check_readable(FileKind.PARQUET, io.BytesIO(data), MAX_BYTES)
        read_table(data, FileKind.PARQUET)


@target(
    json_bytes(RECORDS)
    | json_bytes({"data": RECORDS})
    | json_bytes([["Marque", "Modèle"], ["Kia", "Picanto"]])
    | json_bytes({"columns": ["Marque"], "data": [["Kia"]]})
    | st.lists(SCALARS, max_size=3).map(lambda each: orjson.dumps(each, default=str))
    | altered_bytes(
        [orjson.dumps(RECORDS), b"\n".join(map(orjson.dumps, RECORDS))],
        [b"{", b"}", b"[", b"]", b",", b"null", b"1e400", b"\\ud800", b"//", b"NaN"],
    )
)
def json_table(data: bytes) -> None:
    """A JSON array of records, or JSON Lines."""
    with contextlib.suppress(DomainError):
        check_readable(FileKind.JSON, io.BytesIO(data), MAX_BYTES)
        read_table(data, FileKind.JSON)


def read_table(data: bytes, kind: FileKind) -> None:
    """Convert a table as the child process does; the result is numbered CSV."""
    target_file = io.BytesIO()
    writer = RowWriter(target_file, len(data), MAX_BYTES)
    source = io.BytesIO(data)
    if kind is FileKind.PARQUET:
        convert_parquet(source, writer)
    elif kind is FileKind.JSON:
        convert_json(source, writer)
    else:
        convert_workbook({"sheet": None, "headers": ()}, source, writer)
    rows = list(
        csv.reader(io.StringIO(target_file.getvalue().decode("utf-8", "replace"), newline=""))
    )
    assert len({len(row) for row in rows}) <= 1
