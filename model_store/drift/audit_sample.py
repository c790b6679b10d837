"""Reads the answers of one day from the audit log: all of them, or a sample of many.

The day is that of the file's name: a batch belongs to the day on which it was accepted. A sample
consists of blocks of lines that are spread over all files of the day: in each stride of equal
length one block is drawn. A line belongs to the block in which it starts, so every line has the
same chance.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.audit.chain import FILE_PATTERN, PREDICTIONS_PREFIX

BLOCK_BYTES = 16_384
"""About forty lines: a file sorted by brand is sampled at many places."""
LINE_BYTES = 430
"""Mean length of a record, by which the number of lines of a day is guessed before reading."""
_READ_BYTES = 1 << 20


@dataclasses.dataclass(slots=True)
class DaySample:
    """The lines of a day.

    Args:
        day: UTC, YYYY-MM-DD.
        paths: its files.
        max_records: how many lines to read at most, approximately; 0: all.
    """

    day: str
    paths: Sequence[Path]
    max_records: int
    total_bytes: int = 0
    read_bytes: int = 0
    """Bytes of the blocks that were read; as `total_bytes` if there was no need to sample."""

    @property
    def weight(self) -> float:
        """Number of lines of the day for each line that was read."""
        return self.total_bytes / self.read_bytes if self.read_bytes else 1.0

    @property
    def is_sample(self) -> bool:
        """Whether lines were left out."""
        return self.read_bytes < self.total_bytes

    def lines(self) -> Iterator[bytes]:
        """The complete lines; files that are deleted meanwhile are left out."""
        sizes = [(path, size) for path in self.paths if (size := _size(path))]
        total = sum(size for _, size in sizes)
        blocks = total // BLOCK_BYTES + 1
        wanted = self.max_records * LINE_BYTES // BLOCK_BYTES
        stride = blocks // wanted if wanted and blocks > wanted else 1
        # Seeded by the day: the same log gives the same report.
        draw = random.Random(self.day)  # noqa: S311 - a sample, no secret
        chosen = draw.randrange(stride)
        number = 0
        for path, size in sizes:
            starts = []
            for start in range(0, size, BLOCK_BYTES):
                if number == chosen:
                    starts.append(start)
                number += 1
                if number % stride == 0:
                    chosen = number + draw.randrange(stride)
            yield from self._read(path, size, starts, whole=stride == 1)

    def _read(
        self, path: Path, size: int, starts: Sequence[int], *, whole: bool
    ) -> Iterator[bytes]:
        try:
            with path.open("rb", buffering=0 if not whole else _READ_BYTES) as file:
                self.total_bytes += size
                if whole:
                    self.read_bytes += size
                    yield from (line for line in file if line.endswith(b"\n"))
                    return
                for start in starts:
                    self.read_bytes += min(BLOCK_BYTES, size - start)
                    yield from _block_lines(file, start)
        except FileNotFoundError:
            return


def files_by_day(folder: Path) -> dict[str, list[Path]]:
    """The files with answers, by day; empty if there is no log.

    Raises:
        OSError: the folder cannot be read.
    """
    found: dict[str, list[Path]] = {}
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return {}
    for name in names:
        if name.startswith(PREDICTIONS_PREFIX) and (match := FILE_PATTERN.fullmatch(name)):
            found.setdefault(match[1], []).append(folder / name)
    return dict(sorted(found.items()))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _block_lines(file: BinaryIO, start: int) -> Iterator[bytes]:
    """The complete lines that start in a block."""
    # A line starts at the block's first byte only if the byte before it ends one.
    lead = 1 if start else 0
    file.seek(start - lead)
    block = file.read(BLOCK_BYTES + lead)
    first = block.find(b"\n") + 1 if lead else 0
    if lead and not first:  # the whole block is inside a line
        return
    lines = block[first:].split(b"\n")
    rest = lines.pop()
    yield from lines
    if not rest:
        return
    while b"\n" not in rest:
        more = file.read(BLOCK_BYTES)
        if not more:  # it is being written, or was cut off by a crash
            return
        rest += more
    yield rest[: rest.index(b"\n")]
