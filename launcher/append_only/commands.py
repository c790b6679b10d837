r"""Finds the valid commands of a damaged append-only file.

The file is a sequence of commands, `*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n`, without checksums. Changes
that belong together are between MULTI and EXEC, and are kept or dropped together.
"""

import dataclasses
import mmap
import re
from typing import TypeAlias

Data: TypeAlias = bytes | mmap.mmap
Range: TypeAlias = tuple[int, int]

TRUSTED_BYTES = 4_000_000
"""Commands found after a damaged place are kept if they reach the end of the file or this far.

A text of a caller may itself look like commands, but is shorter.
"""

_ANNOTATION = re.compile(rb"#[^\r\n]{0,100}\r\n")
_COUNT = re.compile(rb"\*([1-9]\d{0,6})\r\n")
_LENGTH = re.compile(rb"\$(\d{1,10})\r\n")
_FIRST_BYTES = re.compile(rb"\*[1-9]\d{0,6}\r\n\$\d{1,2}\r\n[A-Za-z]")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """What can be kept of a file."""

    size: int
    kept: tuple[Range, ...]
    """Ranges of complete commands and transactions, as start and end offset, in order."""

    @property
    def dropped(self) -> tuple[Range, ...]:
        """Ranges that cannot be kept."""
        edges = [0, *(offset for each in self.kept for offset in each), self.size]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return tuple((start, end) for start, end in pairs if end > start)


def analyse(data: Data, trusted_bytes: int = TRUSTED_BYTES) -> Analysis:
    """Find what can be kept of an append-only file.

    Args:
        data: the content of the file.
        trusted_bytes: see `TRUSTED_BYTES`.
    """
    size = len(data)
    kept = []
    run = _complete_run(data, 0, is_after_damage=False)
    while True:
        if run.end > run.start:
            kept.append((run.start, run.end))
        found = _next_run(data, run.stopped_at + 1, trusted_bytes)
        if found is None:
            return Analysis(size=size, kept=tuple(kept))
        run = found


@dataclasses.dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive commands."""

    start: int
    end: int
    """End of the last command outside of a transaction, or of the last whole transaction."""
    stopped_at: int
    """Where the first command begins that is not valid; the size of the file at its end."""


def _next_run(data: Data, offset: int, trusted_bytes: int) -> _Run | None:
    """The first run after a damaged place that is no part of a value; None if there is none."""
    size = len(data)
    while match := _FIRST_BYTES.search(data, offset):
        run = _complete_run(data, match.start(), is_after_damage=True)
        is_torn = _is_cut_off(data, run.stopped_at)
        if run.stopped_at == size or is_torn or run.stopped_at - run.start >= trusted_bytes:
            return run
        offset = match.start() + 1
    return None


def _complete_run(data: Data, offset: int, *, is_after_damage: bool) -> _Run:
    """Read commands until one is not valid.

    Args:
        data: the content of the file.
        offset: where the first command begins.
        is_after_damage: commands up to an EXEC without MULTI are skipped: they belong to a
            transaction whose beginning is lost.
    """
    start = end = position = offset
    is_open = False
    may_continue_transaction = is_after_damage
    while command := _read_command(data, position):
        position, name = command
        if name == b"MULTI":
            is_open, may_continue_transaction = True, False
        elif name == b"EXEC":
            if not is_open and may_continue_transaction:
                start = position
            is_open = may_continue_transaction = False
        if not is_open:
            end = position
    return _Run(start, max(start, end), position)


def _read_command(data: Data, offset: int) -> tuple[int, bytes] | None:
    """The end of the command at an offset and its name in upper case; None if it is not valid."""
    if annotation := _ANNOTATION.match(data, offset):
        return annotation.end(), b""
    count = _COUNT.match(data, offset)
    if count is None:
        return None
    position, name = count.end(), b""
    for index in range(int(count[1])):
        length = _LENGTH.match(data, position)
        if length is None:
            return None
        begin = length.end()
        position = begin + int(length[1]) + 2
        if data[position - 2 : position] != b"\r\n":
            return None
        if index == 0:
            name = bytes(data[begin : position - 2]).upper()
    return position, name


def _is_cut_off(data: Data, offset: int) -> bool:
    """Whether the file ends within a command that is valid up to there."""
    count = _COUNT.match(data, offset)
    if count is None:
        return b"\r\n" not in data[offset : offset + 20] and data[offset : offset + 1] == b"*"
    position = count.end()
    for _ in range(int(count[1])):
        length = _LENGTH.match(data, position)
        if length is None:
            rest = data[position : position + 20]
            return b"\n" not in rest and rest[:1] in {b"$", b""}
        position = length.end() + int(length[1]) + 2
        if position > len(data):
            return True
        if data[position - 2 : position] != b"\r\n":
            return False
    return False
