"""Finds out which columns of a log can be used, and which lines have to be read."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shared.audit.chain import GENESIS_HASH
from shared.audit.checkpoints import complete_entry
from shared.audit.columns.parts import DESCRIPTION_SUFFIX, Part
from shared.audit.columns.places import columns_folder
from shared.audit.columns.spans import Span, Stamp, is_as_read
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import FileEntry
from shared.audit.verification import ExpectedFiles

STALE_S = 3600.0
"""A file of this age that is no part belongs to a process that was killed."""


@dataclasses.dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log and what it must contain."""

    path: Path
    stamp: Stamp
    anchor: FileEntry | None
    """A line that it must contain; None: it is not listed yet, or there is no inventory."""
    is_complete: bool
    """Whether it gets no more lines."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """The lines of a file that no part has."""

    listed: Span | None
    """Those up to the anchor: they may become a part."""
    tail: Span | None
    """Those after it."""


def log_file(path: Path, expected: ExpectedFiles | None) -> LogFile:
    """What is known of a file.

    Raises:
        OSError: it cannot be read.
        CheckpointError: it is not listed, its checkpoint is not authentic, or it is longer or
            shorter than it must be.
    """
    anchor = expected.anchor(path) if expected else None
    is_complete = expected is not None and expected.is_complete(path.name)
    found = LogFile(path, Stamp.of(path), anchor, is_complete and anchor is not None)
    size = anchor.size if anchor else 0
    if found.stamp.size < size or (found.is_complete and found.stamp.size > size):
        raise CheckpointError
    return found


class UsableParts:
    """Those parts of a log that are what they were made of, each line in one part only.

    Args:
        folder: the audit log.
        key: of the checkpoints.
        files: of the log, by name.
        is_meant: whether a file is one of those, by its name; parts of others stay as they are.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        files: dict[str, LogFile],
        is_meant: Callable[[str], bool],
    ) -> None:
        self._folder = folder
        self._files = files
        self._ends: dict[str, tuple[int, str]] = {}
        self.parts: list[Part] = []
        self.unusable: list[Part] = []
        """Those that are stale, or have lines that another one has."""
        waiting = [part for part in _read_parts(folder, key) if all(map(is_meant, part.files))]
        waiting.sort(key=lambda part: min(span.start for span in part.spans))
        while unproven := self._take_all(waiting):
            self.unusable += [part for part in self.parts if part.files & unproven]
            waiting = [part for part in self.parts if not part.files & unproven]

    def _take_all(self, waiting: list[Part]) -> set[str]:
        """Take all usable ones; return files whose parts do not reach the line that proves them."""
        self.parts, self._ends = [], {}
        while True:  # a part follows that with the lines before
            left = [part for part in waiting if not self._take(part)]
            if len(left) == len(waiting):
                break
            waiting = left
        self.unusable += left
        spans = [span for part in self.parts for span in part.spans]
        return {span.file for span in spans if self._ends[span.file][0] < span.proven_at}

    def _take(self, part: Part) -> bool:
        ends = dict(self._ends)
        for span in part.spans:
            if ends.get(span.file, (0, GENESIS_HASH)) != (span.start, span.prev):
                return False
            if not self._is_current(span):
                return False
            ends[span.file] = span.end, span.head
        self._ends = ends
        self.parts.append(part)
        return True

    def _is_current(self, span: Span) -> bool:
        file = self._files.get(span.file)
        if file is None or file.anchor is None or span.end > file.anchor.size:
            return False
        if file.is_complete and file.stamp != span.stamp:
            return False
        if span.end == file.anchor.size and span.head != file.anchor.head:
            return False
        return is_as_read(self._folder, span)

    def rest(self, file: LogFile) -> Reading:
        """The lines of a file that no part has; raises `OSError`."""
        start, prev = self._ends.get(file.path.name, (0, GENESIS_HASH))
        listed = None
        anchor = file.anchor
        if anchor and anchor.size > start:
            listed = _span(file, FileEntry("", start, prev), anchor)
            start, prev = anchor.size, anchor.head
        if file.is_complete:
            return Reading(listed, None)
        end = complete_entry(file.path)
        tail = _span(file, FileEntry("", start, prev), end)
        return Reading(listed, tail if end.size > start else None)


def _span(file: LogFile, before: FileEntry, last: FileEntry) -> Span:
    """The lines of a file between two lines."""
    return Span(
        file.path.name, before.size, last.size, before.head, last.head, file.stamp, last.size
    )


def _read_parts(folder: Path, key: bytes) -> Iterator[Part]:
    """The parts of a log; what is no part, or was made with another key, is deleted."""
    names = {path.name for path in columns_folder(folder).glob("*")}
    for name in sorted(names):
        path = columns_folder(folder) / name
        if name.endswith(DESCRIPTION_SUFFIX):
            part = Part.read(path, key)
            if part is not None:
                yield part
                continue
        elif path.with_suffix(DESCRIPTION_SUFFIX).name in names:
            continue
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:  # else it may be being written
                path.unlink()
