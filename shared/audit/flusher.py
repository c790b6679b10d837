"""Flushes the audit logs of this process every second, and closes them when the process stops."""

import os
import threading
import time
import weakref
from multiprocessing.util import Finalize
from typing import Any, Protocol

from shared.audit.file_state import CheckpointError
from shared.domain.errors import AuditUnavailable
from shared.logging import get_logger

FLUSH_INTERVAL_S = 1.0
WARNING_INTERVAL_S = 60.0

log = get_logger("audit.flusher")


class Flushable(Protocol):
    """What the thread flushes."""

    def flush(self) -> None:
        """Flush what was written; raises `AuditUnavailable` or `OSError`."""


class Closable(Protocol):
    """What is closed when the process stops."""

    def close(self) -> None:
        """Close the files; it may be opened again by a later write."""


class _Closer:
    """Closes what is open when the process stops in order."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._is_called_at_exit = False

    def add(self, target: Closable) -> None:
        self._open.add(target)
        if not self._is_called_at_exit:
            self._is_called_at_exit = True
            # Not `atexit`: it is not called in a process of `multiprocessing`, as the API is.
            Finalize(None, self.close, exitpriority=0)

    def close(self) -> None:
        for target in list(self._open):
            target.close()


class _Flusher:
    """The thread. It is started by the first write and ends when nothing is due.

    It is no daemon and waits for the main thread, so that a process that stops flushes first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: list[Flushable] = []
        self._is_running = False
        self._warned_at = float("-inf")

    def schedule(self, target: Flushable) -> None:
        with self._lock:
            if target not in self._due:
                self._due.append(target)
            if not self._is_running:
                thread = threading.Thread(target=self._run, name="audit-flusher", daemon=False)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is stopping: `_run` ends at once
                    threading.Timer(0, self._flush_due).run()
                    return
                self._is_running = True

    def _run(self) -> None:
        main = threading.main_thread()
        while True:
            main.join(FLUSH_INTERVAL_S)
            failed = self._flush_due()
            with self._lock:
                if main.is_alive():
                    # A record that was added meanwhile has scheduled its log again.
                    self._due += [target for target in failed if target not in self._due]
                if not self._due:
                    self._is_running = False
                    return

    def _flush_due(self) -> list[Flushable]:
        """Flush all that is due; return those that failed."""
        due, self._due = self._due, []
        failed = []
        for target in due:
            try:
                target.flush()
            except (AuditUnavailable, CheckpointError, OSError) as error:
                self._warn(error)
                failed.append(target)
            except Exception:  # the thread must not end: nothing would be flushed any more
                log.exception("audit_not_flushed")
                failed.append(target)
        return failed

    def _warn(self, error: Exception) -> None:
        """Log a failure, once a minute: the flush is repeated every second."""
        now = time.monotonic()
        if now - self._warned_at > WARNING_INTERVAL_S:
            self._warned_at = now
            log.warning("audit_not_flushed", error=repr(error))


_flusher = _Flusher()
_closer = _Closer()


def schedule_flush(target: Flushable) -> None:
    """Have `target` flushed within a second, or before this process ends."""
    _flusher.schedule(target)


def close_at_exit(target: Closable) -> None:
    """Have `target` closed when this process stops, unless it is killed."""
    _closer.add(target)


def close_logs(**_: Any) -> None:
    """Close all logs; a receiver of Celery's signals, for processes that end by `os._exit`."""
    _closer.close()


# A forked child has no threads of its parent, and nothing of its own to flush or close.
os.register_at_fork(after_in_child=_flusher.__init__)  # type: ignore[misc]
os.register_at_fork(after_in_child=_closer.__init__)  # type: ignore[misc]
