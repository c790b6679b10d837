"""Keeps what is costly to make and often asked for, up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRY_BYTES = 1_000
"""What an entry takes besides its content."""


class KeptBytes(Generic[K, V]):
    """The entries that were used last, for all threads.

    Args:
        maximum: bytes of all entries; a larger one is not kept.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.size = 0
        """Bytes of the entries."""

    def get(self, key: K) -> V | None:
        """An entry; None if it is not kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep an entry of so many bytes instead of those that were not used for the longest."""
        size += ENTRY_BYTES
        with self._lock:
            _, before = self._entries.pop(key, (None, 0))
            self.size -= before
            if size > self._maximum:
                return
            self._entries[key] = value, size
            self.size += size
            while self.size > self._maximum:
                _, (_, dropped) = self._entries.popitem(last=False)
                self.size -= dropped
