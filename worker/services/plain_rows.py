"""Plain rows, read by compiled loops: where they stand, and what their cells mean."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data.coded_columns import CodedColumn, Column
from shared.domain.batch import BatchManifest, kept_columns
from shared.schemas.asking_price import ASKING_PRICE, asking_column
from worker.runtime import plain_read_kernels
from worker.services.plain_cells import IS_NUMBER, NUMBERS, SLOTS, CellTable
from worker.services.plain_chunk import PlainChunk
from worker.services.plain_texts import signs


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlainRows:
    """Rows that were read, and what their cells mean; n rows."""

    chunk: PlainChunk
    places: NDArray[np.int64]
    """(n, 3) line in the chunk, first byte, byte after the last cell."""
    codes: NDArray[np.int32]
    """(fields, n) code of each cell; -1: it is a plain number."""
    numbers: NDArray[np.float64]
    """(fields, n) of the fields that are numbers; NaN: no value."""
    columns: Mapping[str, int]
    """Column of each field that the file has."""
    is_good: NDArray[np.bool_]
    """(n,) whether no cell breaks a rule."""
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
    raw = signs(chunk.text)
    lines = chunk.text.count(b"\n")
    slots = np.full(len(header), -1, dtype=np.int64)
    for name, index in columns.items():
        slots[index] = SLOTS[name]
    asking = asking_column(manifest.dialect)
    if asking is not None:
        slots[asking] = SLOTS[ASKING_PRICE]
    places = np.empty((lines, 3), dtype=np.int64)
    codes = np.full((len(SLOTS), lines), -1, dtype=np.int32)
    numbers = np.zeros((len(SLOTS), lines))
    table.make_room(lines * (len(columns) + 1), len(chunk.text))
    rows = plain_read_kernels.read_rows(
        raw, ord(manifest.dialect.delimiter), slots, IS_NUMBER, table.limits, table.secret,
        table.slots, table.keys, table.arena, table.filled, places, codes, numbers,
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
        places=places[:rows],
        codes=np.ascontiguousarray(codes),
        numbers=np.ascontiguousarray(numbers),
        columns=columns,
        is_good=is_good,
        asking_mad=None if asking is None else numbers[SLOTS[ASKING_PRICE]].copy(),
    )
