"""Empties the index over the sale reports when files of the log are deleted."""

import contextlib
import sqlite3
from pathlib import Path

from shared.audit.file_state import CheckpointError

SALES_INDEX = "outcomes.sqlite3"
"""The index; without tables it is built again from the files at its next use."""

BUSY_TIMEOUT_S = 10.0


def empty_sales_index(folder: Path) -> None:
    """Delete what the index holds of all reports, and have it built again.

    It is not unlinked: a process may be writing it.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = folder / SALES_INDEX
    if not path.exists():
        return
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        with contextlib.closing(connection) as index:
            index.execute("PRAGMA secure_delete = ON")
            index.execute("BEGIN IMMEDIATE")
            for table in ("outcomes", "files"):
                index.execute(f"DROP TABLE IF EXISTS {table}")
            index.execute("PRAGMA user_version = 0")
            index.execute("COMMIT")
    except sqlite3.Error as error:
        raise CheckpointError(f"{path}: {error}; delete it while the service is stopped") from error
