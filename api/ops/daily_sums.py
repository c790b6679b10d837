"""Sums over the audit records of a day, kept up to date file by file."""

import dataclasses
import os
import threading
from pathlib import Path

import orjson

from shared.audit.chain import last_hash
from shared.audit.checkpoints import checkpoint_path
from shared.audit.sum_files import sum_lines
from shared.audit.sums import CallerSums, FileSums, StoredSums, sums_file

SAVE_BYTES = 1 << 20
"""Bytes of a file that are read before their sums are stored."""


@dataclasses.dataclass(slots=True)
class _File:
    """How far a file has been read."""

    size: int
    """Bytes; the end of a line."""
    head: str
    sums: FileSums
    saved_size: int
    """Up to where its sums are stored."""
    signature: tuple[int, int, int] = (0, 0, 0)
    """Inode, bytes and time of the last change when it was read."""


class DaySums:
    """The sums of a day. The caller holds `lock`.

    Args:
        folder: the audit log.
        day: UTC day, `YYYY-MM-DD`.
        checkpoints: folder of the checkpoints; None: none.
    """

    def __init__(self, folder: Path, day: str, checkpoints: Path | None) -> None:
        self.lock = threading.Lock()
        self._folder = folder
        self._checkpoints = checkpoints
        self._stored_file = sums_file(folder, day)
        self._stored_offset = 0
        self._stored: dict[str, StoredSums] = {}
        self._files: dict[str, _File] = {}
        self._totals: FileSums | None = FileSums()
        """None: they must be added up again."""

    def read(self, names: list[str], max_bytes: int) -> bool:
        """Read the lines that were added; False if they have more than `max_bytes`."""
        self._read_stored()
        changed = self._changed(names)
        unread = sum(size - self._files[name].size for name, size, _ in changed)
        if unread > max_bytes:
            return False
        for name, _, signature in changed:
            self._read_tail(name, signature)
        return True

    def unread(self, names: list[str]) -> list[tuple[str, int]]:
        """Files with unread lines, and their sizes."""
        with self.lock:
            return [(name, size) for name, size, _ in self._changed(names)]

    def take(self, found: list[StoredSums]) -> None:
        """Use sums of whole files."""
        for each in found:
            self._stored[each.file] = each
            known = self._files.get(each.file)
            if known is None or known.size < each.size:
                self._set_base(each)

    def of(self, caller: str | None) -> CallerSums:
        """The sums of a caller; None: of all."""
        if self._totals is None:
            self._totals = FileSums()
            for file in self._files.values():
                self._totals.merge(file.sums)
        total = CallerSums()
        for name, sums in self._totals.items():
            if caller is None or name == caller:
                total.merge(sums)
        return total

    def unsaved(self) -> list[StoredSums]:
        """Sums of files of which much was read and nothing is stored; they then count as stored."""
        found = []
        for name, file in self._files.items():
            if file.size - file.saved_size >= SAVE_BYTES:
                file.saved_size = file.size
                found.append(StoredSums(name, file.size, file.head, file.sums))
        return found

    def _changed(self, names: list[str]) -> list[tuple[str, int, tuple[int, int, int]]]:
        """Files that are not read to their end: name, size and signature. Forgets removed ones."""
        changed, present = [], set()
        for name in names:
            try:
                state = os.stat(self._folder / name)  # noqa: PTH116 - called for thousands of files
            except FileNotFoundError:
                continue
            present.add(name)
            signature = (state.st_ino, state.st_size, state.st_mtime_ns)
            known = self._files.get(name)
            if known is not None and known.signature == signature:
                continue
            known = self._base(name, known, state.st_size)
            if known.size < state.st_size:
                changed.append((name, state.st_size, signature))
            else:
                known.signature = signature
        for name in self._files.keys() - present:
            del self._files[name]
            self._totals = None
        return changed

    def _base(self, name: str, known: _File | None, size: int) -> _File:
        """From where a file of `size` bytes is read on: what was read of it, or stored since."""
        if known is None or not self._contains(name, size, known.size, known.head):
            return self._set_base(self._best_base(name, size))
        if size - known.size > SAVE_BYTES:
            base = self._best_base(name, size)
            if base.size > known.size:
                return self._set_base(base)
        return known

    def _contains(self, name: str, size: int, known_size: int, head: str) -> bool:
        """Whether a file of `size` bytes still has the line at whose end it was read."""
        if known_size > size:
            return False
        try:
            return (last_hash(self._folder / name, known_size) or "") == head
        except FileNotFoundError:
            return False

    def _set_base(self, base: StoredSums) -> _File:
        replaced = self._files.get(base.file)
        self._files[base.file] = file = _File(base.size, base.head, base.sums.copy(), base.size)
        if replaced is not None:
            self._totals = None
        elif self._totals is not None:
            self._totals.merge(base.sums)
        return file

    def _best_base(self, name: str, size: int) -> StoredSums:
        """The stored sums that cover most of a file; empty ones if there are none."""
        known = [self._stored.get(name), self._checkpoint(name)]
        usable = [
            each
            for each in known
            if each is not None and self._contains(name, size, each.size, each.head)
        ]
        return max(usable, key=lambda each: each.size, default=StoredSums(name, 0, "", FileSums()))

    def _checkpoint(self, name: str) -> StoredSums | None:
        if self._checkpoints is None or ".batch-" in name:
            return None
        try:
            given = orjson.loads(checkpoint_path(self._checkpoints, name).read_bytes())
            sums = FileSums.from_json(given["callers"])
            return StoredSums(name, int(given["bytes"]), str(given["head"]), sums)
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def _read_stored(self) -> None:
        """Read the stored sums that were added."""
        try:
            with self._stored_file.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._stored_offset:
                    self._stored_offset = 0
                file.seek(self._stored_offset)
                text = file.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._stored_offset += len(whole)
        for line in whole.splitlines():
            if line and (found := StoredSums.decode(line)) is not None:
                self._stored[found.file] = found

    def _read_tail(self, name: str, signature: tuple[int, int, int]) -> None:
        file = self._files[name]
        try:
            added = sum_lines(self._folder / name, file.size)
        except FileNotFoundError:
            return
        file.sums.merge(added.sums)
        if self._totals is not None:
            self._totals.merge(added.sums)
        file.size, file.head, file.signature = added.size, added.head, signature
