"""Identifiers: random, sortable by time, each of its own type."""

import os
import re
import time
from typing import NewType

ValuationId = NewType("ValuationId", str)
JobId = NewType("JobId", str)
BatchId = NewType("BatchId", str)
CallerId = NewType("CallerId", str)
ModelVersionId = NewType("ModelVersionId", str)

ID_LENGTH = 26
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_PATTERN = f"^[{_ALPHABET}]{{{ID_LENGTH}}}$"
"""Regular expression of an id, for documentation; see `is_id`."""
_is_id = re.compile(f"[{_ALPHABET}]{{{ID_LENGTH}}}").fullmatch
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
"""Two characters per ten bits, which halves the number of steps."""


def new_id(now_s: float | None = None) -> str:
    """Make a ULID in lower case: 48 bits of milliseconds, then 80 random bits, in base 32.

    Later ids sort later, and ids of other callers cannot be guessed. `python-ulid` takes 3.1 us
    for an id instead of 2.0 us.
    """
    at_s = time.time() if now_s is None else now_s
    return _encode_base32(_timestamp_bits(at_s) | int.from_bytes(os.urandom(10)))


def min_id_at(at_s: float) -> str:
    """The smallest id of this Unix time.

    >>> min_id_at(1_700_000_000.5) <= new_id(1_700_000_000.5) < min_id_at(1_700_000_000.6)
    True
    """
    return _encode_base32(_timestamp_bits(at_s))


def _timestamp_bits(at_s: float) -> int:
    """A Unix time as the upper bits of an id, clipped to 48 bits."""
    return min(max(int(at_s * 1000), 0), (1 << 48) - 1) << 80


def _encode_base32(number: int) -> str:
    return "".join([_PAIRS[number >> bits & 1023] for bits in range(120, -10, -10)])


def id_timestamp(some_id: str) -> float:
    """The time of an id, Unix time in seconds.

    >>> id_timestamp(new_id(1_700_000_000.5))
    1700000000.5
    """
    number = 0
    for character in some_id:
        number = number * 32 + _ALPHABET.index(character)
    return (number >> 80) / 1000


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id."""
    return _is_id(text) is not None
