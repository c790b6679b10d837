"""Verifies an audit log: its chains, and that no file and no end of a file is missing."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, file_pattern
from shared.audit.checkpoints import (
    CHECKPOINT_SUFFIX,
    CLOSED,
    INVENTORY_FILE,
    checkpoint_path,
    has_checkpoints,
    is_log_file,
)
from shared.audit.checks.file_check import check_file
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import Entry, FileEntry, Inventory, Kind
from shared.audit.signing import authentic, has_inventory, read_key
from shared.domain.ids import id_timestamp, is_id
from shared.i18n.command import gettext as _

OPEN_BATCH_S = 86_400.0
"""A batch of this age whose files are not listed is not open any more."""
OPENING_S = 10.0
"""A process lists its file within this time."""
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)


@dataclasses.dataclass(slots=True)
class Report:
    """What a verification found."""

    files: int = 0
    records: int = 0
    """Valid records, up to the first fault of each file."""
    uncovered: int = 0
    """Those of them that came after the last checkpoint of their file."""
    torn: list[str] = dataclasses.field(default_factory=list)
    """Files whose last line was cut off, although nothing that was recorded is missing."""
    broken: int = 0
    """Files with faults; those that are missing are not among `files`."""
    faults: list[str] = dataclasses.field(default_factory=list)
    since: float | None = None
    """Unix time at which the inventory begins; None: there is none to compare with."""
    adopted: int = 0
    """Files that were there before the inventory, or were listed by an operator."""
    open_segments: int = 0
    """Files of batches that have not ended: they are listed when their batch ends."""

    def add(self, fault: str) -> None:
        """Add a fault of a file."""
        self.faults.append(fault)
        self.broken += 1


def verify_log(
    folder: Path, checkpoints: Path | None = None, key_file: Path | None = None
) -> Report:
    """Verify all files of a log.

    Args:
        folder: the audit log.
        checkpoints: their folder; None: only the chains are verified.
        key_file: the key of the checkpoints.

    Raises:
        OSError: a file cannot be read.
    """
    report = Report()
    # Read before the folder is listed: files that are added meanwhile are not expected.
    expected = None
    if checkpoints is not None and key_file is not None:
        expected = read_expected(checkpoints, key_file, report)
    present = sorted(path for path in folder.glob("*.jsonl") if is_log_file(path))
    for path in present:
        verify_file(path, expected, report)
    if expected is not None:
        report.open_segments = expected.open_segments
        for name in expected.missing({path.name for path in present}):
            if not (folder / name).exists():
                report.add(_("{name}: the file was removed").format(name=name))
    return report


def verify_files(paths: Sequence[Path], checkpoints: Path, key_file: Path) -> Report:
    """Verify some files of a log; others that are missing are not found.

    Raises:
        OSError: a file cannot be read.
    """
    report = Report()
    expected = read_expected(checkpoints, key_file, report)
    for path in paths:
        verify_file(path, expected, report)
    return report


def verify_file(path: Path, expected: "ExpectedFiles | None", report: Report) -> None:
    """Verify a file of a log, and add what was found to the report.

    Args:
        path: the file.
        expected: what inventory and checkpoints say; None: nothing.
        report: gets what was found.
    """
    report.files += 1
    try:
        _verify_readable(path, expected, report)
    except OSError as error:
        report.add(f"{path.name}: {error.strerror or error}")


def _verify_readable(path: Path, expected: "ExpectedFiles | None", report: Report) -> None:
    anchor, fault, is_complete = None, "", False
    if expected is not None:
        try:
            anchor = expected.anchor(path)
        except CheckpointError as error:
            fault = str(error)
        is_complete = expected.is_complete(path.name)
    found = check_file(path, anchor)
    report.records += found.records
    if anchor is not None and not is_complete:
        report.uncovered += found.records - found.covered
        if found.is_torn:  # the checkpoint shows that nothing is missing before it
            report.torn.append(f"{path.name}: {found.fault}")
            return
    if found.fault or fault:
        report.add(f"{path.name}: {found.fault or fault}")
    elif is_complete and anchor is not None and path.stat().st_size > anchor.size:
        report.add(_("{name}: something was added after it was complete").format(name=path.name))


def read_expected(checkpoints: Path, key_file: Path, report: Report) -> "ExpectedFiles | None":
    """What inventory and checkpoints say; None, with the reason, if they cannot be trusted."""
    path = checkpoints / INVENTORY_FILE
    try:
        key = read_key(key_file)
        if key is not None and path.exists():
            return ExpectedFiles(checkpoints, key, Inventory(path, key).read(), report)
        if key is None:
            if path.exists() or has_checkpoints(checkpoints):
                report.add(
                    _("{key_file}: the key of the checkpoints is missing").format(key_file=key_file)
                )
        elif has_inventory(key_file) or has_checkpoints(checkpoints):
            report.add(_("{path}: the inventory was removed").format(path=path))
    except CheckpointError as error:
        report.add(str(error))
    return None


class ExpectedFiles:
    """What inventory and checkpoints say of the files.

    Args:
        checkpoints: their folder.
        key: of the MACs.
        entries: of the inventory.
        report: gets what the inventory says of itself.
    """

    def __init__(
        self, checkpoints: Path, key: bytes, entries: Sequence[Entry], report: Report
    ) -> None:
        self._checkpoints = checkpoints
        self._key = key
        self._files: dict[str, FileEntry | None] = {}
        self._adopted: set[str] = set()
        self._complete: set[str] = set()
        self._closed: set[str] = set()
        self._removed_before = ""
        self.open_segments = 0
        """Files of batches that have not ended, as far as `anchor` was asked."""
        report.since = entries[0].at if entries else None
        for entry in entries:
            self._take(entry)
            if entry.kind is Kind.RESTARTED:
                at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds")
                report.add(
                    _("{name}: an earlier inventory was removed before {at}").format(
                        name=INVENTORY_FILE, at=at
                    )
                )
        report.adopted = len(self._adopted)

    def _take(self, entry: Entry) -> None:
        if entry.kind is Kind.REMOVED_BEFORE:
            self._removed_before = max(self._removed_before, entry.day)
        elif entry.file:
            # The checkpoint of an open file says how far it was written.
            self._files[entry.file.name] = None if entry.kind is Kind.OPENED else entry.file
            (self._adopted.add if entry.kind is Kind.ADOPTED else self._adopted.discard)(
                entry.file.name
            )
            is_complete = entry.kind in {Kind.COMPLETE, Kind.ERASED}
            (self._complete.add if is_complete else self._complete.discard)(entry.file.name)

    def is_complete(self, name: str) -> bool:
        """Whether a file gets no more lines, as far as `anchor` found."""
        return name in self._complete or name in self._closed

    def anchor(self, path: Path) -> FileEntry | None:
        """The line that a file must contain; None if it may have no record yet.

        Raises:
            CheckpointError: the file is not listed, or its checkpoint is missing or not authentic.
        """
        listed = self._files.get(path.name)
        # That of a complete file would be older: its process had it open when it was erased.
        written = None if path.name in self._complete else self._checkpoint(path.name)
        known = [each for each in (listed, written) if each is not None]
        if known:
            return max(known, key=lambda each: each.size)
        if path.name in self._files:
            raise CheckpointError(_("its checkpoint is missing"))
        if _is_open_segment(path.name):
            self.open_segments += 1
        elif path.stat().st_size and not _is_new(path):
            raise CheckpointError(_("the file is not in the inventory"))
        return None

    def _checkpoint(self, name: str) -> FileEntry | None:
        path = checkpoint_path(self._checkpoints, name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        given = authentic(self._key, content)
        if given is None or given["file"] != name:
            empty = _("its checkpoint is empty, as after a power failure")
            raise CheckpointError(_("its checkpoint is not authentic") if content else empty)
        if given.get(CLOSED):
            self._closed.add(name)
        return FileEntry(name, given["bytes"], given["head"])

    def missing(self, present: set[str]) -> Iterator[str]:
        """Names of files that are not there and were not deleted by the retention."""
        written = {
            path.name.removesuffix(CHECKPOINT_SUFFIX)
            for path in self._checkpoints.glob(f"*{CHECKPOINT_SUFFIX}")
        }
        for name in sorted((self._files.keys() | written) - present):
            match = _FILE.fullmatch(name)
            if match is None or match[1] >= self._removed_before:
                yield name


def _is_new(path: Path) -> bool:
    """Whether a process may have made the file just now, and lists it within a second."""
    return ".batch-" not in path.name and time.time() - path.stat().st_ctime < OPENING_S


def _is_open_segment(name: str) -> bool:
    _, mark, rest = name.partition(".batch-")
    batch_id = rest.partition("-")[0]
    return bool(mark) and is_id(batch_id) and id_timestamp(batch_id) + OPEN_BATCH_S > time.time()
