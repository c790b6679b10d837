"""Where logs and their columns are, and how columns are deleted."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

COLUMNS_FOLDER = "columns"
"""In the folder of the log."""


class LogPlace(NamedTuple):
    """Where a log and what proves it are."""

    folder: Path
    checkpoints: Path
    key_file: Path


def columns_folder(folder: Path) -> Path:
    """Where the columns of a log are; `folder` is the log."""
    return folder / COLUMNS_FOLDER


def forget_columns(folder: Path, day: str) -> None:
    """Delete the columns of a day (`YYYY-MM-DD`), of which records were deleted.

    Raises:
        OSError: the disk refuses.
    """
    _delete(folder, lambda found: found == day)


def forget_columns_before(folder: Path, day: str) -> None:
    """Delete the columns of all days before `day`.

    Raises:
        OSError: the disk refuses.
    """
    _delete(folder, lambda found: found < day)


def _delete(folder: Path, is_due: Callable[[str], bool]) -> None:
    """Delete by the day at the beginning of a name; before it, unfinished files have a dot."""
    if not columns_folder(folder).is_dir():
        return
    for path in columns_folder(folder).iterdir():
        if is_due(path.name.lstrip(".")[: len("YYYY-MM-DD")]):
            path.unlink(missing_ok=True)
