"""Snapshots that many readers share: none is made while nobody looks."""

import threading
from collections.abc import Callable

from shared.operations.snapshot import Snapshot

INTERVAL_S = 2.0
"""Time between two snapshots, while somebody looks."""


class LiveSnapshots:
    """The latest snapshot, made anew by whoever asks first after the interval.

    Args:
        read: makes a snapshot.
        clock: monotonic, seconds.
    """

    def __init__(self, read: Callable[[], Snapshot], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._made_at = float("-inf")
        self._latest: Snapshot | None = None

    def latest(self, *, is_fresh: bool = False) -> Snapshot:
        """A snapshot that is two seconds old at most.

        Args:
            is_fresh: whether it must be made now: something was changed.
        """
        with self._lock:
            now = self._clock()
            if is_fresh or self._latest is None or now - self._made_at >= INTERVAL_S:
                self._latest, self._made_at = self._read(), now
            return self._latest
