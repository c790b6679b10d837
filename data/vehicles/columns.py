"""Columns of cars' values, and how each kind becomes an array."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

_INITIAL_CAPACITY = 1024


class GrowingArray(Generic[T]):
    """Elements that are only ever added; twice the place is taken whenever it is full.

    Args:
        dtype: of the elements.
    """

    def __init__(self, dtype: type[T]) -> None:
        self._buffer: NDArray[T] = np.empty(_INITIAL_CAPACITY, dtype=dtype)
        self._length = 0

    def __len__(self) -> int:
        """How many elements there are."""
        return self._length

    @property
    def all(self) -> NDArray[T]:
        """What is there now, without a copy; it must not be written to."""
        return self._buffer[: self._length]

    def extend(self, values: Sequence[Any] | NDArray[T]) -> None:
        """Add elements at the end.

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
    """Distinct values that codes stand for; it may grow at its end.

    Args:
        values: the values; code `i` stands for the i-th.
    """

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self._mapped: dict[int, tuple[Mapping[Any, Any], GrowingArray[np.float64]]] = {}

    def mapped(self, words: Mapping[Any, Any], missing: float) -> NDArray[np.float64]:
        """What `words` says of each value, `missing` if nothing; each value is asked for once."""
        if (known := self._mapped.get(id(words))) is None:
            # The words are kept with it, so that no others ever have their id.
            known = self._mapped[id(words)] = words, GrowingArray(np.float64)
        _, found = known
        if len(found) < len(self.values):
            found.extend([words.get(value, missing) for value in self.values[len(found) :]])
        return found.all


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CategoricalColumn:
    """A column of n values as codes: for columns with few distinct values and many rows."""

    table: CategoryTable
    codes: NDArray[np.int64]
    """(n,)"""

    @property
    def values(self) -> Sequence[Any]:
        """The distinct values, by code."""
        return self.table.values

    def values_at(self, rows: NDArray[np.int64]) -> list[Any]:
        """The values in these rows."""
        values = self.table.values
        return [values[code] for code in self.codes[rows].tolist()]


Column: TypeAlias = Sequence[Any] | CategoricalColumn | NDArray[np.float64]
"""Values with None where missing; or codes of values; or numbers with NaN where missing."""


def values_at(column: Column, rows: Sequence[int]) -> list[Any]:
    """The values of a column in these rows, None where missing; whole numbers as such."""
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
    """The numbers of a column of n values, NaN where missing; None is a column without values."""
    return np.full(n, np.nan) if column is None else np.asarray(column, dtype=np.float64)


def as_codes(
    column: Column, words: Mapping[Any, float], *, missing: float = 0.0
) -> NDArray[np.float64]:
    """What `words` says of each value of a column, `missing` if nothing."""
    if isinstance(column, CategoricalColumn):
        return np.asarray(column.table.mapped(words, missing)[column.codes])
    distinct, inverse = np.unique(np.asarray(column, dtype=np.float64), return_inverse=True)
    found = [words.get(value, missing) for value in distinct.tolist()]
    return np.array(found, dtype=np.float64)[inverse]
