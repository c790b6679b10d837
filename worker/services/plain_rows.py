"""Plain rows, read by compiled loops: where they stand, and what their cells mean."""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.coded_columns import CodedColumn, Column
from shared.domain.batch import BatchManifest, kept_columns
from shared.schemas.asking_price import ASKING_PRICE, asking_column
from shared.schemas.csv_cells import escape_formula
from worker.runtime import plain_read_kernels
from worker.runtime.plain_signs import LINE_MARK, SEPARATOR
from worker.services.plain_cells import IS_NUMBER, NUMBERS, SLOTS, CellTable
from worker.services.plain_chunk import PlainChunk
from worker.services.plain_texts import readable, signs

RISKY_MOST = 4
"""Cells that a spreadsheet might run, by row: telephone numbers, lists with dashes."""

_MARKS = (bytes([SEPARATOR]), bytes([LINE_MARK]))
"""No text of a person's has them."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlainRows:
    """Rows that were read, and what their cells mean; n rows."""

    chunk: PlainChunk
    text: bytes
    """The chunk's text without quotes around cells; see `plain_read_kernels.unquote`."""
    delimiter: int
    """The sign between the cells in `text`."""
    places: NDArray[np.int64]
    """(n, 3) line in the chunk; first byte in `text`, and the byte after the last cell."""
    codes: NDArray[np.int32]
    """(fields, n) code of each cell; -1: it is a plain number."""
    numbers: NDArray[np.float64]
    """(fields, n) of the fields that are numbers; NaN: no value."""
    columns: Mapping[str, int]
    """Column of each field that the file has."""
    is_good: NDArray[np.bool_]
    """(n,) whether no cell breaks a rule."""
    escapes: NDArray[np.int64]
    """Where the cells begin in `text` that a spreadsheet would run."""
    asking_mad: NDArray[np.float64] | None
    """(n,) what is asked, NaN where nothing is; None if the file does not say."""

    @property
    def good(self) -> int:
        """How many rows are in order."""
        return int(np.count_nonzero(self.is_good))

    def cars(self, table: CellTable) -> dict[str, Column]:
        """The good rows as columns for the model."""
        found: dict[str, Column] = {}
        for name in self.columns:
            slot = SLOTS[name]
            if name in NUMBERS:
                found[name] = self.numbers[slot][self.is_good]
            else:
                codes = self.codes[slot][self.is_good].astype(np.int64)
                found[name] = CodedColumn(table.values, codes)
        return found


def read_rows(chunk: PlainChunk, manifest: BatchManifest, table: CellTable) -> PlainRows | None:
    """Read and validate rows; None if they need the general reader."""
    header, columns = manifest.dialect.header, manifest.dialect.column_of
    if len(kept_columns(header)) != len(header):
        return None
    bare = _without_quotes(chunk.text, manifest.dialect.delimiter)
    if bare is None:
        return None
    text, delimiter = bare
    lines = text.count(b"\n")
    slots = np.full(len(header), -1, dtype=np.int64)
    for name, index in columns.items():
        slots[index] = SLOTS[name]
    asking = asking_column(manifest.dialect)
    if asking is not None:
        slots[asking] = SLOTS[ASKING_PRICE]
    places = np.empty((lines, 3), dtype=np.int64)
    codes = np.full((len(SLOTS), lines), -1, dtype=np.int32)
    numbers = np.zeros((len(SLOTS), lines))
    risky, count = np.empty((RISKY_MOST * lines, 2), dtype=np.int64), np.zeros(1, dtype=np.int64)
    table.make_room(lines * (len(columns) + 1), len(text))
    rows = plain_read_kernels.read_rows(
        signs(text), delimiter, slots, IS_NUMBER, table.limits, table.secret,
        table.slots, table.keys, table.arena, table.filled, places, codes, numbers, risky, count,
    )  # fmt: skip
    table.learn()
    if rows == plain_read_kernels.CROWDED:
        table.start_anew()
    if rows != len(chunk):
        return None
    codes, numbers = codes[:, :rows], numbers[:, :rows]
    used = [SLOTS[name] for name in columns]
    is_good = np.logical_not(table.refused(codes[used]).any(axis=0))
    for name in {*columns, ASKING_PRICE} & NUMBERS.keys():
        coded = codes[SLOTS[name]] >= 0
        numbers[SLOTS[name]][coded] = table.numbers[codes[SLOTS[name]][coded]]
    return PlainRows(
        chunk=chunk,
        text=text,
        delimiter=delimiter,
        places=places[:rows],
        codes=np.ascontiguousarray(codes),
        numbers=np.ascontiguousarray(numbers),
        columns=columns,
        is_good=is_good,
        escapes=_escapes(text, risky[: count[0]]),
        asking_mad=None if asking is None else numbers[SLOTS[ASKING_PRICE]].copy(),
    )


def _escapes(text: bytes, risky: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where those cells begin that get an apostrophe; numbers with a sign get none."""
    starts = [start for start, stop in risky.tolist() if _is_formula(text[start:stop])]
    return np.array(starts, dtype=np.int64)


@lru_cache(maxsize=4096)
def _is_formula(cell: bytes) -> bool:
    text = readable(cell)
    return escape_formula(text) != text


def _without_quotes(text: bytes, delimiter: str) -> tuple[bytes, int] | None:
    """Rows without quotes around their cells, and the sign between these; None if that is lost."""
    if any(mark in text for mark in _MARKS):  # faster than one pattern for both
        return None
    if b'"' not in text:
        return text, ord(delimiter)
    out = np.empty(len(text), dtype=np.uint8)
    size = plain_read_kernels.unquote(signs(text), ord(delimiter), out)
    return None if size < 0 else (out[:size].tobytes(), SEPARATOR)
