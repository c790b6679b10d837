"""All distinct texts that the cells of fast CSV rows hold, and what each of them means.

A text is validated once for its column, by the field that validates JSON too; its code then
stands for the result in all rows of all chunks.
"""

import secrets
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.vehicles.columns import CategoryTable, GrowingArray
from shared.domain.car import FIELD_NAMES
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds import Number
from shared.tabular.headers import ASKING_PRICE
from worker.batches.fast_csv.placeholders import EMBEDDED_LINE_FEED


def chars(text: bytes) -> NDArray[np.uint8]:
    """The bytes of a text, without a copy."""
    return np.frombuffer(text, np.uint8)


def decode_cell(cell: bytes) -> str:
    r"""What a cell says.

    >>> decode_cell(b"deux\x1elignes")
    'deux\nlignes'
    """
    return cell.decode().replace(chr(EMBEDDED_LINE_FEED), "\n")


def ends(texts: Sequence[bytes]) -> NDArray[np.int64]:
    """Where each text ends when all stand one after the other.

    >>> ends([b"ab", b"", b"c"]).tolist()
    [2, 2, 3]
    """
    return np.array(list(accumulate(map(len, texts))), dtype=np.int64)


MAX_INTERNED_STRINGS = 20_000
"""Distinct texts that are remembered; then the memory starts anew. Those that many rows share are
a few thousand, and learnt again in milliseconds."""

INITIAL_HASH_SLOTS = 1 << 20
"""Places of the hash table: enough for all texts that are remembered and those of a usual chunk,
so that none is learnt again because the table grew. Four megabytes."""

NAMES = (*FIELD_NAMES, ASKING_PRICE)
FIELD_INDEX = {name: slot for slot, name in enumerate(NAMES)}
"""Each field's place in all arrays by field."""

NUMBERS = {name: field for name, field in CAR_FIELDS.items() if isinstance(field, Number)}
IS_NUMBER = np.array([name in NUMBERS for name in NAMES])
IS_DECIMAL = np.array([name in NUMBERS and NUMBERS[name].decimals > 0 for name in NAMES])


class StringInterner:
    """Texts by column, their codes, and what they mean.

    Args:
        validator: gives each text its normal form.
    """

    def __init__(self, validator: ColumnValidator) -> None:
        self._validator = validator
        self.limits = np.array([_limits(name) for name in NAMES])
        self.slots: NDArray[np.int32] = np.full(INITIAL_HASH_SLOTS, -1, dtype=np.int32)
        """The hash table: codes, -1 where free."""
        self.reset()

    def reset(self) -> None:
        """Forget all texts, and where each had its place."""
        self.secret = np.uint64(secrets.randbits(64))
        """Whoever sends a file cannot know which texts share a place in the hash table."""
        self.slots.fill(-1)
        self.keys = np.zeros((1024, 3), dtype=np.int64)
        """Column, first byte in the arena and length of each code's text."""
        self.arena = np.zeros(1 << 16, dtype=np.uint8)
        self.filled = np.zeros(2, dtype=np.int64)
        """Codes, and bytes of the arena, that are taken."""
        self.values = CategoryTable([])
        """Normal forms; None: no value, or refused."""
        self.refusals: dict[int, str] = {}
        """Message codes of the texts that break a rule."""
        self._is_refused: GrowingArray[np.bool_] = GrowingArray(np.bool_)
        self._numbers: GrowingArray[np.float64] = GrowingArray(np.float64)
        self._fragments: GrowingArray[np.uint8] = GrowingArray(np.uint8)
        self._fragment_ends: GrowingArray[np.int64] = GrowingArray(np.int64)
        self.longest_fragment = 0
        """Bytes."""

    @property
    def numbers(self) -> NDArray[np.float64]:
        """Normal forms of the numbers by code, NaN for all others."""
        return self._numbers.all

    @property
    def fragments(self) -> NDArray[np.uint8]:
        """JSON members of the normal forms, one after the other; none for no value."""
        return self._fragments.all

    @property
    def fragment_ends(self) -> NDArray[np.int64]:
        """Where each code's member ends."""
        return self._fragment_ends.all

    def reserve(self, cells: int, size: int) -> None:
        """Have place for so many more texts of so many bytes together."""
        known, used = self.filled.tolist()
        if known > MAX_INTERNED_STRINGS:
            self.reset()
            known = used = 0
        if 2 * (known + cells) > len(self.slots):
            length = 1 << (2 * (known + cells)).bit_length()
            self.slots = np.full(length, -1, dtype=np.int32)
            self.reset()
            known = used = 0
        self.keys = _resized(self.keys, known + cells)
        self.arena = _resized(self.arena, used + size)

    def validate_new_strings(self) -> None:
        """Validate the texts that came since the last time."""
        known, texts = len(self.values.values), int(self.filled[0])
        if known == texts:
            return
        fragments, lengths, numbers, refused = [], [], [], []
        for code, (name, text) in enumerate(self._texts(known, texts), start=known):
            value, refusal = self._validator.normalize(name, text)
            fragment = b"" if value is None else orjson.dumps({name: value})[1:-1]
            fragments.append(fragment)
            lengths.append(len(fragment))
            self.values.values.append(value)
            numbers.append(np.nan if value is None or name not in NUMBERS else value)
            refused.append(refusal is not None)
            if refusal is not None:
                self.refusals[code] = refusal
        self.longest_fragment = max(self.longest_fragment, *lengths)
        self._fragment_ends.extend(np.cumsum(lengths) + len(self._fragments))
        self._fragments.extend(chars(b"".join(fragments)))
        self._numbers.extend(numbers)
        self._is_refused.extend(refused)

    def refused(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these codes are of texts that break a rule; -1, a plain number, never does."""
        if not self.refusals:
            return np.zeros(codes.shape, dtype=np.bool_)
        return np.asarray(self._is_refused.all[codes] & (codes >= 0))

    def text(self, code: int) -> str:
        """The text that a code stands for."""
        _, text = next(self._texts(code, code + 1))
        return text

    def _texts(self, first: int, stop: int) -> Iterator[tuple[str, str]]:
        """The field and the text of consecutive codes, one at least."""
        keys = self.keys[first:stop].tolist()
        begin, end = keys[0][1], keys[-1][1] + keys[-1][2]
        held = self.arena[begin:end].tobytes()
        for slot, start, length in keys:
            yield NAMES[slot], decode_cell(held[start - begin : start - begin + length])


def _resized(array: NDArray[Any], length: int) -> NDArray[Any]:
    if length <= len(array):
        return array
    fresh = np.zeros((max(length, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    fresh[: len(array)] = array
    return fresh


def _limits(name: str) -> Sequence[float]:
    field = NUMBERS.get(name)
    return (0.0, -1.0) if field is None else (field.minimum, field.maximum)
