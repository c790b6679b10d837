"""Scheduler of beat: it keeps its schedule in memory, so that no full disk stops it.

Celery's own scheduler stores when each task last ran. The only task here repeats every few seconds.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry, Scheduler, SchedulingError

from shared.logging import get_logger

TICK_FILE = "run/beat-tick"
"""File in the home whose time of modification is that of the last tick."""

log = get_logger("beat")


class MemoryScheduler(Scheduler):
    """Sends the tasks of `beat_schedule`; a failure is logged, and the next time it tries again."""

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due, and touch the tick file."""
        wait_s: float = super().tick(*args, **options)
        home = os.environ.get("CARPRICE_HOME")
        if home:
            with contextlib.suppress(OSError):
                Path(home, TICK_FILE).touch()
        return wait_s

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one task."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.warning("task_not_sent", task=entry.task, error=str(error))
