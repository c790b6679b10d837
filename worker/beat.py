"""Scheduler of beat: it keeps its schedule in memory, so that no full disk stops it.

Celery's own scheduler stores when each task last ran. The only task here repeats every few seconds.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry, Scheduler, SchedulingError

from shared.logging import get_logger
from worker.broker_channel import CONNECTION_PAUSES

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

    def _ensure_connected(self) -> Any:
        """Connect, with pauses that do not grow to half a minute while a failover lasts."""

        def report(error: Exception, interval_s: float) -> None:
            log.warning("broker_not_reached", error=str(error), again_in_s=interval_s)

        connection: Any = self.connection  # its annotations know no endless retries
        return connection.ensure_connection(report, None, **CONNECTION_PAUSES)

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one task."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.warning("task_not_sent", task=entry.task, error=str(error))
