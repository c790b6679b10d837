"""Opens a log for a query: checks its files, and makes the columns that it lacks."""

import time
from collections.abc import Iterator

from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, day_of, file_pattern
from shared.audit.columns.building import PartPlan, Progress, grouped, make_parts
from shared.audit.columns.log import LogColumns
from shared.audit.columns.places import LogPlace
from shared.audit.columns.planning import LogFile, UsableParts, log_file
from shared.audit.columns.selection import Selection, is_batch
from shared.audit.columns.spans import Span, cut
from shared.audit.file_state import CheckpointError
from shared.audit.signing import read_key
from shared.audit.verification import read_expected
from shared.i18n.command import gettext as _

MIN_PART_BYTES = 8 << 20
"""Fewer new lines of today are read again by each query, so that a day has few parts."""
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)


def open_log(place: LogPlace, selection: Selection, progress: Progress) -> LogColumns:
    """The records of a log for a query.

    Args:
        place: of the log.
        selection: files that cannot have its records are not looked at.
        progress: is told how far the making of columns is.

    Raises:
        OSError: the folder cannot be read.
    """
    return _Opening(place, selection, progress).run()


class _Opening:
    def __init__(self, place: LogPlace, selection: Selection, progress: Progress) -> None:
        self._place = place
        self._selection = selection
        self._progress = progress
        self._found = LogColumns(place.folder)
        self._expected = self._found.expected = read_expected(
            place.checkpoints, place.key_file, self._found.report
        )

    def run(self) -> LogColumns:
        names = {path.name for path in self._place.folder.iterdir()}
        files = {file.path.name: file for file in self._files(names)}
        self._report_missing(names)
        key = read_key(self._place.key_file) if self._expected else None
        usable = UsableParts(self._place.folder, key or b"", files, self._is_meant)
        self._found.parts += usable.parts
        to_make: dict[tuple[str, bool], list[Span]] = {}
        for name, file in files.items():
            try:
                reading = usable.rest(file)
            except OSError as error:
                self._found.report.add(f"{name}: {error.strerror or error}")
                continue
            if reading.tail:
                self._found.tails.append(reading.tail)
            if reading.listed:
                # A part has files of a day that are always meant together.
                to_make.setdefault((_day(name), is_batch(name)), []).append(reading.listed)
        if key:
            self._make(to_make, key)
        for part in usable.unusable:
            part.delete()
        return self._found

    def _is_meant(self, name: str) -> bool:
        """Whether a file may have records of the query, by its name."""
        match = _FILE.fullmatch(name)
        return match is not None and self._selection.may_be_in_file(name, match[1])

    def _files(self, names: set[str]) -> Iterator[LogFile]:
        """The files that may have records of the query; the others of them are reported."""
        for name in sorted(names):
            if not self._is_meant(name):
                continue
            path = self._place.folder / name
            try:
                yield log_file(path, self._expected)
            except FileNotFoundError:  # it was deleted meanwhile
                continue
            except (CheckpointError, OSError):
                self._found.blame(name)

    def _report_missing(self, present: set[str]) -> None:
        for name in self._expected.missing(present) if self._expected else ():
            if self._is_meant(name) and not (self._place.folder / name).exists():
                self._found.report.add(_("{name}: the file was removed").format(name=name))

    def _make(self, to_make: dict[tuple[str, bool], list[Span]], key: bytes) -> None:
        """Make parts of the lines that have none; read those that are too few line by line."""
        plans: list[PartPlan] = []
        today = day_of(time.time())
        for (day, _is_batch), whole in to_make.items():
            if day >= today and sum(span.end - span.start for span in whole) < MIN_PART_BYTES:
                self._found.spans += whole
            else:
                plans += grouped(day, [span for each in whole for span in self._cut(each)])
        if not plans:
            return
        made, failed = make_parts(self._place.folder, plans, key, self._progress)
        # Of a file with a fault, a span that is whole in itself is not proven by a checkpoint.
        doubted = {span.file for plan in failed for span in plan.spans}
        while dropped := [part for part in made if part.files & doubted]:
            made = [part for part in made if not part.files & doubted]
            for part in dropped:
                part.delete()
                doubted |= part.files
        self._found.parts += made
        spans = [span for whole in to_make.values() for span in whole]
        self._found.spans += [span for span in spans if span.file in doubted]

    def _cut(self, span: Span) -> list[Span]:
        try:
            return list(cut(self._place.folder / span.file, span))
        except OSError:
            return [span]  # reading it says why


def _day(name: str) -> str:
    match = _FILE.fullmatch(name)
    return match[1] if match else ""
