"""The distinct pairs of brand and model of fast CSV rows, each read once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import CategoryTable, GrowingArray
from worker.batches.names import ReadPair, read_pair

_FACTOR = 1 << 32
"""More than there are codes."""


class PairTable:
    """Pairs of codes of brand and model, numbered, with what they were read as.

    Args:
        company: brand of all rows, if the caller stated it.
        model: model of all rows, likewise.
    """

    def __init__(self, company: str | None = None, model: str | None = None) -> None:
        self._constants = company, model
        self._numbers: dict[int, int] = {}
        self.pairs: list[ReadPair] = []
        self.companies = CategoryTable([])
        """Canonical brand by number; None if the pair was not read."""
        self.models = CategoryTable([])
        self._is_read: GrowingArray[np.bool_] = GrowingArray(np.bool_)

    def numbers(
        self,
        company: NDArray[np.int32] | None,
        model: NDArray[np.int32] | None,
        values: Sequence[Any],
    ) -> NDArray[np.int64]:
        """The number of each row's pair, (n,).

        Args:
            company: (n,) codes of the brands; None: the file has no such column.
            model: (n,) codes of the models, likewise.
            values: normal form by code.
        """
        brands = np.int64(0) if company is None else company.astype(np.int64) + 1
        models = np.int64(0) if model is None else model.astype(np.int64) + 1
        keys = np.asarray(brands * _FACTOR + models)
        distinct, inverse = np.unique(keys, return_inverse=True)
        found = [self._number(key, values) for key in distinct.tolist()]
        return np.asarray(np.array(found, dtype=np.int64)[inverse])

    def is_read(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the pairs with these numbers state a brand and a model."""
        return np.asarray(self._is_read.all[numbers])

    def _number(self, key: int, values: Sequence[Any]) -> int:
        if (known := self._numbers.get(key)) is not None:
            return known
        texts = [
            values[code - 1] if code else constant
            for code, constant in zip(divmod(key, _FACTOR), self._constants, strict=True)
        ]
        pair = read_pair(*texts)
        number = self._numbers[key] = len(self.pairs)
        self.pairs.append(pair)
        self.companies.values.append(pair.reading and pair.reading.company)
        self.models.values.append(pair.reading and pair.reading.model)
        self._is_read.extend([pair.reading is not None])
        return number
