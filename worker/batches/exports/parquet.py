"""Writes a result table as Parquet: typed columns, row groups of bounded size."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from shared.blobs.stores import BlobWriter
from worker.batches.exports.table import StoredResults

GROUP_ROWS = 50_000
GROUP_CHARS = 32_000_000
"""A row group ends at whichever of the two comes first."""


class CountingSink:
    """Adapts a blob to the file interface of pyarrow, which asks for the position.

    Args:
        target: the blob.
    """

    closed = False

    def __init__(self, target: BlobWriter) -> None:
        self._target = target
        self._position = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._target.write(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._position

    def flush(self) -> None:
        """Does nothing: the blob store syncs the blob."""

    def close(self) -> None:
        """Does nothing: the caller closes the blob."""


def write_parquet(table: StoredResults, target: BlobWriter) -> None:
    """Write the table: the file's columns are texts, added numbers are doubles or null."""
    numbers = frozenset(table.numbers)
    schema = pa.schema(
        [
            (name, pa.float64() if index in numbers else pa.string())
            for index, name in enumerate(table.header)
        ]
    )
    sink = pa.PythonFile(CountingSink(target), mode="w")
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in _groups(table.rows):
            writer.write_table(_group(rows, table, schema), row_group_size=len(rows))


def _groups(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    group: list[list[str]] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += sum(map(len, row))
        if len(group) == GROUP_ROWS or chars > GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _group(rows: list[list[str]], table: StoredResults, schema: pa.Schema) -> pa.Table:
    columns: list[Any] = []
    for index, cells in enumerate(zip(*rows, strict=True)):
        values: Any = cells
        if index in table.numbers:
            values = [float(cell) if cell else None for cell in cells]
        elif index in table.texts:
            values = [cell or None for cell in cells]
        columns.append(pa.array(values, schema.field(index).type))
    return pa.Table.from_arrays(columns, schema=schema)
