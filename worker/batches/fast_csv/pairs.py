"""The distinct pairs of brand and model of fast CSV rows, each read once."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import CategoryTable, GrowingArray, distinct_codes
from shared.domain.batch import NAME_COLUMNS
from shared.domain.files.notes import MODEL_NOTES
from shared.domain.reading import Match
from shared.tabular.cells import csv_cell
from worker.batches.names import (
    ReadPair,
    audit_fragment,
    final_match,
    name_cells,
    read_pair,
)

_MAX_TABLE = 1 << 22
"""Possible pairs up to which the distinct ones are found without sorting."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairMatch:
    """A pair of names, its match, and what the model says of cars with these names."""

    pair: ReadPair
    match: Match
    model_known: bool
    """Whether the model has statistics of it."""
    model_notes: int = 0
    """Bits of `MODEL_NOTES` of the rows."""

    _cells: dict[str, bytes] = dataclasses.field(default_factory=dict, init=False)

    def cells(self, delimiter: str) -> bytes:
        """Cells of `NAME_COLUMNS`; blank if the pair was not read."""
        if (found := self._cells.get(delimiter)) is None:
            reading = self.pair.reading
            texts = name_cells(reading, self.match) if reading else ("",) * len(NAME_COLUMNS)
            found = delimiter.encode().join(csv_cell(text, delimiter) for text in texts)
            self._cells[delimiter] = found
        return found

    @cached_property
    def audit_head(self) -> bytes:
        """The start of `features` in an audit record; see `audit_fragment`."""
        return audit_fragment(self.pair, self.match)


class PairTable:
    """Pairs of codes of brand and model, numbered, with what they were read as.

    Args:
        company: brand of all rows, if the caller stated it.
        model: model of all rows, likewise.
    """

    def __init__(self, company: str | None = None, model: str | None = None) -> None:
        self._constants = company, model
        self._numbers: dict[tuple[int, int], int] = {}
        self.pairs: list[ReadPair] = []
        self.companies = CategoryTable([])
        """Canonical brand by number; None if the pair was not read."""
        self.models = CategoryTable([])
        self._matches: dict[tuple[int, bool | None, int], PairMatch] = {}
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
        # 0 stands for the constant.
        no_column = np.zeros(1, dtype=np.int64)
        brands = no_column if company is None else company.astype(np.int64) + 1
        models = no_column if model is None else model.astype(np.int64) + 1
        size = len(values) + 1
        distinct_brands, brand_places = distinct_codes(brands, size)
        distinct_models, model_places = distinct_codes(models, size)
        keys = brand_places * len(distinct_models) + model_places
        possible = len(distinct_brands) * len(distinct_models)
        if possible <= _MAX_TABLE:
            distinct, inverse = distinct_codes(keys, possible)
        else:
            distinct, inverse = np.unique(keys, return_inverse=True)
        places = divmod(distinct, len(distinct_models))
        pairs = zip(
            distinct_brands[places[0]].tolist(), distinct_models[places[1]].tolist(), strict=True
        )
        found = [self._number(pair, values) for pair in pairs]
        return np.asarray(np.array(found, dtype=np.int64)[inverse])

    def is_read(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the pairs with these numbers state a brand and a model."""
        return np.asarray(self._is_read.all[numbers])

    def match(self, number: int, model_known: bool | None, model_notes: int) -> PairMatch:  # noqa: FBT001
        """The match of a pair.

        Args:
            number: of the pair.
            model_known: whether the model has statistics of it; None: it was not valued.
            model_notes: bits of `MODEL_NOTES`.
        """
        key = number, model_known, model_notes
        if (found := self._matches.get(key)) is None:
            pair = self.pairs[number]
            # Without an estimate, nothing says that the model lacks statistics.
            is_known = model_known is not False
            match = Match.UNKNOWN
            if pair.reading is not None:
                match = final_match(pair.reading, model_known=bool(model_known))
            found = self._matches[key] = PairMatch(pair, match, is_known, model_notes)
        return found

    def _number(self, key: tuple[int, int], values: Sequence[Any]) -> int:
        if (known := self._numbers.get(key)) is not None:
            return known
        texts = [
            values[code - 1] if code else constant
            for code, constant in zip(key, self._constants, strict=True)
        ]
        pair = read_pair(*texts)
        number = self._numbers[key] = len(self.pairs)
        self.pairs.append(pair)
        self.companies.values.append(pair.reading and pair.reading.company)
        self.models.values.append(pair.reading and pair.reading.model)
        self._is_read.extend([pair.reading is not None])
        return number


_NOT_VALUED, _STATES = 2, 3
"""States of a row's model: 0 without statistics, 1 with statistics, `_NOT_VALUED`."""
_KNOWN_OF_STATE = (False, True, None)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PairMatches:
    """The distinct pairs of n rows with what the model knows of them."""

    distinct: Sequence[PairMatch]
    ids: NDArray[np.int64]
    """(n,) index of each row in `distinct`."""

    @classmethod
    def of(
        cls,
        pairs: PairTable,
        numbers: NDArray[np.int64],
        is_valid: NDArray[np.bool_],
        model_known: NDArray[np.bool_] | None,
        model_notes: NDArray[np.int64] | None,
    ) -> Self:
        """Find them.

        Args:
            pairs: the pairs of the file.
            numbers: (n,) the number of each row's pair.
            is_valid: (n,) whether the row is valid.
            model_known: (valid rows,); None: nothing was valued.
            model_notes: (valid rows,) bits of `MODEL_NOTES`; None: nothing was valued.
        """
        states = np.full(len(is_valid), _NOT_VALUED)
        if model_known is not None:
            states[is_valid] = model_known
        keys, size = _STATES * numbers + states, _STATES * len(pairs.pairs)
        kinds = np.zeros(1, dtype=np.int64)
        if model_notes is not None and model_notes.any():
            # Few combinations of notes occur.
            notes = np.zeros(len(is_valid), dtype=np.int64)
            notes[is_valid] = model_notes
            kinds, places = distinct_codes(notes, 1 << len(MODEL_NOTES))
            keys, size = keys + size * places, size * len(kinds)
        found, ids = distinct_codes(keys, size)
        distinct = [
            pairs.match(number, _KNOWN_OF_STATE[state], int(kinds[kind]))
            for kind, number, state in zip(
                (found // (_STATES * len(pairs.pairs))).tolist(),
                (found // _STATES % len(pairs.pairs)).tolist(),
                (found % _STATES).tolist(),
                strict=True,
            )
        ]
        return cls(distinct, ids)
