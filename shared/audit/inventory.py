"""The inventory: an append-only list of the files of the audit log, each line chained and signed.

It holds names, sizes and hashes, and nothing of the records.
"""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import orjson

from shared.audit.file_state import CheckpointError
from shared.audit.signing import authentic, mac_of, signed
from shared.blobs.local import fsync, fsync_folder, temporary_file
from shared.i18n.command import gettext as _

SCHEMA = 1
FIRST_MAC = "0" * 64
_TAIL_BYTES = 1 << 16


class Kind(StrEnum):
    """What an entry says."""

    STARTED = "started"
    """The inventory begins here."""
    RESTARTED = "restarted"
    """It begins here although there was one before: it was removed."""
    OPENED = "opened"
    """A process writes the file; its checkpoint says how far."""
    COMPLETE = "complete"
    """The file gets no more lines."""
    ADOPTED = "adopted"
    """The file was there when the inventory began, or an operator listed it."""
    ERASED = "erased"
    """Records were deleted from the file on request, and it was chained again."""
    REMOVED_BEFORE = "removed_before"
    """All files of earlier days were deleted by the retention or an operator."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """A file, at least up to here."""

    name: str
    size: int = 0
    """Bytes."""
    head: str = ""
    """Hash of the line that ends there; "" if it is empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A line of the inventory."""

    kind: Kind
    at: float
    """Unix time, seconds."""
    file: FileEntry | None = None
    day: str = ""
    """Of `REMOVED_BEFORE`."""

    def body(self, prev: str) -> bytes:
        """The line without its MAC; `prev` is the MAC of the line before."""
        line: dict[str, Any] = {"v": SCHEMA, "kind": str(self.kind), "at": self.at}
        if self.file is not None:
            line |= {"file": self.file.name, "bytes": self.file.size, "head": self.file.head}
        if self.day:
            line["day"] = self.day
        return orjson.dumps(line | {"prev": prev})

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Self:
        """The inverse of `body`; unknown members are ignored.

        Raises:
            ValueError, KeyError: the line is of a newer version.
        """
        file = None
        if "file" in given:
            file = FileEntry(given["file"], given["bytes"], given["head"])
        return cls(Kind(given["kind"]), given["at"], file, given.get("day", ""))


class Inventory:
    """Reads and writes the file; the caller holds its lock.

    Args:
        path: the file.
        key: of the MACs.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key

    def create(self, entries: Sequence[Entry]) -> None:
        """Write a new inventory, atomically and durably."""
        lines, _ = self._encode(entries, FIRST_MAC)
        with temporary_file(self._path) as (temporary, file):
            file.write(lines)
            fsync(file)
            temporary.replace(self._path)
        fsync_folder(self._path.parent)

    def append(self, entries: Iterable[Entry]) -> None:
        """Append entries, durably; a line that a crash cut off is removed first."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            start = max(0, size - _TAIL_BYTES)
            tail = os.pread(descriptor, size - start, start)
            whole = tail[: tail.rfind(b"\n") + 1]
            if len(whole) < len(tail):
                os.ftruncate(descriptor, start + len(whole))
            lines, _mac = self._encode(entries, self._last_mac(whole))
            written = os.write(descriptor, lines)
            if written < len(lines):
                os.ftruncate(descriptor, start + len(whole))
                raise CheckpointError(_("{path}: the disk is full").format(path=self._path))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> list[Entry]:
        """All entries.

        Raises:
            CheckpointError: a line was changed, is missing, or is of a newer version.
        """
        entries, prev = [], FIRST_MAC
        text = self._path.read_bytes()
        for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), 1):
            given = authentic(self._key, line)
            if given is None:
                raise CheckpointError(
                    _("{name}: line {number} is not authentic").format(
                        name=self._path.name, number=number
                    )
                )
            if given["prev"] != prev:
                raise CheckpointError(
                    _("{name}: a line before line {number} is missing").format(
                        name=self._path.name, number=number
                    )
                )
            try:
                entries.append(Entry.from_json(given))
            except (KeyError, ValueError) as error:
                raise CheckpointError(
                    _("{name}: line {number} is of a newer version").format(
                        name=self._path.name, number=number
                    )
                ) from error
            prev = given["mac"]
        return entries

    def _last_mac(self, lines: bytes) -> str:
        """The MAC to which the next line is chained; raises `CheckpointError` if it is damaged."""
        if not lines:
            return FIRST_MAC
        try:
            mac: str = orjson.loads(lines.splitlines()[-1])["mac"]
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(
                _("{path}: the last line is damaged").format(path=self._path)
            ) from None
        return mac

    def _encode(self, entries: Iterable[Entry], prev: str) -> tuple[bytes, str]:
        lines = []
        for entry in entries:
            body = entry.body(prev)
            prev = mac_of(self._key, body)
            lines.append(signed(body, prev) + b"\n")
        return b"".join(lines), prev
