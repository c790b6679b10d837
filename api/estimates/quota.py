"""How many estimates one process of the API keeps per day, so that nobody fills the disk."""

import threading
from collections import Counter

from shared.domain.clock import DAY_S
from shared.domain.errors import StorageUnavailable
from shared.domain.ids import CallerId

PER_CALLER = 10_000
"""Without keys everybody is one caller."""
TOTAL = 50_000
PER_ADDRESS = 200
"""Of a visitor of a demonstration; all visitors are one caller."""


class DailyQuota:
    """Counts kept estimates per caller and day (UTC), in this process only.

    Args:
        per_caller: how many one caller may have kept per day.
        total: how many all callers together may.
        per_address: how many one address of visitors may.
    """

    def __init__(
        self, per_caller: int = PER_CALLER, total: int = TOTAL, per_address: int = PER_ADDRESS
    ) -> None:
        self.per_caller = per_caller
        self.per_address = per_address
        self.total = total
        self._day = 0
        self._kept: Counter[CallerId] = Counter()
        self._by_address: Counter[str] = Counter()
        self._lock = threading.Lock()

    def require_left(self, caller: CallerId, now: float, address: str = "") -> None:
        """Refuse a caller who may have no more estimates kept today.

        Args:
            caller: who asks.
            now: Unix time, seconds.
            address: digest of the address of a visitor; empty for other callers.

        Raises:
            StorageUnavailable: the number of the day is reached.
        """
        with self._lock:
            self._start_day(now)
            is_left = self._kept[caller] < self.per_caller and self._kept.total() < self.total
            is_left = is_left and self._by_address[address] < self.per_address
        if not is_left:
            raise StorageUnavailable(reason="as many estimates as allowed were kept today")

    def count(self, caller: CallerId, now: float, address: str = "") -> None:
        """Count an estimate that was kept."""
        with self._lock:
            self._start_day(now)
            self._kept[caller] += 1
            if address:
                self._by_address[address] += 1

    def _start_day(self, now: float) -> None:
        day = int(now // DAY_S)
        if day != self._day:
            self._day = day
            self._kept.clear()
            self._by_address.clear()
