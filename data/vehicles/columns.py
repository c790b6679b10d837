"""Columns of cars' values in several representations, and their conversion to arrays."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

_INITIAL_CAPACITY = 1024


class GrowingArray(Generic[T]):
    """An append-only array; its capacity doubles when it is full.

    Args:
        dtype: of the elements.
    """

    def __init__(self, dtype: type[T]) -> None:
        self._buffer: NDArray[T] = np.empty(_INITIAL_CAPACITY, dtype=dtype)
        self._length = 0

    def __len__(self) -> int:
        """Number of elements."""
        return self._length

    @property
    def all(self) -> NDArray[T]:
        """A view of the current elements; must not be written to."""
        return self._buffer[: self._length]

    def extend(self, values: Sequence[Any] | NDArray[T]) -> None:
        """Append elements.

        >>> array = GrowingArray(np.int64)
        >>> array.extend([1, 2]); array.extend([3]); array.all.tolist()
        [1, 2, 3]
        """
        length = self._length + len(values)
        if length > len(self._buffer):
            grown = np.empty(max(length, 2 * len(self._buffer)), dtype=self._buffer.dtype)
            grown[: self._length] = self.all
            self._buffer = grown
        self._buffer[self._length : length] = values
        self._length = length


class CategoryTable:
    """The distinct values that codes stand for; may be appended to.

    Args:
        values: the values; code `i` stands for the i-th.
    """

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self._mapped: dict[int, tuple[Mapping[Any, Any], GrowingArray[np.float64]]] = {}

    def mapped(self, code_of: Mapping[Any, Any], missing: float) -> NDArray[np.float64]:
        """The code of each value, `missing` if it has none; each value is looked up once."""
        if (known := self._mapped.get(id(code_of))) is None:
            # The reference keeps the id from being reused.
            known = self._mapped[id(code_of)] = code_of, GrowingArray(np.float64)
        _, found = known
        if len(found) < len(self.values):
            found.extend([code_of.get(value, missing) for value in self.values[len(found) :]])
        return found.all


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CategoricalColumn:
    """A column of n values as codes, for many rows with few distinct values."""

    table: CategoryTable
    codes: NDArray[np.int64]
    """(n,)"""

    @property
    def values(self) -> Sequence[Any]:
        """The distinct values, by code."""
        return self.table.values

    def values_at(self, rows: NDArray[np.int64]) -> list[Any]:
        """The values of these rows."""
        values = self.table.values
        return [values[code] for code in self.codes[rows].tolist()]


def distinct_codes(
    codes: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct codes in increasing order, and the place (n,) of each code among them.

    As `np.unique`, which sorts; takes `size` bytes.

    Args:
        codes: (n,) from 0 to `size` - 1.
        size: number of possible codes.
    """
    is_used = np.zeros(size, dtype=np.bool_)
    is_used[codes] = True
    distinct = np.flatnonzero(is_used)
    place = np.empty(size, dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    return distinct, place[codes]


Column: TypeAlias = Sequence[Any] | CategoricalColumn | NDArray[np.float64]
"""Values with None where missing; or codes of values; or numbers with NaN where missing."""


def values_at(column: Column, rows: Sequence[int]) -> list[Any]:
    """The values of a column in these rows, None where missing; whole numbers as int."""
    if isinstance(column, CategoricalColumn):
        return column.values_at(np.array(rows, dtype=np.int64))
    if isinstance(column, np.ndarray):
        return [_whole(value) for value in column[list(rows)].tolist()]
    return [column[row] for row in rows]


def _whole(value: float) -> int | float | None:
    if np.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def as_numbers(column: Column | None, n: int) -> NDArray[np.float64]:
    """The numbers of a column of n values, NaN where missing; an absent column is None."""
    return np.full(n, np.nan) if column is None else np.asarray(column, dtype=np.float64)


def as_codes(
    column: Column, code_of: Mapping[Any, float], *, missing: float = 0.0
) -> NDArray[np.float64]:
    """The code of each value of a column, `missing` if it has none."""
    if isinstance(column, CategoricalColumn):
        return np.asarray(column.table.mapped(code_of, missing)[column.codes])
    distinct, inverse = np.unique(np.asarray(column, dtype=np.float64), return_inverse=True)
    found = [code_of.get(value, missing) for value in distinct.tolist()]
    return np.array(found, dtype=np.float64)[inverse]
