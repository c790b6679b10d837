"""The records of an audit log in columns: verified, and from the fastest place that has them."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from shared.audit.chain import OUTCOMES_PREFIX
from shared.audit.columns.names import COLUMNS
from shared.audit.columns.parts import Part
from shared.audit.columns.selection import Selection
from shared.audit.columns.spans import NotProvenError, Span, line_at, tables
from shared.audit.file_state import CheckpointError
from shared.audit.verification import ExpectedFiles, Report, verify_file
from shared.i18n.command import gettext as _

THREADS = 4
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclasses.dataclass(slots=True)
class LogColumns:
    """The records of a log, for one query.

    Files with a fault have no part in it, and `faults` says so.
    """

    folder: Path
    parts: list[Part] = dataclasses.field(default_factory=list)
    spans: list[Span] = dataclasses.field(default_factory=list)
    """Those that are read line by line."""
    tails: list[Span] = dataclasses.field(default_factory=list)
    """Those after the last checkpoint of their file, whose chain alone proves them."""
    uncovered: int = 0
    """Records of them that were meant."""
    report: Report = dataclasses.field(default_factory=Report)
    """The faults that were found."""
    expected: ExpectedFiles | None = None
    """What inventory and checkpoints say; None: there are none."""
    _whole: dict[str, bool] = dataclasses.field(default_factory=dict)

    def read(self, selection: Selection, names: Sequence[str]) -> Iterator[pa.Table]:
        """The columns of the records that are meant, in the order of the files.

        Args:
            selection: which records.
            names: of the columns.
        """

        def from_part(part: Part) -> list[pa.Table]:
            meant = selection.without_kinds() if _has_answers_only(part) else selection
            needed = [name for name in COLUMNS if name in {*names, *meant.columns}]
            groups = [at for at, group in enumerate(part.groups) if selection.may_be_in(group)]
            try:
                return selected(part.load(groups, needed), meant, names)
            except (CheckpointError, OSError, pa.ArrowException):
                part.delete()  # somebody has changed it, or deleted its records meanwhile
                return [table for span in part.spans for table in from_span(span)]

        def from_span(span: Span) -> list[pa.Table]:
            try:
                return selected(tables(self.folder, span), selection, names)
            except (NotProvenError, OSError):
                self.blame(span.file)
                return []

        for found in _ahead(from_part, self.parts):
            yield from found
        for span in self.spans:
            yield from from_span(span)
        for span in self.tails:
            for table in from_span(span):
                self.uncovered += len(table)
                yield table

    def lines(self, records: pa.Table) -> Iterator[bytes]:
        """The lines of records, of files that are whole: columns do not show later changes.

        Raises:
            OSError: a file cannot be read.
        """
        for record in records.select(["id", "file", "offset"]).to_pylist():
            name, start = record["file"], f'{{"id":"{record["id"]}",'.encode()
            if not self._is_whole(name):
                continue
            line = line_at(self.folder / name, record["offset"])
            if line.startswith(start):
                yield line
            else:  # records were deleted meanwhile, and others stand there
                self._whole[name] = False
                self.blame(name)

    def _is_whole(self, name: str) -> bool:
        """Whether a file has no fault now; it is reported once."""
        if name not in self._whole:
            before = len(self.report.faults)
            verify_file(self.folder / name, self.expected, self.report)
            self._whole[name] = len(self.report.faults) == before
        return self._whole[name]

    @property
    def names(self) -> set[str]:
        """Names of the files whose records are found."""
        return {name for part in self.parts for name in part.files} | {
            span.file for span in (*self.spans, *self.tails)
        }

    def blame(self, name: str) -> None:
        """Report why a file, or a part of it, cannot be read."""
        before = len(self.report.faults)
        verify_file(self.folder / name, self.expected, self.report)
        if len(self.report.faults) == before:
            self.report.add(_("{name}: it was changed while it was read").format(name=name))


def _has_answers_only(part: Part) -> bool:
    return not any(name.startswith(OUTCOMES_PREFIX) for name in part.files)


def selected(
    found: Iterable[pa.Table], selection: Selection, names: Sequence[str]
) -> list[pa.Table]:
    """The columns of the records that are meant, of tables that have those of the selection."""
    selected = []
    for table in found:
        mask = selection.mask(table)
        if mask is None or mask.any():
            kept = table.select(list(names))
            selected.append(kept if mask is None or mask.all() else kept.filter(pa.array(mask)))
    return selected


def _ahead(work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """The results of threads in order, of which only a few wait to be taken."""
    waiting: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        for item in items:
            waiting.append(threads.submit(work, item))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
