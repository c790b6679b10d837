"""Up to where a file of the log can be copied, with the sums of its records."""

import time
from pathlib import Path

import orjson

from shared.audit.chain import OUTCOMES_PREFIX, last_hash
from shared.audit.checkpoints import checkpoint_path, complete_entry
from shared.audit.sum_files import sum_lines
from shared.audit.sums import FileSums, StoredSums, sums_file

QUIET_S = 3.0
"""A file without a change for this time whose last records have no sums is read: its process was
killed before its last checkpoint."""


class CopiedSums:
    """Takes the sums of checkpoints and stored sums, so that no line is parsed again.

    Args:
        folder: the audit log.
        checkpoints: their folder.
    """

    def __init__(self, folder: Path, checkpoints: Path) -> None:
        self._folder = folder
        self._checkpoints = checkpoints
        self._offsets: dict[str, int] = {}
        self._stored: dict[str, StoredSums] = {}

    def of(self, path: Path, day: str, copied: int) -> StoredSums | None:
        """The first bytes of a file with their sums; None if none beyond `copied` are known yet.

        Raises:
            OSError: the file cannot be read.
        """
        state = path.stat()
        if path.name.startswith(OUTCOMES_PREFIX):
            whole = complete_entry(path)
            return StoredSums(path.name, whole.size, whole.head, FileSums())
        known = [self._checkpoint(path.name), self._of_segment(path.name, day)]
        usable = [
            each
            for each in known
            if each is not None
            and each.size <= state.st_size
            and last_hash(path, each.size) == each.head
        ]
        base = max(
            usable,
            key=lambda each: each.size,
            default=StoredSums(path.name, 0, "", FileSums()),
        )
        quiet_s = time.time() - max(state.st_mtime, state.st_ctime)
        if base.size < state.st_size and quiet_s > QUIET_S:
            added = sum_lines(path, base.size)
            if added.head:
                sums = base.sums.copy()
                sums.merge(added.sums)
                base = StoredSums(path.name, added.size, added.head, sums)
        return base if base.size > copied else None

    def _checkpoint(self, name: str) -> StoredSums | None:
        if ".batch-" in name:
            return None
        try:
            given = orjson.loads(checkpoint_path(self._checkpoints, name).read_bytes())
            sums = FileSums.from_json(given["callers"])
            return StoredSums(name, int(given["bytes"]), str(given["head"]), sums)
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def _of_segment(self, name: str, day: str) -> StoredSums | None:
        """The sums that were stored with a segment of a batch."""
        if ".batch-" not in name:
            return None
        if name not in self._stored:
            self._read_stored(day)
        return self._stored.pop(name, None)

    def _read_stored(self, day: str) -> None:
        try:
            with sums_file(self._folder, day).open("rb") as file:
                file.seek(self._offsets.get(day, 0))
                text = file.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._offsets[day] = self._offsets.get(day, 0) + len(whole)
        for line in whole.splitlines():
            if line and (found := StoredSums.decode(line)) is not None:
                self._stored[found.file] = found
