"""Finds processes of a worker that hang: those of its pool, and its consumer."""

import contextlib
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from celery.worker import state

from shared.logging import get_logger
from shared.redis.owners import BEAT_INTERVAL_S
from shared.redis.workers import WorkerRegistry

HUNG_AFTER_S = 6.0
"""A process of the pool without heartbeat for this time is killed."""

STALLED_AFTER_S = 20.0
"""A consumer that is idle while messages wait in its queues ends after this time."""

STALL_CHECK_INTERVAL_S = 5.0

MAX_POOL_PROCESSES = 256

_BEAT = struct.Struct("qd")
"""A heartbeat in shared memory: process id, monotonic seconds."""

log = get_logger("owners")


class PoolHeartbeats:
    """Heartbeats of the processes of a pool, in memory that they share with their parent.

    To be created by the parent before it forks. A suspended process, or one whose interpreter does
    not run, stops writing: its parent kills it, and Celery delivers its message again.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, MAX_POOL_PROCESSES * _BEAT.size)
        self._seen: dict[int, tuple[float, float]] = {}
        """By process id: its last heartbeat, and how long it is missing, in seconds of checks."""
        self._checked_at = float("-inf")

    def write(self, index: int) -> None:
        """Write the heartbeat of this process, which has this place in the pool."""
        if index < MAX_POOL_PROCESSES:
            _BEAT.pack_into(self._memory, index * _BEAT.size, os.getpid(), time.monotonic())

    def kill_hung(self, processes: Iterable[Any]) -> None:
        """Kill the processes whose heartbeat has been missing while this one was running.

        Args:
            processes: those of the pool, each with `pid` and `index`.
        """
        now = time.monotonic()
        # A parent that was suspended itself must not take its absence for theirs.
        elapsed_s = min(now - self._checked_at, 2 * BEAT_INTERVAL_S)
        self._checked_at = now
        seen = {}
        for process in processes:
            pid, at = _BEAT.unpack_from(self._memory, process.index * _BEAT.size)
            if pid != process.pid:  # it is starting
                continue
            last, missing_s = self._seen.get(pid, (at, 0.0))
            seen[pid] = (at, missing_s + elapsed_s if at == last else 0.0)
            if seen[pid][1] > HUNG_AFTER_S:
                log.critical("pool_process_hung", pid=pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._seen = seen


class ConsumerWatch:
    """Ends a worker that takes no messages although some wait and it has nothing to do.

    Such a worker still answers and counts as alive. After a restart it takes messages again.

    Args:
        workers: reads the lengths of the queues.
        received: returns how many messages the worker has received so far.
    """

    def __init__(self, workers: WorkerRegistry, received: Callable[[], int]) -> None:
        self._workers = workers
        self._received = received
        self._last_received = 0
        self._checked_at = time.monotonic()
        self._idle_s = 0.0

    def check(self, queues: Iterable[str]) -> None:
        """Check at an interval whether the worker takes messages; kill this process if not."""
        elapsed_s = time.monotonic() - self._checked_at
        if elapsed_s < STALL_CHECK_INTERVAL_S:
            return
        self._checked_at += elapsed_s
        received = self._received()
        is_busy = received != self._last_received or bool(state.reserved_requests)
        self._last_received = received
        if is_busy or not self._has_waiting(queues):
            self._idle_s = 0.0
            return
        # A process that was suspended must get the chance to take a message.
        self._idle_s += min(elapsed_s, 2 * STALL_CHECK_INTERVAL_S)
        if self._idle_s > STALLED_AFTER_S:
            log.critical("consumer_stalled", queues=list(queues))
            os.kill(os.getpid(), signal.SIGKILL)

    def _has_waiting(self, queues: Iterable[str]) -> bool:
        lengths, _ = self._workers.waiting()
        return any(lengths.get(queue) for queue in queues)
