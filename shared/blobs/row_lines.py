"""The blob of the lines of a batch's rows: where each row of the results stands in its file.

Most rows follow each other line by line, so the blob holds runs: the first line and the number of
rows whose lines are consecutive.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple, Self

RUN = struct.Struct("<qq")


class LineRun(NamedTuple):
    """Rows on consecutive lines."""

    first: int
    """Line of the first of them."""
    rows: int

    @classmethod
    def from_list(cls, values: Sequence[int]) -> Self:
        """Rebuild a run; values that a newer version has added are ignored."""
        first, rows, *_ = values
        return cls(first, rows)


def line_runs(lines: Sequence[int]) -> list[LineRun]:
    """The runs of ascending lines.

    >>> line_runs([2, 3, 4, 8, 9])
    [LineRun(first=2, rows=3), LineRun(first=8, rows=2)]
    """
    count = len(lines)
    if not count:
        return []
    first = int(lines[0])
    if int(lines[-1]) - first == count - 1:  # of nearly all chunks
        return [LineRun(first, count)]
    starts = [0, *(at for at in range(1, count) if lines[at] != lines[at - 1] + 1), count]
    return [LineRun(int(lines[start]), stop - start) for start, stop in pairwise(starts)]


def encode_runs(runs: Iterable[LineRun]) -> bytes:
    """The bytes of the blob; the inverse of `read_runs`."""
    return b"".join(RUN.pack(*run) for run in runs)


def read_runs(content: bytes) -> list[LineRun]:
    """The runs that the blob contains."""
    return [LineRun(*values) for values in RUN.iter_unpack(content)]


def lines_of(runs: Iterable[LineRun]) -> Iterator[int]:
    """The line of each row."""
    return chain.from_iterable(range(run.first, run.first + run.rows) for run in runs)


def all_lines(runs: Iterable[LineRun]) -> "array[int]":
    """The line of each row, as `shared.tabular.corrections` takes them."""
    return array("q", lines_of(runs))
