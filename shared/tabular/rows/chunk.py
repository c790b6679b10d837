"""A chunk of the general engine: rows of a file as cells, by column."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import msgpack

from shared.domain.table import NUMBERED_DELIMITER, Dialect, FileKind
from shared.fields.kinds.text import WRONG_TYPE
from shared.tabular.csv_reader import FIELD_MAX_CHARS, REPEATED_HEADER, SourceRow
from shared.tabular.rows.inner_headers import InnerHeaders

CHUNK_MAX_CHARS = 8_000_000
"""A chunk of long rows ends early, so that the worker's memory stays bounded."""
_MAY_BE_HEADERS = frozenset({None, REPEATED_HEADER, "wrong-cell-count"})
"""Faults of rows that may be headers or rows of units."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellChunk:
    """Consecutive rows of a file."""

    engine: ClassVar = "general"
    """Name of the chunk engine that values it."""
    first_row: int
    """Number of its first row in the file, from 1, without the header."""
    lines: list[int]
    """Line of the file on which each row begins, from 1."""
    columns: list[list[str]]
    """Cells by column, each as long as `lines`."""
    faults: dict[int, tuple[str, int]]
    """Unreadable rows by index: the message code, and the number of cells."""
    units: list[tuple[int, Mapping[str, str]]] = dataclasses.field(default_factory=list)
    """Index of a row, and the units by field that hold from there on, where they are not those of
    the file: what headers and rows of units among the rows state."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def without_marks(self, dialect: Dialect) -> Self:
        """The chunk without the marks of JSON values of another type; see `WRONG_TYPE`."""
        if dialect.kind is not FileKind.JSON:
            return self
        columns = [[cell.removesuffix(WRONG_TYPE) for cell in column] for column in self.columns]
        return dataclasses.replace(self, columns=columns)

    def pack(self) -> bytes:
        """Encode the chunk for its blob."""
        faults = [[index, *fault] for index, fault in self.faults.items()]
        members = [self.first_row, self.lines, self.columns, faults, self.units]
        packed: bytes = msgpack.packb(members)
        return packed

    @classmethod
    def from_packed(cls, members: Sequence[Any]) -> "CellChunk":
        """Rebuild the chunk from the members that `pack` encodes."""
        first_row, lines, columns, faults, *more = members
        return cls(
            first_row=first_row,
            lines=lines,
            columns=columns,
            faults={index: (code, cells) for index, code, cells, *_ in faults},
            units=[(row, units) for row, units, *_ in (more[0] if more else ())],
        )


def cut(
    rows: Iterator[SourceRow],
    dialect: Dialect,
    *,
    first_row: int,
    max_rows: int,
    inner: InnerHeaders | None = None,
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
        inner: recognises headers among the rows; None: there are none.
    """
    width, delimiter = len(dialect.header), dialect.delimiter or NUMBERED_DELIMITER
    lines: list[int] = []
    table: list[list[str]] = []
    faults: dict[int, tuple[str, int]] = {}
    chars = 0
    units: list[tuple[int, Mapping[str, str]]] = []
    if inner is not None and inner.state.units:
        units.append((0, inner.state.units))
    for line, given, given_fault in rows:
        cells = given if len(given) == width else _fit(given, width, delimiter)
        fault = given_fault
        if inner is not None and fault in _MAY_BE_HEADERS:
            before = inner.state.units
            fault = inner.read(cells) or fault
            if inner.state.units != before:
                units.append((len(lines), inner.state.units))
        if fault is not None:
            faults[len(lines)] = (fault, len(given))
        lines.append(line)
        table.append(cells)
        chars += sum(map(len, cells))
        if len(lines) >= max_rows or chars >= CHUNK_MAX_CHARS:
            break
    if not lines:
        return None
    columns: list[Any] = list(map(list, zip(*table, strict=True)))
    return CellChunk(first_row=first_row, lines=lines, columns=columns, faults=faults, units=units)


def _fit(cells: list[str], width: int, delimiter: str) -> list[str]:
    if len(cells) < width:
        return cells + [""] * (width - len(cells))
    return [*cells[: width - 1], delimiter.join(cells[width - 1 :])[:FIELD_MAX_CHARS]]
