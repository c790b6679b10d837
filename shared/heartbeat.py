"""Heartbeat of a process: a file whose time of modification changes while its main loop runs.

The supervisor names the file in the environment and kills a process whose heartbeat has stopped. A
process that it did not start has none.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import ClassVar

FILE_VARIABLE = "HEARTBEAT_FILE"
"""Environment variable with the path of the file, which the supervisor has created."""

BEAT_INTERVAL_S = 1.0
"""Time between two heartbeats, seconds."""


class Heartbeat:
    """The heartbeat of this process."""

    last_s: ClassVar[float | None] = None
    """Monotonic time of the last one, seconds; None before the first."""

    def __init__(self) -> None:
        self._path = os.environ.get(FILE_VARIABLE)

    @property
    def is_expected(self) -> bool:
        """Whether the supervisor reads it."""
        return bool(self._path)

    def beat(self) -> None:
        """Show that the main loop runs; errors of the disk are ignored."""
        Heartbeat.last_s = time.monotonic()
        if self._path:
            with contextlib.suppress(OSError):
                os.utime(self._path)


def heartbeat_environment(path: Path) -> dict[str, str]:
    """The environment variables of a process that writes its heartbeat to a file."""
    return {FILE_VARIABLE: str(path)}
