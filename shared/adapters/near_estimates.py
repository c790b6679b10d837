"""The estimates that one process was asked for last, in its own memory.

An estimate is a fact about a car and a model version: whoever asks for another car or version asks
under another key. So a copy needs no invalidation, only the end of the time that it has from the
shared cache, to the second.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable

from shared.domain.valuation import Estimate


class LocalEstimateCache:
    """A bounded memory; the least recently used go first.

    Args:
        capacity: most estimates that are kept; 0: none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[float, Estimate]] = OrderedDict()
        self._hits = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._entries)

    @property
    def hits(self) -> int:
        """How many were found here so far."""
        return self._hits

    def get(self, key: Hashable, now: float) -> tuple[float, Estimate] | None:
        """When an estimate expires (Unix time), and the estimate; None if it is not here."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[0] <= now:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            self._hits += 1
        return entry

    def put(self, key: Hashable, expires_at: float, estimate: Estimate) -> None:
        """Keep an estimate until it expires, or longer unused than others."""
        if self._capacity == 0:
            return
        with self._lock:
            self._entries[key] = (expires_at, estimate)
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
