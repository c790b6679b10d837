"""What became of each retraining, in `retraining.jsonl`, and the lock of a running one."""

import contextlib
import dataclasses
import datetime as dt
import fcntl
import json
import logging
import shutil
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from model_store.registry.atomic_files import append_line
from shared.domain.clock import DAY_S

JOURNAL_FILE = "retraining.jsonl"
LOCK_FILE = ".retraining.lock"

logger = logging.getLogger(__name__)


class RetrainingRuns(Exception):
    """Another process, of any host that shares the registry, is retraining."""


class Step(StrEnum):
    """How far a retraining came."""

    TRAINED = "trained"
    """The version is stored and is to be activated."""
    ACTIVATED = "activated"
    KEPT = "kept"
    """The active version was kept: the candidate was not better."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """One line of the journal."""

    at: str
    """UTC, ISO 8601."""
    step: Step
    key: str
    """Digest of the listings, seed and bundle schema: equal keys give equal models."""
    active: str | None
    """The version that was active when the candidate was compared."""
    version: str | None = None
    """The new version; None if it was not stored."""
    is_better: bool = False
    """Whether the comparison was in its favour."""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object."""
        return dataclasses.asdict(self)


def append_entry(versions_path: Path, entry: JournalEntry) -> None:
    """Append a line and sync it to disk; raises `OSError`."""
    versions_path.mkdir(parents=True, exist_ok=True)
    append_line(versions_path / JOURNAL_FILE, json.dumps(entry.to_json()))


def last_entry(versions_path: Path, key: str) -> JournalEntry | None:
    """The last line about these listings; None if there is none."""
    try:
        text = (versions_path / JOURNAL_FILE).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    for line in reversed(text.splitlines()):
        try:
            given = json.loads(line)
            if given["key"] == key:
                entry = JournalEntry(**given | {"step": Step(given["step"])})
                # TypeError if one is no text
                "".join((entry.at, entry.reason, entry.active or "", entry.version or ""))
                return entry
        except (ValueError, TypeError, KeyError):
            logger.warning("retraining_line_unreadable: %r", line[:80])
    return None


def utc_now() -> str:
    """The time of a journal entry."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def retraining_lock(versions_path: Path) -> Iterator[None]:
    """Hold the lock of retraining; the kernel releases that of a dead process.

    Raises:
        RetrainingRuns: another process holds it.
    """
    versions_path.mkdir(parents=True, exist_ok=True)
    with (versions_path / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetrainingRuns from None
        _remove_stale(versions_path)
        yield


def _remove_stale(versions_path: Path) -> None:
    """Delete the folders of versions whose writer was killed a day ago or earlier."""
    for folder in versions_path.glob(".new-*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime + DAY_S < time.time():
                shutil.rmtree(folder, ignore_errors=True)
