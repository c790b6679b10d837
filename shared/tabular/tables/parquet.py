"""Converts a Parquet file to numbered CSV, in batches of bounded size."""

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.tabular.column_names import field_for_header
from shared.tabular.csv_reader import FIELD_MAX_CHARS, replace_unreadable
from shared.tabular.rows.text import NUMBER_COLUMN
from shared.tabular.tables.rows import RowWriter, truncate_cell

BATCH_MAX_BYTES = 16_000_000
BATCH_MAX_ROWS = 8_192
READ_AHEAD_BYTES = 1 << 20


def convert_parquet(stream: BinaryIO, writer: RowWriter) -> int:
    """Write the rows of a Parquet file as numbered CSV; return their number.

    Raises:
        UnreadableUpload: it is damaged, or a column of a field has nested values.
    """
    with _refusals():
        file = pq.ParquetFile(
            stream, pre_buffer=False, buffer_size=READ_AHEAD_BYTES, memory_map=False
        )
        schema = file.schema_arrow
        _refuse_nested(schema)
        writer.header(schema.names)
        writer.flush()
        rows = 0
        batch_rows = min(_batch_rows(file), writer.max_rows or BATCH_MAX_ROWS)
        for batch in file.iter_batches(batch_size=batch_rows, use_threads=False):
            writer.block(_lines(batch, rows + 1))
            rows += batch.num_rows
            if writer.max_rows is not None and rows >= writer.max_rows:
                break
        return rows


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Translate errors of pyarrow about a damaged file."""
    try:
        yield
    except (MemoryError, pa.ArrowMemoryError):
        raise UnreadableUpload([FieldProblem("/file", "table-too-large")]) from None
    except (pa.ArrowException, OSError, ValueError, NotImplementedError):
        raise UnreadableUpload([FieldProblem("/file", "wrong-parquet")]) from None


def _refuse_nested(schema: pa.Schema) -> None:
    problems = [
        FieldProblem(f"/header/{index}", "nested-column", column=field.name, type=str(field.type))
        for index, field in enumerate(schema)
        if pa.types.is_nested(_value_type(field.type)) and field_for_header(field.name) is not None
    ]
    if problems:
        raise UnreadableUpload(problems)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _batch_rows(file: pq.ParquetFile) -> int:
    """Rows per batch, from the sizes in the file's metadata."""
    meta = file.metadata
    size = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
    mean_bytes = max(1, size // max(1, meta.num_rows))
    return max(1, min(BATCH_MAX_ROWS, BATCH_MAX_BYTES // int(mean_bytes)))


def _lines(batch: pa.RecordBatch, first_number: int) -> bytes:
    """The rows as lines of CSV."""
    numbers = pa.array(range(first_number, first_number + batch.num_rows))
    fields = map(field_for_header, batch.schema.names)
    columns = [
        numbers,
        *(
            _as_strings(column) if field is not None else _any_as_strings(column)
            for field, column in zip(fields, batch.columns, strict=True)
        ),
    ]
    # Positions as names: the names of the file may repeat, and the header is written separately.
    names = [NUMBER_COLUMN, *map(str, range(batch.num_columns))]
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(
        pa.table(columns, names=names),
        sink,
        pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed"),
    )
    return bytes(sink.getvalue())


def _any_as_strings(column: Any) -> Any:
    """A column of no field as texts, of any type: it must not make a row unreadable."""
    kind = _value_type(column.type)
    if pa.types.is_nested(kind):
        texts = [None if cell is None else _json(cell) for cell in column.to_pylist()]
    elif _is_binary(kind):
        texts = [
            None if cell is None else replace_unreadable(cell.decode(errors="replace"))
            for cell in column.to_pylist()
        ]
    else:
        return _as_strings(column)
    return _truncate_cells(pc.fill_null(pa.array(texts, pa.large_string()), ""))


def _json(cell: Any) -> str:
    return orjson.dumps(cell, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _as_strings(column: Any) -> Any:
    """A column as texts, as a CSV of the same table would have them."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_strings(column.dictionary_decode())
    if pa.types.is_null(kind):
        return pa.array([""] * len(column), pa.string())
    if pa.types.is_floating(kind):
        texts = _numbers(column)
    elif pa.types.is_timestamp(kind):
        texts = pc.strftime(column, format="%Y-%m-%d %H:%M:%S")
        texts = pc.replace_substring_regex(texts, r"( 00:00:00)?(\.0+)?$", "")
    elif pa.types.is_decimal(kind):
        texts = pc.replace_substring_regex(column.cast(pa.string()), r"\.0+$", "")
    elif _is_binary(kind):
        # Not validated: undecodable bytes cost their row only, as in a CSV.
        texts = column.cast(pa.large_binary()).view(pa.large_string())
    else:
        texts = column.cast(pa.string())
    return _truncate_cells(pc.fill_null(texts, ""))


def _numbers(column: Any) -> Any:
    """Floating-point numbers; "nan" is no value."""
    texts = column.cast(pa.string())
    texts = pc.if_else(pc.is_nan(column), "", texts)
    # "25.125" could be a grouped 25,125; with one more zero it could not.
    return pc.replace_substring_regex(texts, r"^(-?\d+\.\d{3})$", r"\10")


def _is_binary(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary,
        )
    )  # fmt: skip


def _truncate_cells(texts: Any) -> Any:
    """Texts cut to a length that the reader reports as too long."""
    longest = pc.max(pc.binary_length(texts)).as_py() or 0
    if longest <= FIELD_MAX_CHARS:
        return texts
    cut = [
        text
        if len(text) <= FIELD_MAX_CHARS
        else truncate_cell(text.decode(errors="replace")).encode()
        for text in texts.cast(pa.large_binary()).to_pylist()
    ]
    return pa.array(cut, pa.large_binary()).view(pa.large_string())
