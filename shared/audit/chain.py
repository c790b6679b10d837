"""Files of the audit log: JSON lines, each line chained to the one before.

A line is the record's JSON with two more members at its end: `prev`, the hash of the line
before (64 zeros in the first), and `hash`, the SHA-256 of the line's JSON without `hash`. A
changed, missing or reordered line breaks the chain.

Lines that are written at once may share a link: those without the two members are covered by
the next line that has them, whose `prev` is then the SHA-256 of the hash before and of them.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

GENESIS_HASH = "0" * 64
PREDICTIONS_PREFIX = "predictions"
"""Prefix of the names of files with answers."""
OUTCOMES_PREFIX = "outcomes"
"""Prefix of the names of files with reported sales."""
_PREV_MEMBER = b',"prev":"'
_HASH_MEMBER = b',"hash":"'
_LINE_END = re.compile(rb'([0-9a-f]{64})"\}\n')


def file_pattern(*kinds: str) -> re.Pattern[str]:
    """Match the names of files of these kinds; the group is the day."""
    return re.compile(rf"(?:{'|'.join(kinds)})_(\d{{4}}-\d{{2}}-\d{{2}})\.[\w-]+\.jsonl")


FILE_PATTERN = file_pattern(PREDICTIONS_PREFIX)


_STEP_NAME = re.compile(r"-step-(\d+)-(\d+)\.jsonl$")


class ClockStep(NamedTuple):
    """The clock was set while a process ran.

    Attributes:
        before: what it would show if it had not been set, Unix time in seconds.
        after: what it shows at the same moment.
    """

    before: float
    after: float


def step_suffix(step: ClockStep) -> str:
    """What follows the name of a writer in the names of its files after a step."""
    return f"-step-{max(0, round(step.before * 1000))}-{max(0, round(step.after * 1000))}"


def step_of(name: str) -> ClockStep | None:
    """The step after which a file was begun; None: its writer has seen no step.

    >>> step_of("predictions_2026-11-29.api-1" + step_suffix(ClockStep(20.5, 10.0)) + ".jsonl")
    ClockStep(before=20.5, after=10.0)
    """
    match = _STEP_NAME.search(name)
    return ClockStep(int(match[1]) / 1000, int(match[2]) / 1000) if match else None


def day_of(at: float) -> str:
    """The UTC day of a Unix time, as in file names."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def file_name(day: str, writer: str, kind: str = PREDICTIONS_PREFIX) -> str:
    """Name of the file of one writer and day."""
    return f"{kind}_{day}.{writer}.jsonl"


def chain(bodies: Iterable[bytes], prev: str) -> tuple[bytes, str, int]:
    """Write encoded records as chained lines.

    Args:
        bodies: JSON objects of the records.
        prev: hash of the line before the first.

    Returns:
        The lines, the hash of the last one, and how many there are.
    """
    lines = []
    for record in bodies:
        body = record[:-1] + _PREV_MEMBER + prev.encode() + b'"}'
        prev = hashlib.sha256(body).hexdigest()
        lines.append(body[:-1] + _HASH_MEMBER + prev.encode() + b'"}\n')
    return b"".join(lines), prev, len(lines)


def link(prev: str, lines: bytes | memoryview) -> str:
    """The hash that follows `prev` and lines without hashes, as in segments."""
    if not lines:
        return prev
    digest = hashlib.sha256(prev.encode())
    digest.update(lines)
    return digest.hexdigest()


def verify_line(line: bytes, prev: str) -> str | None:
    """The hash of a line that follows `prev`; None if the line was changed."""
    body, mark, tail = line.rstrip(b"\n").rpartition(_HASH_MEMBER)
    if not mark:
        return None
    body += b"}"
    digest = hashlib.sha256(body).hexdigest()
    if tail != digest.encode() + b'"}' or not body.endswith(_PREV_MEMBER + prev.encode() + b'"}'):
        return None
    return digest


class ChainVerifier:
    """Verifies the chain of one file, from its beginning or from a line whose hash is known.

    Args:
        prev: hash of the line before.
    """

    def __init__(self, prev: str = GENESIS_HASH) -> None:
        self._prev = prev
        self._block_digest = hashlib.sha256(prev.encode())
        self.verified = 0
        """Number of verified lines."""
        self.open = 0
        """Lines after them that the next line with hashes verifies."""

    @property
    def head(self) -> str:
        """The hash of the last verified line."""
        return self._prev

    def follow(self, line: bytes) -> bool:
        """Take the next line; False if it, or an open line before it, was changed."""
        if _HASH_MEMBER not in line:
            self._block_digest.update(line)
            self.open += 1
            return line.startswith(b"{") and line.endswith(b"}\n")
        digest = verify_line(line, self._block_digest.hexdigest() if self.open else self._prev)
        if digest is None:
            return False
        self._prev, self._block_digest = digest, hashlib.sha256(digest.encode())
        self.verified, self.open = self.verified + self.open + 1, 0
        return True

    def follow_all(self, lines: bytes) -> int | None:
        """Take whole lines at once; None if one of them was changed.

        Returns:
            The length of the lines up to the last one with hashes: those after it are not verified.
        """
        start = done = 0
        while (mark := lines.find(_HASH_MEMBER, start)) >= 0:
            line_start = max(start, lines.rfind(b"\n", start, mark) + 1)
            self._follow_open(lines, start, line_start)
            done = start = lines.find(b"\n", mark) + 1
            if not self.follow(lines[line_start:start]):
                return None
        self._follow_open(lines, start, len(lines))
        return done

    def _follow_open(self, lines: bytes, start: int, end: int) -> None:
        """Take lines without hashes, which the next line with hashes verifies."""
        if start < end:
            self._block_digest.update(memoryview(lines)[start:end])
            self.open += lines.count(b"\n", start, end)


def last_hash(path: Path, end: int) -> str | None:
    """The hash of the line that ends at offset `end`; None if no line with a hash ends there."""
    tail = len(GENESIS_HASH) + len(b'"}\n')
    if end < tail:
        return None
    with path.open("rb") as file:
        found = os.pread(file.fileno(), tail, end - tail)
    match = _LINE_END.fullmatch(found)
    return match[1].decode() if match else None


def recorded_ids(folder: Path, ids: Collection[str], days: Collection[str]) -> set[str]:
    """Which of `ids` have a record in the files of `days`; reads whole files, so use it rarely."""
    marks = {f'{{"id":"{each}",'.encode(): each for each in ids}
    found = set()
    for day in days:
        for path in folder.glob(f"predictions_{day}.*.jsonl"):
            with path.open("rb") as file:
                found |= {
                    marks[mark] for line in file if (mark := line[: line.find(b",") + 1]) in marks
                }
    return found
