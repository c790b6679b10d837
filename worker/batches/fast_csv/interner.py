"""The string interner: a code for each distinct text of a column, and the text's normal form.

A text is validated once for its column, by the field that validates JSON too; from then on its code
stands for the result in all rows of all chunks.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.vehicles.columns import CategoryTable, GrowingArray
from shared.domain.car import FIELD_NAMES, REQUIRED_FIELDS
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds.number import Number
from shared.tabular.column_names import ASKING_PRICE
from worker.batches.engine import RowNote
from worker.batches.fast_csv.pairs import PairTable
from worker.batches.fast_csv.row_index import EMBEDDED_LINE_FEED

MAX_INTERNED_STRINGS = 20_000
"""Texts that are kept; beyond this the interner is emptied. The texts that many rows share are a
few thousand and are validated again in milliseconds."""

INITIAL_HASH_SLOTS = 1 << 20
"""Slots of the hash table: enough for all texts that are kept and those of a usual chunk, so that
the table rarely grows, which empties the interner. 4 MB."""

MAX_PAIR_TABLES = 8

NAMES = (*FIELD_NAMES, ASKING_PRICE)
FIELD_INDEX = {name: index for index, name in enumerate(NAMES)}
"""Index of each field in all arrays by field."""

NUMBERS = {name: field for name, field in CAR_FIELDS.items() if isinstance(field, Number)}
IS_NUMBER = np.array([name in NUMBERS for name in NAMES])
IS_DECIMAL = np.array([name in NUMBERS and NUMBERS[name].decimals > 0 for name in NAMES])


def decode_cell(cell: bytes) -> str:
    r"""The text of a cell.

    >>> decode_cell(b"deux\x1elignes")
    'deux\nlignes'
    """
    return cell.decode().replace(_EMBEDDED_LINE_FEED, "\n")


_EMBEDDED_LINE_FEED = chr(EMBEDDED_LINE_FEED)


class StringInterner:
    """Texts by column, their codes, and their normal forms.

    Args:
        validator: gives each text its normal form.
    """

    def __init__(self, validator: ColumnValidator) -> None:
        self.validator = validator
        self.limits = np.array([_limits(name, validator.units) for name in NAMES])
        self.slots: NDArray[np.int32] = np.full(INITIAL_HASH_SLOTS, -1, dtype=np.int32)
        """The hash table: codes, -1 where free."""
        self.reset()

    def reset(self) -> None:
        """Forget all texts and choose a new secret."""
        self.secret = np.uint64(secrets.randbits(64))
        """Part of every hash, so that the author of a file cannot make texts collide."""
        self.slots.fill(-1)
        self.keys = np.zeros((1024, 3), dtype=np.int64)
        """Column, first byte in the arena and length of each code's text."""
        self.arena = np.zeros(1 << 16, dtype=np.uint8)
        self.filled = np.zeros(2, dtype=np.int64)
        """Codes, and bytes of the arena, that are in use."""
        self.values = CategoryTable([])
        """Normal forms by code; None: no value, or refused."""
        self.refusals: dict[int, str] = {}
        """Message codes of the texts that break a rule of a required field, by code."""
        self.notes: dict[int, RowNote] = {}
        """Notes on the texts of other fields that are ignored or converted, by code."""
        self._pair_tables: dict[tuple[str | None, str | None], PairTable] = {}
        self.fragments: GrowingArray[np.uint8] = GrowingArray(np.uint8)
        """JSON members of the normal forms, concatenated; empty for no value."""
        self.fragment_ends: GrowingArray[np.int64] = GrowingArray(np.int64)
        """End of each code's member in `fragments`."""
        self.longest_fragment = 0
        """Bytes."""
        self._is_refused: GrowingArray[np.bool_] = GrowingArray(np.bool_)
        self._is_noted: GrowingArray[np.bool_] = GrowingArray(np.bool_)
        self._numbers: GrowingArray[np.float64] = GrowingArray(np.float64)

    def reserve(self, texts: int, size: int) -> None:
        """Make room for so many more texts of so many bytes together."""
        known, used = self.filled.tolist()
        if known > MAX_INTERNED_STRINGS:
            self.reset()
            known = used = 0
        if 2 * (known + texts) > len(self.slots):
            length = 1 << (2 * (known + texts)).bit_length()
            self.slots = np.full(length, -1, dtype=np.int32)
            self.reset()
            known = used = 0
        self.keys = _resized(self.keys, known + texts)
        self.arena = _resized(self.arena, used + size)

    def resolve(
        self, codes: NDArray[np.int32], numbers: NDArray[np.float64], fields: Sequence[int]
    ) -> NDArray[np.bool_]:
        """Fill in the numbers that were read as texts, and find the valid rows.

        Args:
            codes: (fields, n); -1: the cell is a whole number, which is in `numbers` already.
            numbers: (fields, n); filled in place, NaN for no value.
            fields: indexes of the fields that the file has.

        Returns:
            (n,) whether no cell breaks a rule of a required field.
        """
        self.validate_new_strings()
        known = self._numbers.all
        for field in fields:
            if IS_NUMBER[field]:
                coded = codes[field] >= 0
                numbers[field][coded] = known[codes[field][coded]]
        required = [field for field in fields if NAMES[field] in REQUIRED_FIELDS]
        return np.logical_not(self.refused_matrix(codes[required]).any(axis=0))

    def refused_matrix(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the codes are of texts that break a rule; the code -1 is never refused."""
        if not self.refusals:
            return np.zeros(codes.shape, dtype=np.bool_)
        return np.asarray(self._is_refused.all[codes] & (codes >= 0))

    def noted_matrix(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of the codes are of texts with a note; the code -1 never has one."""
        if not self.notes:
            return np.zeros(codes.shape, dtype=np.bool_)
        return np.asarray(self._is_noted.all[codes] & (codes >= 0))

    def pair_table(self, company: str | None, model: str | None) -> PairTable:
        """The pairs of brand and model in files with these constants."""
        table = self._pair_tables.get((company, model))
        if table is None:
            if len(self._pair_tables) == MAX_PAIR_TABLES:
                self._pair_tables.clear()
            table = self._pair_tables[company, model] = PairTable(company, model)
        return table

    def validate_new_strings(self) -> None:
        """Validate the texts that were added since the last call."""
        known, texts = len(self.values.values), int(self.filled[0])
        if known == texts:
            return
        values, fragments = [], []
        count = texts - known
        numbers = np.full(count, np.nan)
        refused, noted = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        for index, (name, text) in enumerate(self._texts(known, texts)):
            value, message = self.validator.normalize(name, text)
            values.append(value)
            fragments.append(b"" if value is None else orjson.dumps({name: value})[1:-1])
            if value is not None and name in NUMBERS:
                numbers[index] = value
            if message is None:
                continue
            if name in REQUIRED_FIELDS:
                refused[index] = True
                self.refusals[known + index] = message
            else:
                noted[index] = True
                self.notes[known + index] = RowNote(name, message, text)
        lengths = list(map(len, fragments))
        self.longest_fragment = max(self.longest_fragment, *lengths)
        self.values.values.extend(values)
        self.fragment_ends.extend(np.cumsum(lengths) + len(self.fragments))
        self.fragments.extend(np.frombuffer(b"".join(fragments), np.uint8))
        self._numbers.extend(numbers)
        self._is_refused.extend(refused)
        self._is_noted.extend(noted)

    def text(self, code: int) -> str:
        """The text of a code."""
        _, text = next(self._texts(code, code + 1))
        return text

    def _texts(self, first: int, stop: int) -> Iterator[tuple[str, str]]:
        """Field and text of consecutive codes, at least one."""
        keys = self.keys[first:stop].tolist()
        begin, end = keys[0][1], keys[-1][1] + keys[-1][2]
        held = self.arena[begin:end].tobytes()
        for index, start, length in keys:
            yield NAMES[index], decode_cell(held[start - begin : start - begin + length])


def _resized(array: NDArray[Any], length: int) -> NDArray[Any]:
    if length <= len(array):
        return array
    fresh = np.zeros((max(length, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    fresh[: len(array)] = array
    return fresh


def _limits(name: str, units: Mapping[str, str]) -> Sequence[float]:
    """The least and the greatest whole number that need no validation; none for other fields.

    Numbers of a column that states another unit have to be converted.
    """
    field = NUMBERS.get(name)
    return (0.0, -1.0) if field is None or name in units else (field.minimum, field.maximum)
