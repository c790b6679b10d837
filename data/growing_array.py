"""An array that grows at its end without being copied each time."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

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
