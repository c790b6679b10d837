"""Requests that wait in the API process for the next micro-batch, shared fairly between callers."""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.valuations.micro_batches import EstimateFuture

FREE_SPACE_SHARE = 8
"""What one caller may have in a queue, as a multiple of the free space: eight ninths of a queue
that is empty otherwise. However many callers fill it, the next one still finds space."""

MAX_KEPT_TAGS = 64
"""Callers without requests whose next start is kept before those in the past are dropped."""


def has_space(*, own: int, total: int, maximum: float, more: int = 1) -> bool:
    """Whether a queue takes more of a caller.

    Args:
        own: what it holds of the caller.
        total: what it holds of all callers.
        maximum: what it may hold.
        more: what is to be added.
    """
    free = maximum - total
    return more <= free and own + more <= FREE_SPACE_SHARE * free


class WaitingRequests:
    """Requests by caller; the next one is that of the caller who was served least of late.

    Start-time fair queueing, as in `shared.redis.fair_queues`; the cost of a request is its
    effort. Not thread-safe.

    Args:
        maximum: returns how many requests may wait.
    """

    def __init__(self, maximum: Callable[[], int]) -> None:
        self._maximum = maximum
        self._requests: dict[str, deque[EstimateFuture]] = {}
        self._ready: list[tuple[float, str]] = []
        """Heap of the callers that have requests, by the virtual time of their next start."""
        self._tags: dict[str, float] = {}
        """Virtual time at which a caller may start again, if that is later than now."""
        self._now = 0.0
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, futures: Sequence["EstimateFuture"]) -> list["EstimateFuture"]:
        """Add requests; return those for which there is no space, all of a caller or none."""
        refused: list[EstimateFuture] = []
        total = self._total
        for caller, more in Counter(future.caller for future in futures).items():
            own = len(self._requests.get(caller, ()))
            if has_space(own=own, total=total, maximum=self._maximum(), more=more):
                total += more
                self._extend(caller, [each for each in futures if each.caller == caller])
            else:
                refused += [each for each in futures if each.caller == caller]
        return refused

    def take(self, *, max_requests: int, max_bytes: int, max_effort: int) -> list["EstimateFuture"]:
        """Remove and return the next requests within the limits, but at least one if any waits.

        Those that were abandoned are removed: the callers have left, or they have become jobs.
        """
        taken: list[EstimateFuture] = []
        size = effort = 0
        while self._ready and len(taken) < max_requests:
            tag, caller = self._ready[0]
            requests = self._requests[caller]
            if requests[0].is_abandoned:
                requests.popleft()
                self._total -= 1
                self._charge(caller, tag)
                continue
            size += len(requests[0].wire)
            effort += requests[0].effort
            if taken and (size > max_bytes or effort > max_effort):
                break
            taken.append(requests.popleft())
            self._now = max(self._now, tag)
            self._charge(caller, tag + taken[-1].effort)
        self._total -= len(taken)
        return taken

    def clear(self) -> list["EstimateFuture"]:
        """Remove and return all requests."""
        removed = [each for requests in self._requests.values() for each in requests]
        self._requests, self._ready, self._tags, self._total = {}, [], {}, 0
        return removed

    def _extend(self, caller: str, futures: Iterable["EstimateFuture"]) -> None:
        requests = self._requests.get(caller)
        if requests is None:
            requests = self._requests[caller] = deque()
            heapq.heappush(self._ready, (max(self._now, self._tags.pop(caller, 0.0)), caller))
        before = len(requests)
        requests.extend(futures)
        self._total += len(requests) - before

    def _charge(self, caller: str, tag: float) -> None:
        """Move the caller at the front of the heap to its next start."""
        if self._requests[caller]:
            heapq.heapreplace(self._ready, (tag, caller))
            return
        heapq.heappop(self._ready)
        del self._requests[caller]
        self._tags[caller] = tag
        if len(self._tags) > MAX_KEPT_TAGS:
            self._tags = {each: at for each, at in self._tags.items() if at > self._now}
