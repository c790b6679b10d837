"""Follows a job or batch for as long as somebody listens: a state whenever it has changed."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from shared.adapters.redis_events import JobEvents
from shared.domain.errors import TooManyTransfers

HEARTBEAT_S = 5.0
"""A silent stream says that often that it is alive: so a client that hung up is found out."""

INTERVAL_S = 0.25
"""States are told at most that often; the last one at once."""

LONGEST_S = 900.0
"""A stream ends after that time; its client comes back and goes on."""

T = TypeVar("T")


class Sight(NamedTuple, Generic[T]):
    """What was seen at one look."""

    state: T
    mark: str
    """Differs when the state does."""
    is_last: bool


class Watching:
    """Gives out streams, each of which holds a thread.

    Args:
        events: wakes a stream when there is news.
        most: streams at once.
        long_waits: the threads that may wait at once, for whatever it is.
    """

    def __init__(self, events: JobEvents, *, most: int, long_waits: threading.Semaphore) -> None:
        self._events = events
        self._free = threading.BoundedSemaphore(max(1, most))
        self._long_waits = long_waits

    def take(self) -> Callable[[], None]:
        """Take a stream; what gives it back, once.

        Raises:
            TooManyTransfers: all are taken.
        """
        if not self._free.acquire(blocking=False):
            raise TooManyTransfers
        if not self._long_waits.acquire(blocking=False):
            self._free.release()
            raise TooManyTransfers
        return self._give_back

    def follow(
        self, job_id: str, look: Callable[[], Sight[T]], known: str | None
    ) -> Iterator[Sight[T] | None]:
        """Each state once, to the last one; None where a heartbeat is due.

        Args:
            job_id: of the job or batch.
            look: reads its state.
            known: mark of the state that the listener has already.
        """
        until = time.monotonic() + LONGEST_S
        with self._events.listen(job_id, progress=True) as news:
            told_at = time.monotonic()
            while (now := time.monotonic()) < until:
                sight = look()
                if sight.mark != known:
                    known, told_at = sight.mark, now
                    yield sight
                elif now - told_at >= HEARTBEAT_S:
                    told_at = now
                    yield None
                if sight.is_last:
                    return
                time.sleep(INTERVAL_S)
                news.wait(HEARTBEAT_S)

    def _give_back(self) -> None:
        self._long_waits.release()
        self._free.release()
