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
SILENT_AFTER_S = 3.0
"""A process that holds the lock without a sign of life for this time is suspended."""
FAILURE_LOG_INTERVAL_S = 60.0

logger = logging.getLogger(__name__)


class HostLock:
    """A lock of the processes of one host, which the holder must keep alive.

    The kernel releases it when the holder ends. If the holder is suspended instead, another process
    replaces the file; the former holder notices that when it goes on.

    Args:
        path: the file; its time is that of the holder's last sign of life.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def hold(self) -> bool:
        """Whether this process holds the lock now; a sign of life if it does."""
        if self._handle is not None:
            if self._is_current(self._handle):
                os.utime(self._handle)
                return True
            self.release()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_silent = time.time() - os.fstat(handle).st_mtime > SILENT_AFTER_S
            os.close(handle)
            if is_silent:
                logger.warning("state_lock_taken_over: its holder is suspended")
                self._path.unlink(missing_ok=True)
            return False
        self._handle = handle
        os.utime(handle)
        return self._is_current(handle)

    def release(self) -> None:
        """Let another process hold it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._path.stat())
        except FileNotFoundError:
            return False


class CopyRefresher:
    """Calls the `pull` of every copy at an interval, in a thread.

    Every process of a host may have one: the first that gets a lock works, another takes over when
    that process ends or is suspended. The lock is kept alive by a thread of its own, because a pull
    may take long.

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
        self._lock = HostLock(lock)
        self._pulls = pulls
        self._interval_s = interval_s
        self._on_current = on_current
        self._is_holder = threading.Event()
        self._stop = threading.Event()
        self._reported: dict[int, tuple[str, float]] = {}

    def start(self) -> None:
        """Start the threads, in this process."""
        for run, name in ((self._keep_lock, "state-lock"), (self._run, "state-copies")):
            threading.Thread(target=run, name=name, daemon=True).start()

    @property
    def is_holder(self) -> bool:
        """Whether this process is the one of its host that works."""
        return self._is_holder.is_set()

    def stop(self) -> None:
        """End the threads within an interval."""
        self._stop.set()

    def run_once(self) -> bool:
        """Bring every copy up to date; return whether all are."""
        failed = sum(not self._pull(number) for number in range(len(self._pulls)))
        if not failed:
            with contextlib.suppress(OSError):  # a full disk must not end the thread
                self._on_current()
        return not failed

    def _keep_lock(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                is_holder = self._lock.hold()
            except OSError as error:  # a full disk
                logger.warning("state_lock_failed: %s", error)
                is_holder = False
            if is_holder:
                self._is_holder.set()
            else:
                self._is_holder.clear()
        self._is_holder.clear()
        self._lock.release()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            if self._is_holder.is_set():
                self.run_once()

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
