"""Texts as compiled loops take them: bytes one after the other, and where each ends."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from worker.runtime.plain_signs import EMBEDDED_LINE_FEED


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
