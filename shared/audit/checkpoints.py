"""Keyed checkpoints of the audit log, in a folder of their own.

`<file>.checkpoint` holds size, number of records and last hash of a file that a process writes; it
is replaced every second while records are added; the last one says that the file is closed, if its
process lived to write it. `inventory.ndjson` lists every file. All of them
carry an HMAC with a key that is stored elsewhere, so that a log whose end or files were removed, or
whose hashes were computed again, does not match.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import orjson

from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, file_pattern, last_hash
from shared.audit.file_state import CheckpointError, FileState
from shared.audit.inventory import Entry, FileEntry, Inventory, Kind
from shared.audit.signing import (
    create_key,
    has_inventory,
    mac_of,
    note_inventory,
    read_key,
    signed,
)
from shared.blobs.local import fsync_folder, temporary_file
from shared.domain.clock import Clock
from shared.i18n.command import gettext as _
from shared.logging import get_logger
from shared.metrics import AUDIT_CHECKPOINT_FAILURES
from shared.settings import Settings

SCHEMA = 1
INVENTORY_FILE = "inventory.ndjson"
LOCK_FILE = "inventory.lock"
CHECKPOINT_SUFFIX = ".checkpoint"
CLOSED = "closed"
"""Member of the last checkpoint of a file that gets no more lines."""
_TAIL_BYTES = 1 << 20
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)

log = get_logger("audit.checkpoints")


class Checkpoints:
    """Writes the checkpoints of all files of an audit log; safe for threads and processes.

    Args:
        audit_folder: the audit log.
        folder: of the checkpoints; created if it is missing.
        key_file: the key; created with the inventory, readable by its owner only.
        clock: Unix time, seconds.
    """

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Self:
        """The checkpoints of the audit log of these settings."""
        return cls(
            settings.audit_folder,
            settings.checkpoints_folder,
            settings.checkpoint_key_file,
            clock,
        )

    def __init__(self, audit_folder: Path, folder: Path, key_file: Path, clock: Clock) -> None:
        self._audit_folder = audit_folder
        self.folder = folder
        self.key_file = key_file
        self._clock = clock
        self._lock = threading.Lock()
        self._key = b""
        self._listed: set[str] = set()

    def write(self, state: FileState, *, wait: bool = True, durable: bool = True) -> None:
        """Replace the checkpoint of a file, and list the file in the inventory once.

        Args:
            state: of the file.
            wait: whether to wait while somebody else changes the inventory.
            durable: whether it is on the disk when this returns; if not, a power failure may leave
                an empty checkpoint.

        Raises:
            CheckpointError: the disk refuses, or the key is missing.
            BlockingIOError: somebody else changes the inventory; nothing was written.
        """
        with self._failures_counted():
            is_first = state.name not in self._listed
            if is_first:
                entry = Entry(Kind.OPENED, self._clock(), FileEntry(state.name))
                with self.locked(wait=wait) as inventory:
                    inventory.append([entry])
                self._listed.add(state.name)
            members = {
                "v": SCHEMA, "file": state.name, "bytes": state.size, "records": state.records,
                "head": state.head, "at": self._clock(), "callers": state.sums.to_json(),
            }  # fmt: skip
            if state.is_closed:
                members[CLOSED] = True
            body = orjson.dumps(members)
            path = checkpoint_path(self.folder, state.name)
            with temporary_file(path) as (temporary, file):
                file.write(signed(body, mac_of(self._key, body)))
                file.flush()
                if durable:
                    # Else the name may reach the disk before the content, which is then empty.
                    os.fdatasync(file.fileno())
                temporary.replace(path)
            if durable and is_first:
                # Later the folder has a checkpoint of the file in any case, an old or the new one.
                fsync_folder(self.folder)

    def list_files(self, paths: list[Path], kind: Kind = Kind.COMPLETE) -> None:
        """List files in the inventory with their sizes and last hashes.

        Raises:
            CheckpointError: the disk refuses, or the key is missing.
        """
        if paths:
            with self._failures_counted():
                now = self._clock()
                self.append([Entry(kind, now, complete_entry(path)) for path in paths])

    def forget(self, name: str) -> None:
        """Delete the checkpoint of a file that was deleted or replaced."""
        checkpoint_path(self.folder, name).unlink(missing_ok=True)

    def append(self, entries: list[Entry]) -> None:
        """Append entries to the inventory; the first call on a host begins it."""
        with self.locked() as inventory:
            inventory.append(entries)

    @contextlib.contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[Inventory]:
        """The inventory, while no other process changes it.

        Args:
            wait: whether to wait for the one that changes it.

        Raises:
            CheckpointError: the key is missing.
            BlockingIOError: another process changes it, and `wait` is False.
        """
        if not self._lock.acquire(blocking=wait):
            raise BlockingIOError
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / LOCK_FILE).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield self._open_inventory()
        finally:
            self._lock.release()

    def _open_inventory(self) -> Inventory:
        """Open the inventory; begin it, with all files that are there, if it is missing."""
        path = self.folder / INVENTORY_FILE
        key = read_key(self.key_file)
        is_new = not path.exists()
        if key is None:
            if not is_new:
                raise CheckpointError(
                    _("{key_file}: the key of the audit log is missing").format(
                        key_file=self.key_file
                    )
                )
            key = create_key(self.key_file)
        self._key = key
        inventory = Inventory(path, key)
        if is_new:
            self._begin(inventory)
        return inventory

    def _begin(self, inventory: Inventory) -> None:
        """Begin an inventory; files that are there already are listed as they are."""
        now = self._clock()
        was_removed = has_inventory(self.key_file) or has_checkpoints(self.folder)
        kind = Kind.RESTARTED if was_removed else Kind.STARTED
        found = [path for path in sorted(self._audit_folder.glob("*.jsonl")) if is_log_file(path)]
        entries = [Entry(Kind.ADOPTED, now, complete_entry(path)) for path in found]
        inventory.create([Entry(kind, now), *entries])
        with contextlib.suppress(OSError):
            note_inventory(self.key_file)
        report = log.warning if was_removed else log.info
        report("audit_inventory_begun", files=len(found), restarted=was_removed)

    @contextlib.contextmanager
    def _failures_counted(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            raise
        except (OSError, CheckpointError) as error:
            AUDIT_CHECKPOINT_FAILURES.inc()
            raise CheckpointError(str(error)) from error


def checkpoint_path(folder: Path, file: str) -> Path:
    """The checkpoint of a file of the log."""
    return folder / f"{file}{CHECKPOINT_SUFFIX}"


def has_checkpoints(folder: Path) -> bool:
    """Whether there is a checkpoint of any file."""
    return any(folder.glob(f"*{CHECKPOINT_SUFFIX}"))


def is_log_file(path: Path) -> bool:
    """Whether this is a file of the audit log, by its name."""
    return _FILE.fullmatch(path.name) is not None


def complete_entry(path: Path) -> FileEntry:
    """Size and last hash of a file, up to its last complete line."""
    size = path.stat().st_size
    head = last_hash(path, size)
    if head is None and size:  # a line was cut off by a crash, or is being written
        size = _last_line_end(path, size)
        head = last_hash(path, size)
    return FileEntry(path.name, size, head or "")


def _last_line_end(path: Path, size: int) -> int:
    start = max(0, size - _TAIL_BYTES)
    with path.open("rb") as file:
        tail = os.pread(file.fileno(), size - start, start)
    return start + tail.rfind(b"\n") + 1
