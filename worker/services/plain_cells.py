"""All distinct texts that the cells of plain rows hold, and what each of them means.

A text is validated once for its column, by the field that validates JSON too; its code then
stands for the outcome in all rows of all chunks.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.coded_columns import CodedValues
from shared.domain.car import FIELD_NAMES
from shared.schemas.asking_price import ASKING_PRICE
from shared.schemas.car import CAR_FIELDS
from shared.schemas.columns import ColumnValidator
from shared.schemas.fields import Number

TEXTS_MAX = 200_000
"""Distinct texts that are remembered; then the memory starts anew."""

NAMES = (*FIELD_NAMES, ASKING_PRICE)
SLOTS = {name: slot for slot, name in enumerate(NAMES)}
"""Each field's place in all arrays by field."""

NUMBERS = {name: field for name, field in CAR_FIELDS.items() if isinstance(field, Number)}
IS_NUMBER = np.array([name in NUMBERS for name in NAMES])
IS_DECIMAL = np.array([name in NUMBERS and NUMBERS[name].decimals > 0 for name in NAMES])


class CellTable:
    """Texts by column, their codes, and what they mean.

    Args:
        validator: gives each text its normal form.
    """

    def __init__(self, validator: ColumnValidator) -> None:
        self._validator = validator
        self.limits = np.array([_limits(name) for name in NAMES])
        self.slots: NDArray[np.int32] = np.full(1 << 16, -1, dtype=np.int32)
        """The hash table: codes, -1 where free."""
        self.start_anew()

    def start_anew(self) -> None:
        """Forget all texts, and where each had its place."""
        self.secret = np.uint64(secrets.randbits(64))
        """Whoever sends a file cannot know which texts share a place in the hash table."""
        self.slots.fill(-1)
        self.keys = np.zeros((1024, 3), dtype=np.int64)
        """Column, first byte in the arena and length of each code's text."""
        self.arena = np.zeros(1 << 16, dtype=np.uint8)
        self.filled = np.zeros(2, dtype=np.int64)
        """Codes, and bytes of the arena, that are taken."""
        self.values = CodedValues([])
        """Normal forms; None: no value, or refused."""
        self.refusals: dict[int, str] = {}
        """Message codes of the texts that break a rule."""
        self.numbers: NDArray[np.float64] = np.empty(0)
        """Normal forms of the numbers, NaN for all others."""
        self.fragments = b""
        """JSON members of the normal forms, one after the other; none for no value."""
        self.fragment_ends: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def make_room(self, cells: int, size: int) -> None:
        """Have place for so many more texts of so many bytes together."""
        known, used = self.filled.tolist()
        if known > TEXTS_MAX:
            self.start_anew()
            known = used = 0
        if 2 * (known + cells) > len(self.slots):
            length = 1 << (2 * (known + cells)).bit_length()
            self.slots = np.full(length, -1, dtype=np.int32)
            self.start_anew()
            known = used = 0
        self.keys = _grown(self.keys, known + cells)
        self.arena = _grown(self.arena, used + size)

    def learn(self) -> None:
        """Validate the texts that came since the last time."""
        known, texts = len(self.values.values), int(self.filled[0])
        if known == texts:
            return
        fragments, ends, numbers = [self.fragments], [], []
        end = len(self.fragments)
        for code in range(known, texts):
            name, value = self._normal_form(code)
            fragment = b"" if value is None else orjson.dumps({name: value})[1:-1]
            fragments.append(fragment)
            end += len(fragment)
            ends.append(end)
            self.values.values.append(value)
            numbers.append(np.nan if value is None or name not in NUMBERS else value)
        self.fragments = b"".join(fragments)
        self.fragment_ends = np.concatenate([self.fragment_ends, np.array(ends, dtype=np.int64)])
        self.numbers = np.concatenate([self.numbers, np.array(numbers, dtype=np.float64)])

    def refused(self, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these codes, all at least -1, are of texts that break a rule."""
        flags = np.zeros(len(self.values.values) + 1, dtype=np.bool_)
        flags[list(self.refusals)] = True
        return np.asarray(flags[codes])  # -1 is the last one

    def text(self, code: int) -> str:
        """The text that a code stands for."""
        _, start, length = self.keys[code].tolist()
        return self.arena[start : start + length].tobytes().decode()

    def _normal_form(self, code: int) -> tuple[str, Any]:
        name = NAMES[self.keys[code, 0]]
        value, refusal = self._validator.normal_form(name, self.text(code))
        if refusal is not None:
            self.refusals[code] = refusal
        return name, value


def _grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    if length <= len(array):
        return array
    fresh = np.zeros((max(length, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    fresh[: len(array)] = array
    return fresh


def _limits(name: str) -> Sequence[float]:
    field = NUMBERS.get(name)
    return (0.0, -1.0) if field is None else (field.minimum, field.maximum)
