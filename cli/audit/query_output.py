"""Writes the records or groups that a query has found."""

import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from shared.audit.columns.log import LogColumns
from shared.audit.columns.schema import no_records
from shared.blobs.local import temporary_file

BLOCK_ROWS = 10_000
_WHOLE = ("year", "km_driven")
_GAP = "  "


class Counted:
    """Tables, one at least, and how many records they had."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = tables
        self.records = 0

    def __iter__(self) -> Iterator[pa.Table]:
        """The tables; without any, one that has the columns."""
        for table in self._tables:
            self.records += len(table)
            yield table
        if not self.records:
            yield no_records()


def newest(tables: Iterable[pa.Table], limit: int) -> pa.Table:
    """The records with the latest times, the latest first."""
    kept: pa.Table | None = None
    for table in tables:
        both = table if kept is None else pa.concat_tables([kept, table]).unify_dictionaries()
        kept = both.sort_by([("at", "descending")]).slice(0, limit)
    return no_records() if kept is None else kept


def write(tables: Iterator[pa.Table], options: dict[str, Any], shown: Sequence[str] = ()) -> None:
    """Write tables in the form of the options.

    Args:
        tables: all with the same columns.
        options: of the command.
        shown: the columns of a table for people; none: all.
    """
    plain = map(_plain, tables)
    if options["parquet"]:
        _write_parquet(options["parquet"], plain)
    elif options["as_csv"]:
        _write_csv(plain)
    elif options["as_json"]:
        for table in plain:
            for batch in table.to_batches(BLOCK_ROWS):
                _echo_json_lines(batch.to_pylist())
    else:
        _write_table([row for table in plain for row in table.to_pylist()], shown)


def write_lines(tables: Iterable[pa.Table], log: LogColumns) -> None:
    """Write the lines of the log from which the records were read."""
    for table in tables:
        if len(table):
            sys.stdout.buffer.writelines(log.lines(table))


def _plain(table: pa.Table) -> pa.Table:
    """The table with texts, UTC times and whole numbers, as other programs expect them."""
    for at, name in enumerate(table.column_names):
        column = table[name]
        if name == "at":
            microseconds = pc.round(pc.multiply(column, 1e6)).cast(pa.int64())
            column = microseconds.cast(pa.timestamp("us", "UTC"))
        elif name in _WHOLE and pc.all(pc.equal(pc.floor(column), column)).as_py() is not False:
            column = column.cast(pa.int64())
        elif pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        table = table.set_column(at, name, column)
    return table


def _write_parquet(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables, pa.table({}))
    with temporary_file(path) as (temporary, file):
        with parquet.ParquetWriter(file, first.schema, compression="zstd") as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table.cast(first.schema))
        temporary.replace(path)


def _write_csv(tables: Iterator[pa.Table]) -> None:
    output = sys.stdout.buffer
    for number, table in enumerate(tables):
        csv.write_csv(table, output, csv.WriteOptions(include_header=number == 0))


def _echo_json_lines(records: Sequence[dict[str, Any]]) -> None:
    def text(*, ascii_only: bool) -> str:
        lines = (json.dumps(each, ensure_ascii=ascii_only, default=_as_text) for each in records)
        return "\n".join(lines)

    found = text(ascii_only=False)
    try:
        found.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        found = text(ascii_only=True)
    if found:
        click.echo(found)


def _as_text(value: dt.datetime) -> str:
    return value.isoformat(timespec="milliseconds")


def _write_table(records: Sequence[dict[str, Any]], shown: Sequence[str]) -> None:
    if not records:
        return
    names = list(shown or records[0])
    rows = [names, *([_cell(name, record[name]) for name in names] for record in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(_GAP.join(cells).rstrip())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.0f}" if name in _WHOLE else f"{value:.2f}"
    return str(value)
