"""Moves old days of the audit log to an archive: `python -m shared.audit.bundles.archive DAY`.

Each day before DAY becomes a compressed bundle, and then leaves the log. A day with a fault stays
in the log, and so do the days after it: what is in the archive was whole.
"""

import fcntl
import os
import shutil
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from shared.audit.bundles.bundle import Exported, export
from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, file_pattern
from shared.audit.checkpoints import Checkpoints
from shared.audit.columns.places import LogPlace
from shared.audit.file_state import CheckpointError
from shared.audit.retention import remove_before
from shared.logging import get_logger
from shared.settings import Settings

NICENESS = 10
LOCK_FILE = ".lock"
BUNDLE_PREFIX = "audit-"
FIRST_DAY = "0001-01-01"
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)

log = get_logger("audit.archive")


def archive_before(place: LogPlace, day: str, archive: Path, checkpoints: Checkpoints) -> int:
    """Move all days before `day` to the archive; return how many were moved.

    Another process that does it already goes on; this one then does nothing.

    Raises:
        CheckpointError: a day has a fault, or inventory or key are missing; it is in the log still.
        OSError: a disk refuses.
    """
    archive.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (archive / LOCK_FILE).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        _remove_unfinished(archive)
        names = (path.name for path in place.folder.glob("*.jsonl"))
        found = {match[1] for name in names if (match := _FILE.fullmatch(name))}
        days = sorted(each for each in found if each < day)
        first = FIRST_DAY  # that files of earlier days are missing is a fault, too
        for each in days:
            bundle, after = _new_path(archive, each), _next(each)
            done = export(place, first, each, bundle)
            _remove(place, after, checkpoints, bundle, done)
            first = after
            log.info("audit_day_archived", day=each, files=done.files, records=done.records)
        return len(days)


def _remove_unfinished(archive: Path) -> None:
    """Delete what a process that was killed has left; the caller holds the lock."""
    for path in archive.glob(f".{BUNDLE_PREFIX}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _remove(
    place: LogPlace, day: str, checkpoints: Checkpoints, bundle: Path, done: Exported
) -> None:
    """Delete the files of a bundle from the log; without that, the bundle is deleted."""
    archived = {entry.name: entry.size for entry in done.entries}
    try:
        remove_before(place.folder, day, checkpoints, archived)
    except (CheckpointError, OSError):
        if all((place.folder / name).exists() for name in archived):
            bundle.unlink()  # else each attempt would leave one
        raise


def _new_path(archive: Path, day: str) -> Path:
    """The bundle of a day; another one if a process was killed after it had written that."""
    path, number = archive / f"{BUNDLE_PREFIX}{day}.tar.zst", 1
    while path.exists():
        number += 1
        path = archive / f"{BUNDLE_PREFIX}{day}-{number}.tar.zst"
    return path


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def main() -> None:
    """Move the days before the one that is named."""
    os.nice(NICENESS)
    settings = Settings.from_env()
    if settings.audit_archive is None:
        sys.exit("AUDIT_ARCHIVE is not set")
    place = LogPlace(
        settings.audit_folder, settings.checkpoints_folder, settings.checkpoint_key_file
    )
    checkpoints = Checkpoints.of(settings, time.time)
    try:
        archive_before(place, sys.argv[1], settings.audit_archive, checkpoints)
    except (CheckpointError, OSError) as error:
        log.warning("audit_day_not_archived", error=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
