"""Refuses single cars that would wait too long because the service is busy.

By Little's law, a request waits as long as the service needs for all that are in progress. Their
effort is limited so that this time stays below a limit. A refusal costs a fraction of an answer,
because it is decided before anything is read: the service keeps its throughput under any load.
"""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from api.valuations.waiting import has_space
from shared.domain.valuation import Extra

MIN_EFFORT = 128
"""So much may always be in progress: a group of requests that come at once is no overload."""

EXTRA_EFFORT = 4
"""Effort of an extra, in cars without extras, of API and workers together."""

RATE_MEMORY_S = 0.5
"""A measurement that is this much older counts a third."""


def effort_of_query(query: bytes) -> int:
    """The effort of a single car with this query string, in cars without extras."""
    if b"=" not in query:
        return 1
    decoded = unquote_to_bytes(query)
    named = decoded.count(b"include=")
    return 1 + EXTRA_EFFORT * min(named and named + decoded.count(b","), len(Extra))


@dataclasses.dataclass(slots=True)
class AdmittedRequest:
    """A request that counts as in progress until it leaves."""

    caller: str
    effort: int
    is_counted: bool = True


class AdmissionControl:
    """Limits the effort in progress, and shares it between callers. Not thread-safe.

    Args:
        max_delay_s: how long a request may wait for others, seconds.
        is_stalled: whether the workers are stopped, not busy. Then requests are not refused: they
            wait as long as their callers want, and become jobs.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        max_delay_s: float,
        is_stalled: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_delay_s = max_delay_s
        self._is_stalled = is_stalled
        self._clock = clock
        self._in_progress: Counter[str] = Counter()
        self._total = 0
        self._busy_since = 0.0
        self._done, self._busy_s = 0.0, RATE_MEMORY_S
        """Recent effort, and the time that it took."""

    @property
    def max_effort(self) -> float:
        """How much effort may be in progress."""
        return max(MIN_EFFORT, self._done / self._busy_s * self._max_delay_s)

    def admit(self, caller: str, effort: int) -> AdmittedRequest | None:
        """Count a request as in progress; None if it is refused."""
        request = AdmittedRequest(caller, effort, is_counted=False)
        return request if self.resume(request) else None

    def resume(self, request: AdmittedRequest) -> bool:
        """Count a request that has left again; False if it is refused."""
        if request.is_counted:
            return True
        own = self._in_progress[request.caller]
        if (
            self._total
            and not has_space(
                own=own, total=self._total, maximum=self.max_effort, more=request.effort
            )
            and not self._is_stalled()
        ):
            return False
        if not self._total:
            self._busy_since = self._clock()
        self._in_progress[request.caller] = own + request.effort
        self._total += request.effort
        request.is_counted = True
        return True

    def leave(self, request: AdmittedRequest, *, is_done: bool = True) -> None:
        """Count a request no more; `is_done`: it was answered."""
        if not request.is_counted:
            return
        request.is_counted = False
        self._total -= request.effort
        self._in_progress[request.caller] -= request.effort
        if not self._in_progress[request.caller]:
            del self._in_progress[request.caller]
        now = self._clock()
        elapsed_s, self._busy_since = now - self._busy_since, now
        kept = math.exp(-elapsed_s / RATE_MEMORY_S)
        self._done = self._done * kept + request.effort * is_done
        self._busy_s = self._busy_s * kept + elapsed_s
