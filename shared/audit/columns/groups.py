"""Groups of records, and exact figures of each group."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shared.audit.columns.names import DAY, TEXTS
from shared.audit.columns.schema import with_dictionaries
from shared.domain.clock import DAY_S

MAX_TABLE = 1 << 22
"""Most combinations of values that are counted in a table; more are sorted."""
MAX_COMBINED = (1 << 63) - 1
"""Most combinations that have a number; of more, those that occur are numbered first."""

Numbers: TypeAlias = npt.NDArray[np.float64]
_Codes: TypeAlias = npt.NDArray[np.integer[Any]]


def _median(values: Numbers, starts: _Codes) -> Numbers:
    return np.array([np.median(part) for part in np.split(values, starts[1:])])


def _mean(values: Numbers, starts: _Codes) -> Numbers:
    counts = np.diff(np.append(starts, len(values)))
    means: Numbers = np.add.reduceat(values, starts) / counts
    return means


FIGURES: dict[str, Callable[[Numbers, _Codes], Numbers]] = {
    "median": _median,
    "mean": _mean,
    "min": np.minimum.reduceat,
    "max": np.maximum.reduceat,
    "sum": np.add.reduceat,
}


class Figure(NamedTuple):
    """A figure over a column of numbers."""

    name: str
    """Of `FIGURES`."""
    column: str

    @property
    def title(self) -> str:
        """Name of the column of the result."""
        return f"{self.name}_{self.column}"


def needed_columns(groups: Sequence[str], figures: Sequence[Figure]) -> list[str]:
    """The columns that have to be read; at least one, whose values are then counted."""
    names = ["at" if name == DAY else name for name in groups]
    return list(dict.fromkeys([*names, *(figure.column for figure in figures)])) or ["status"]


def group(tables: Iterable[pa.Table], groups: Sequence[str], figures: Sequence[Figure]) -> pa.Table:
    """Count records by group, and find figures of each; the largest groups come first.

    Args:
        tables: with the columns `needed_columns`.
        groups: names of `GROUPS`; none: all records are one group.
        figures: of columns; records without a number are left out of them.
    """
    found = [with_dictionaries(_with_day(table, groups)) for table in tables if len(table)]
    if not found:
        names = [*groups, "records", *(figure.title for figure in figures)]
        return pa.table({name: pa.array([], pa.null()) for name in names})
    table = pa.concat_tables(found).unify_dictionaries()
    codes, keys = _codes(table, groups)
    counts = np.bincount(codes)
    columns: dict[str, Any] = {**keys, "records": counts}
    order = _sorted_order(codes, len(counts)) if figures else codes
    for figure in figures:
        values = table[figure.column].cast(pa.float64()).to_numpy()[order]
        columns[figure.title] = _figure(values, counts, figure.name)
    return pa.table(columns).sort_by([("records", "descending"), *((n, "ascending") for n in keys)])


def _with_day(table: pa.Table, groups: Sequence[str]) -> pa.Table:
    if DAY not in groups:
        return table
    days = np.floor_divide(table["at"].to_numpy(), DAY_S).astype(np.int32)
    return table.append_column(DAY, pa.array(days).cast(pa.date32()).cast(pa.string()))


def _codes(table: pa.Table, groups: Sequence[str]) -> tuple[_Codes, dict[str, pa.Array]]:
    """The number of the group of each record, and the values of each group."""
    combined: _Codes = np.zeros(len(table), np.uint8)
    digits: list[_Digit] = []
    for name in groups:
        column = table[name]
        if name not in TEXTS:
            column = column.dictionary_encode()
        column = column.unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        known = len(column.dictionary)
        numbers = column.indices.fill_null(known).to_numpy(zero_copy_only=False)
        if _count(digits) * (known + 1) > MAX_COMBINED:
            present, combined = np.unique(combined, return_inverse=True)
            digits = [_Digit(_values(digits, present), len(present))]
        combined = combined * np.int64(known + 1) + numbers if digits else numbers
        values = pa.concat_arrays([column.dictionary, pa.nulls(1, column.dictionary.type)])
        digits.append(_Digit({name: values}, known + 1))
    present, codes = _numbered(combined, _count(digits))
    keys = _values(digits, present)
    return codes, {name: keys[name] for name in groups}


class _Digit(NamedTuple):
    """A place of a number that stands for the values of several columns."""

    values: dict[str, pa.Array]
    """By name of the column; the last one is missing."""
    size: int


def _count(digits: Sequence[_Digit]) -> int:
    """How many numbers have these digits."""
    return math.prod(digit.size for digit in digits)


def _values(digits: Sequence[_Digit], numbers: _Codes) -> dict[str, pa.Array]:
    """The values for which numbers stand."""
    found: dict[str, pa.Array] = {}
    rest = numbers
    for digit in reversed(digits):
        places = pa.array(rest % digit.size)
        found |= {name: values.take(places) for name, values in digit.values.items()}
        rest = rest // digit.size
    return found


def _numbered(numbers: _Codes, count: int) -> tuple[_Codes, _Codes]:
    """The numbers that occur, and for each number its place among them."""
    if count > MAX_TABLE:
        return np.unique(numbers, return_inverse=True)
    present = np.flatnonzero(np.bincount(numbers, minlength=count))
    if len(present) == present[-1] + 1:
        return present, numbers
    places: _Codes = np.zeros(count, np.int32)
    places[present] = np.arange(len(present))
    return present, places[numbers]


def _sorted_order(codes: _Codes, count: int) -> _Codes:
    """The records by group; of small numbers numpy sorts in linear time."""
    small = codes.astype(np.min_scalar_type(count))
    return np.argsort(small, kind="stable")


def _figure(values: Numbers, counts: _Codes, name: str) -> pa.Array:
    """A figure of each group; the values are in the order of the groups."""
    known = ~np.isnan(values)
    if not known.all():
        groups = np.repeat(np.arange(len(counts)), counts)[known]
        values, counts = values[known], np.bincount(groups, minlength=len(counts))
    found = np.full(len(counts), np.nan)
    if len(values):
        starts = np.cumsum(counts) - counts
        found[counts > 0] = FIGURES[name](values, starts[counts > 0])
    return pa.array(found, from_pandas=True)
