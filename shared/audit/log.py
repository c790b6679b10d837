"""The audit log: one file per writer and day, in the form of `shared.audit.chain`."""

import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

import orjson

from shared.audit.chain import (
    PREDICTIONS_PREFIX,
    ClockStep,
    chain,
    day_of,
    file_name,
    file_pattern,
    recorded_ids,
    step_suffix,
)
from shared.audit.file_state import CheckpointError, FileState
from shared.audit.flusher import close_at_exit, schedule_flush
from shared.audit.list_records import ListRecords
from shared.audit.sums import Record
from shared.blobs.local import fsync_folder
from shared.domain.clock import DAY_S, Clock
from shared.domain.errors import AuditNotFlushed, AuditUnavailable
from shared.domain.ids import new_id
from shared.logging import get_logger
from shared.metrics import AUDIT_FAILURES, AUDIT_RECORDS
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.audit.checkpoints import Checkpoints

CLOCK_STEP_S = 1.0
"""A clock that gains or loses as much between two writes was set, or the host was suspended."""

RECENT_DAYS = 2
"""Days that are searched for a record that may have been written already."""

_FILE = file_pattern(PREDICTIONS_PREFIX)

log = get_logger("audit")


class Fsync(StrEnum):
    """When records are flushed to the disk; the names are those of Redis' `appendfsync`."""

    ALWAYS = "always"
    """Before the answer."""
    EVERYSEC = "everysec"
    """Every second, in the background."""
    NO = "no"
    """When the operating system does so."""


@dataclasses.dataclass(slots=True)
class _PendingWrite:
    """The records of one call of `append`."""

    records: Sequence[Record]
    bodies: list[bytes]
    is_written: bool = False
    failure: str = "not written"


@dataclasses.dataclass(frozen=True, slots=True)
class _Range:
    """Bytes `start` to `end` of a file of the log."""

    name: str
    start: int
    end: int


