"""Keeps the copies of this host up to date: one process of each host asks the state store."""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

INTERVAL_S = 0.5
"""Time between two looks at the store: with those of the readers it stays below two seconds."""
FAILURE_LOG_INTERVAL_S = 60.0

logger = logging.getLogger(__name__)


class CopyRefresher:
    """Calls the `pull` of every copy at an interval, in a thread.

    Every process of a host may have one: the first that gets a lock works, another takes over when
    that process ends.

    Args:
        lock: file of the lock; its folder is created.
        pulls: each brings one copy up to date, and raises if it cannot.
        interval_s: time between two rounds.
        on_current: called after each round in which all copies were brought up to date.
    """

    def __init__(
        self,
        lock: Path,
        pulls: Sequence[Callable[[], object]],
        *,
        interval_s: float = INTERVAL_S,
        on_current: Callable[[], object] = lambda: None,
    ) -> None:
        self._lock = lock
        self._pulls = pulls
        self._interval_s = interval_s
        self._on_current = on_current
        self._stop = threading.Event()
        self._reported: dict[int, tuple[str, float]] = {}

    def start(self) -> None:
        """Start the thread, in this process."""
        threading.Thread(target=self._run, name="state-copies", daemon=True).start()

    def stop(self) -> None:
        """End the thread within an interval."""
        self._stop.set()

    def run_once(self) -> bool:
        """Bring every copy up to date; return whether all are."""
        failed = sum(not self._pull(number) for number in range(len(self._pulls)))
        if not failed:
            with contextlib.suppress(OSError):  # a full disk must not end the thread
                self._on_current()
        return not failed

    def _run(self) -> None:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not self._stop.wait(self._interval_s):
                if _acquire(handle):
                    self.run_once()
        finally:
            os.close(handle)

    def _pull(self, number: int) -> bool:
        try:
            self._pulls[number]()
        except Exception as error:  # noqa: BLE001 - the thread must live, other copies be refreshed
            text, now = f"{type(error).__name__}: {error}", time.monotonic()
            reported, at = self._reported.get(number, ("", 0.0))
            if text != reported or now - at >= FAILURE_LOG_INTERVAL_S:
                logger.warning("state_copy_not_refreshed: %s", text)
                self._reported[number] = (text, now)
            return False
        self._reported.pop(number, None)
        return True


def _acquire(handle: int) -> bool:
    """Whether this process holds the lock, which it keeps until it ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
