"""How many estimates one process of the API keeps per day, so that nobody fills the disk."""

import threading
from collections import Counter

from shared.domain.clock import DAY_S
from shared.domain.errors import StorageUnavailable
from shared.domain.ids import CallerId

PER_CALLER = 10_000
"""Without keys everybody is one caller."""
TOTAL = 50_000


class DailyQuota:
    """Counts kept estimates per caller and day (UTC), in this process only.

    Args:
        per_caller: how many one caller may have kept per day.
        total: how many all callers together may.
    """

    def __init__(self, per_caller: int = PER_CALLER, total: int = TOTAL) -> None:
        self.per_caller = per_caller
        self.total = total
        self._day = 0
        self._kept: Counter[CallerId] = Counter()
        self._lock = threading.Lock()

    def require_left(self, caller: CallerId, now: float) -> None:
        """Refuse a caller who may have no more estimates kept today.

        Args:
            caller: who asks.
            now: Unix time, seconds.

        Raises:
            StorageUnavailable: the number of the day is reached.
        """
        with self._lock:
            self._start_day(now)
            is_left = self._kept[caller] < self.per_caller and self._kept.total() < self.total
        if not is_left:
            raise StorageUnavailable(reason="as many estimates as allowed were kept today")

    def count(self, caller: CallerId, now: float) -> None:
        """Count an estimate that was kept."""
        with self._lock:
            self._start_day(now)
            self._kept[caller] += 1

    def _start_day(self, now: float) -> None:
        day = int(now // DAY_S)
        if day != self._day:
            self._day = day
            self._kept.clear()
