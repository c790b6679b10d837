"""Deletes old days of the audit log."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, day_of, file_pattern
from shared.audit.checkpoints import Checkpoints, complete_entry
from shared.audit.columns.places import forget_columns_before
from shared.audit.inventory import Entry, Inventory, Kind
from shared.audit.sales_index import empty_sales_index
from shared.audit.sums import SUMS_FOLDER
from shared.domain.clock import DAY_S, Clock
from shared.logging import get_logger

INTERVAL_S = 3600.0
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)

log = get_logger("audit.retention")


class AuditRetention:
    """Deletes the days that are older than the retention, once an hour.

    Args:
        folder: the audit log.
        checkpoints: of the log.
        clock: Unix time, seconds.
        days: that are kept; 0: all.
        is_archived: whether older days are moved to an archive, by a process of their own.
        monotonic: seconds.
    """

    def __init__(
        self,
        folder: Path,
        checkpoints: Checkpoints,
        clock: Clock,
        *,
        days: int,
        is_archived: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._checkpoints = checkpoints
        self._clock = clock
        self._days = days
        self._is_archived = is_archived
        self._archiving: subprocess.Popen[bytes] | None = None
        self._monotonic = monotonic
        self._next_at = 0.0

    def sweep(self) -> int:
        """Delete what is due; return the number of files that were deleted at once."""
        if not self._days or self._monotonic() < self._next_at:
            return 0
        self._next_at = self._monotonic() + INTERVAL_S
        day = day_of(self._clock() - self._days * DAY_S)
        if self._is_archived:
            if any(_is_before(path, day) for path in self._folder.glob("*.jsonl")):
                self._archive(day)
            return 0
        return remove_before(self._folder, day, self._checkpoints)

    def _archive(self, day: str) -> None:
        """Start the process: a day of millions of records takes minutes, and sweeps are short."""
        if self._archiving is None or self._archiving.poll() is not None:
            command = [sys.executable, "-m", "shared.audit.bundles.archive", day]
            self._archiving = subprocess.Popen(command, stdin=subprocess.DEVNULL)


def remove_before(
    folder: Path, day: str, checkpoints: Checkpoints, archived: Mapping[str, int] | None = None
) -> int:
    """Delete the files of all days before `day` (`YYYY-MM-DD`); return how many.

    The inventory says so first, and lists the files until they are gone: after a crash in between
    the rest is verified, archived and deleted as if nothing had happened.

    Args:
        folder: the audit log.
        day: the first that stays.
        checkpoints: of the log.
        archived: sizes of the files that may be deleted, by name: others have come, or were
            written, since; None: all.

    Raises:
        OSError: the disk refuses.
        CheckpointError: the inventory cannot be read, or its key is missing.
    """
    paths = [path for path in folder.glob("*.jsonl") if _is_before(path, day)]
    if archived is not None:
        paths = [path for path in paths if archived.get(path.name) == complete_entry(path).size]
    _forget_derived(folder, day)
    if not paths:
        return 0
    with checkpoints.locked() as inventory:
        inventory.read()  # what was changed is not added to
        inventory.append([Entry(Kind.REMOVED_BEFORE, time.time(), day=day)])
    for path in paths:
        path.unlink(missing_ok=True)
        checkpoints.forget(path.name)
    if any(path.name.startswith(OUTCOMES_PREFIX) for path in paths):
        empty_sales_index(folder)
    _forget_derived(folder, day)  # a query may have made columns meanwhile
    with checkpoints.locked() as inventory:
        _drop_entries(inventory, folder, day)
    log.info("audit_days_deleted", before=day, files=len(paths))
    return len(paths)


def _forget_derived(folder: Path, day: str) -> None:
    """Delete what was made of the records of earlier days."""
    forget_columns_before(folder, day)
    for sums in (folder / SUMS_FOLDER).glob("*.ndjson"):
        if sums.stem < day:
            with contextlib.suppress(FileNotFoundError):
                sums.unlink()


def _drop_entries(inventory: Inventory, folder: Path, day: str) -> None:
    """Drop the entries of deleted files, so that the inventory does not grow for ever."""
    kept, removed = [], day
    for entry in inventory.read():
        if entry.kind is Kind.REMOVED_BEFORE:
            removed = max(removed, entry.day)
        elif (
            entry.file is None
            or not _is_before(Path(entry.file.name), day)
            or (folder / entry.file.name).exists()
        ):
            kept.append(entry)
    inventory.create([*kept, Entry(Kind.REMOVED_BEFORE, time.time(), day=removed)])


def _is_before(path: Path, day: str) -> bool:
    match = _FILE.fullmatch(path.name)
    return match is not None and match[1] < day