class AuditLog:
    """The audit log, in files of this process.

    While the disk is full, `append` raises `AuditUnavailable`, and the answer is not given.

    Threads that call `append` while another one writes wait; then one of them writes the records
    of all of them by one system call. `append` returns after its records were written. A
    background thread flushes the file to the disk and writes its checkpoint every second.

    Args:
        folder: folder of the log; created if it is missing.
        writer: name of this process, new at each start, so that no two processes share a file.
        clock: the time of day; its UTC day names the file.
        kind: `PREDICTIONS_PREFIX` or `OUTCOMES_PREFIX`.
        fsync: when records are flushed to the disk.
        checkpoints: where the state of each file is kept; None: nowhere.
        monotonic: a clock that is never set. After a step of the time of day a new file is begun,
            so that the records of a file are in the order of time. None: steps are not noticed.
    """

    def __init__(
        self,
        folder: Path,
        writer: str,
        clock: Clock,
        kind: str = PREDICTIONS_PREFIX,
        *,
        fsync: Fsync = Fsync.NO,
        checkpoints: "Checkpoints | None" = None,
        monotonic: Clock | None = None,
    ) -> None:
        self._kind = kind
        self._folder = folder
        self._writer = writer
        self._clock = clock
        self._fsync = fsync
        self._checkpoints = checkpoints
        self._monotonic = monotonic
        self._clock_offset = clock() - monotonic() if monotonic else 0.0
        self._lock = threading.Lock()
        self._waiting: deque[_PendingWrite] = deque()  # its appends are atomic
        self._day_ends_at = 0.0
        """Unix time, seconds."""
        self._step = ""
        """What the last step of the clock adds to the name of the writer."""
        self._descriptor = -1
        self._file = FileState("")
        self._written = 0
        """Bytes written since the start, to all files."""
        self._sync_lock = threading.Lock()
        self._synced = 0
        self._is_flush_due = False
        self._unsure: list[_Range] = []
        """What failed flushes may have dropped of files that are no longer the current one."""
        self._sync_failure = ""
        """Why the last flush failed; "" if it did not."""
        self._checkpoint_lock = threading.Lock()
        self._without_checkpoint = ""
        """A new file that is listed, but whose first checkpoint the disk has refused."""
        self._closed_file = ""
        """Name of the last file that was closed."""
        self._times_closed = 0

    @classmethod
    def of(cls, settings: Settings, process: str, clock: Clock, checkpoints: "Checkpoints") -> Self:
        """The log of these settings, for the answers of this process, which is of a kind."""
        return cls(
            settings.audit_folder,
            f"{process}-{os.getpid()}-{new_id()}",
            clock,
            fsync=Fsync(settings.audit_fsync),
            checkpoints=checkpoints,
            monotonic=time.monotonic,
        )

    def check(self) -> None:
        """Check that the last flush succeeded; a failed one is repeated in the background.

        Raises:
            AuditUnavailable: it failed, and records are refused.
        """
        if self._sync_failure:
            raise AuditUnavailable(reason=self._sync_failure)

    @property
    def _is_durable(self) -> bool:
        return self._fsync is not Fsync.NO

    @property
    def syncs_before_answer(self) -> bool:
        """Whether an answer must wait until its record is on the disk."""
        return self._fsync is Fsync.ALWAYS

    def append(self, records: Sequence[Record]) -> None:
        """Write the records as one block; with `Fsync.ALWAYS` they are then on the disk.

        Raises:
            AuditNotFlushed: the file contains the block, but the flush failed.
            AuditUnavailable: the write failed; the file contains nothing of the block.
        """
        self.write(records)
        if self._fsync is Fsync.ALWAYS:
            self.sync()

    def write(self, records: Sequence[Record]) -> None:
        """Write the records as one block, handed to the operating system.

        Raises:
            AuditUnavailable: the write failed; the file contains nothing of the block.
        """
        block = _PendingWrite(records, _encode(records))
        self._waiting.append(block)
        with self._lock:
            if self._waiting and not block.is_written:
                self._write_waiting()
        if not block.is_written:
            raise AuditUnavailable(reason=block.failure)

    def sync(self) -> None:
        """Flush all written records to the disk; threads that call at once share one flush.

        Raises:
            AuditNotFlushed: the disk refuses. Later records are refused until it accepts.
        """
        wanted = self._written
        with self._sync_lock:
            if self._synced >= wanted and not self._sync_failure:
                return
            flushed = None
            try:
                with self._lock:
                    if self._descriptor < 0:
                        return
                    if self._sync_failure:
                        self._sync_again()
                        return
                    written, descriptor = self._written, os.dup(self._descriptor)
                    flushed = self._unsynced()
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                with self._lock:
                    self._sync_failure = error.strerror or str(error)
                    if flushed and flushed.name != self._file.name:
                        self._unsure.append(flushed)
                AUDIT_FAILURES.inc()
                raise AuditNotFlushed(reason=self._sync_failure) from error
            with self._lock:
                if self._sync_failure:  # of another flush at the same time, maybe of these records
                    raise AuditNotFlushed(reason=self._sync_failure)
                self._synced = max(self._synced, written)

    def _unsynced(self) -> _Range:
        """The part of the current file that no flush has covered; the lock is held."""
        size = self._file.size
        return _Range(self._file.name, max(0, size - (self._written - self._synced)), size)

    def _sync_again(self) -> None:
        """Write what a failed flush may have dropped again, and flush it; the lock is held.

        The operating system reports an error once and then takes the lost pages for written:
        another fsync alone would succeed without their data.

        Raises:
            OSError: the disk refuses.
        """
        while self._unsure:
            self._rewrite(self._unsure[-1])
            self._unsure.pop()
        self._rewrite(self._unsynced())
        self._synced, self._sync_failure = self._written, ""

    def _rewrite(self, part: _Range) -> None:
        start = part.start
        # Not the open descriptor: it appends, wherever it is told to write.
        with (self._folder / part.name).open("r+b", buffering=0) as file:
            unsure = os.pread(file.fileno(), part.end - start, start)
            while unsure:
                written = os.pwrite(file.fileno(), unsure, start)
                unsure, start = unsure[written:], start + written
            os.fdatasync(file.fileno())

    def flush(self) -> None:
        """Flush the file to the disk and write its checkpoint.

        Raises:
            AuditUnavailable: the disk refuses.
            CheckpointError: the checkpoint cannot be written.
        """
        with self._lock:
            self._is_flush_due = False
            state = self._file.copy()
        try:
            if self._is_durable:
                self.sync()
            self._write_checkpoint(state)
        except (AuditUnavailable, CheckpointError):
            self._is_flush_due = True
            raise

    def recorded(self, ids: Collection[str]) -> set[str]:
        """Which of the ids have a record of the last two days, by any writer.

        These are the last two by the clock, and the last two that have files: the clock may have
        been set by days.
        """
        return recorded_recently(self._folder, ids, self._clock())

    def close(self) -> None:
        """Close the current file; a later record opens another one.

        It may come from a thread that still answers while the process stops.
        """
        with self._lock:
            if self._descriptor >= 0:
                self._times_closed += 1
                self._finish_file()
                os.close(self._descriptor)
                self._descriptor = -1
                self._day_ends_at = 0.0

    def _write_waiting(self) -> None:
        """Write all waiting records or none."""
        blocks = [self._waiting.popleft() for _ in range(len(self._waiting))]
        bodies = [body for block in blocks for body in block.bodies]
        try:
            if self._sync_failure:
                self._sync_again()
            now = self._clock()
            self._notice_step(now)
            if now >= self._day_ends_at:
                self._rotate(now)
            lines, last, count = chain(bodies, self._file.head)
            self._write(lines)
        except OSError as error:
            AUDIT_FAILURES.inc()
            for block in blocks:
                block.failure = error.strerror or str(error)
            return
        self._written += len(lines)
        self._file.extend(len(lines), count, last)
        for block in blocks:
            self._file.sums.add_records(block.records)
            block.is_written = True
        AUDIT_RECORDS.inc(count)
        if not self._is_flush_due and (self._checkpoints or self._is_durable):
            self._is_flush_due = True
            schedule_flush(self)

    def _notice_step(self, now: float) -> None:
        """Have a new file begun if the clock was set since the last write."""
        if self._monotonic is None:
            return
        offset = now - self._monotonic()
        step_s, self._clock_offset = offset - self._clock_offset, offset
        if abs(step_s) >= CLOCK_STEP_S:
            self._step = step_suffix(ClockStep(now - step_s, now))
            self._day_ends_at = 0.0

    def _rotate(self, now: float) -> None:
        """Open the file of a new day or after a step of the clock, with a new chain.

        If steps are not noticed and the clock goes back, the file of the later day stays open.
        """
        day = day_of(now)
        self._folder.mkdir(parents=True, exist_ok=True)
        writer = f"{self._writer}-{self._times_closed}" if self._times_closed else self._writer
        name = file_name(day, writer + self._step, self._kind)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._flush_ended_day()
        descriptor = os.open(self._folder / name, flags, 0o640)
        try:
            if self._is_durable:
                fsync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            self._finish_file()
            os.close(self._descriptor)
        self._descriptor, self._file = descriptor, FileState(name)
        self._day_ends_at = now - now % DAY_S + DAY_S
        close_at_exit(self)
        self._list_file()

    def _flush_ended_day(self) -> None:
        """Flush the file of the day that is over; without that, no other file is begun.

        Raises:
            OSError: the disk refuses; the records are written again before any other.
        """
        if self._descriptor >= 0 and self._is_durable:
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self._sync_failure = error.strerror or str(error)
                raise
            self._synced = self._written

    def _list_file(self) -> None:
        """List the new file at once: its process may be killed before the first checkpoint.

        An answer does not wait for a backup or a deletion that holds the inventory.
        """
        if self._checkpoints is not None:
            try:
                self._checkpoints.write(self._file, wait=False, durable=self._is_durable)
            except BlockingIOError:  # the first checkpoint lists it
                log.info("audit_file_not_listed", file=self._file.name)
            except CheckpointError as error:
                log.warning("audit_file_not_listed", file=self._file.name, error=str(error))
                # Its records may be refused as well, and none may follow.
                self._without_checkpoint = self._file.name
                self._is_flush_due = True
                schedule_flush(self)

    def _finish_file(self) -> None:
        """Flush a file that gets no more records, as far as the disk allows, and close it.

        The last checkpoint says so: records that anybody adds from then on are found.
        """
        try:
            if self._sync_failure:
                self._sync_again()
            if self._is_durable:
                os.fdatasync(self._descriptor)
            self._file.is_closed = True
            self._write_checkpoint(self._file)
        except (OSError, CheckpointError) as error:
            AUDIT_FAILURES.inc()
            log.warning("audit_file_not_finished", file=self._file.name, error=str(error))

    def _write_checkpoint(self, state: FileState) -> None:
        is_needed = state.records or state.name == self._without_checkpoint
        if self._checkpoints is None or not is_needed:
            return
        with self._checkpoint_lock:
            # The flusher may come late with an earlier state of a file that was closed meanwhile.
            if state.name != self._closed_file:
                self._checkpoints.write(state, durable=self._is_durable)
                self._without_checkpoint = ""
                if state.is_closed:
                    self._closed_file = state.name

    def _write(self, lines: bytes) -> None:
        """Write all of the lines or leave the file as it was."""
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise


def _encode(records: Sequence[Record]) -> list[bytes]:
    """The records as JSON, without hashes."""
    found: list[bytes] = []
    for record in records:
        if isinstance(record, ListRecords):
            found += record.encode()
        else:
            found.append(orjson.dumps(record.to_json()))
    return found


def recorded_recently(folder: Path, ids: Collection[str], now: float) -> set[str]:
    """Which of the ids have a record of the last two days; see `AuditLog.recorded`.

    Raises:
        OSError: the log cannot be read.
    """
    names = (path.name for path in folder.glob(f"{PREDICTIONS_PREFIX}_*.jsonl"))
    days = sorted({match[1] for name in names if (match := _FILE.fullmatch(name))})
    last = {day_of(now), day_of(now - DAY_S), *days[-RECENT_DAYS:]}
    return recorded_ids(folder, ids, last)
