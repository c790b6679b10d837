"""A chunk of the general engine: rows of a file as cells, by column."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgpack

from shared.domain.table import NUMBERED_DELIMITER, Dialect
from shared.tabular.csv_reader import FIELD_MAX_CHARS, SourceRow
from worker.batches.engine import EngineName

CHUNK_MAX_CHARS = 8_000_000
"""A chunk of long rows ends early, so that the worker's memory stays bounded."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellChunk:
    """Consecutive rows of a file."""

    engine: ClassVar = EngineName.GENERAL
    first_row: int
    """Number of its first row in the file, from 1, without the header."""
    lines: list[int]
    """Line of the file on which each row begins, from 1."""
    columns: list[list[str]]
    """Cells by column, each as long as `lines`."""
    faults: dict[int, tuple[str, int]]
    """Unreadable rows by index: the message code, and the number of cells."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def pack(self) -> bytes:
        """Encode the chunk for its blob."""
        faults = [[index, *fault] for index, fault in self.faults.items()]
        packed: bytes = msgpack.packb([self.first_row, self.lines, self.columns, faults])
        return packed

    @classmethod
    def from_packed(cls, members: Sequence[Any]) -> "CellChunk":
        """Rebuild the chunk from the members that `pack` encodes."""
        first_row, lines, columns, faults, *_ = members
        return cls(
            first_row=first_row,
            lines=lines,
            columns=columns,
            faults={index: (code, cells) for index, code, cells, *_ in faults},
        )


def cut(
    rows: Iterator[SourceRow], dialect: Dialect, *, first_row: int, max_rows: int
) -> CellChunk | None:
    """The next chunk of a file's rows; None at the end.

    Every row becomes as wide as the header: a short row is filled up, and the surplus cells of a
    long row are joined into its last cell, up to the length limit of a cell, so that the results
    repeat them.

    Args:
        rows: of the file.
        dialect: of the file.
        first_row: number of the first row, from 1.
        max_rows: maximum rows of the chunk.
    """
    width, delimiter = len(dialect.header), dialect.delimiter or NUMBERED_DELIMITER
    lines: list[int] = []
    table: list[list[str]] = []
    faults: dict[int, tuple[str, int]] = {}
    chars = 0
    for line, cells, fault in rows:
        if fault is not None:
            faults[len(lines)] = (fault, len(cells))
        lines.append(line)
        table.append(cells if len(cells) == width else _fit(cells, width, delimiter))
        chars += sum(map(len, cells))
        if len(lines) >= max_rows or chars >= CHUNK_MAX_CHARS:
            break
    if not lines:
        return None
    columns: list[Any] = list(map(list, zip(*table, strict=True)))
    return CellChunk(first_row=first_row, lines=lines, columns=columns, faults=faults)


def _fit(cells: list[str], width: int, delimiter: str) -> list[str]:
    if len(cells) < width:
        return cells + [""] * (width - len(cells))
    return [*cells[: width - 1], delimiter.join(cells[width - 1 :])[:FIELD_MAX_CHARS]]
