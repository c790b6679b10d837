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
"""Minimum interval between two states; the last one is sent at once."""

MAX_STREAM_S = 900.0
"""A stream ends after that time; its client comes back and goes on."""

T = TypeVar("T")


class StateSnapshot(NamedTuple, Generic[T]):
    """What was seen at one poll."""

    state: T
    event_id: str
    """Differs when the state does."""
    is_last: bool


class StateStreams:
    """Gives out streams, each of which holds a thread.

    Args:
        events: wakes a stream when there is an event.
        max_streams: streams at once.
        long_waits: the threads that may wait at once, for whatever it is.
    """

    def __init__(
        self, events: JobEvents, *, max_streams: int, long_waits: threading.Semaphore
    ) -> None:
        self._events = events
        self._semaphore = threading.BoundedSemaphore(max(1, max_streams))
        self._long_waits = long_waits

    def acquire(self) -> Callable[[], None]:
        """Take a stream; what gives it back, once.

        Raises:
            TooManyTransfers: all are taken.
        """
        if not self._semaphore.acquire(blocking=False):
            raise TooManyTransfers
        if not self._long_waits.acquire(blocking=False):
            self._semaphore.release()
            raise TooManyTransfers
        return self._release

    def follow(
        self, job_id: str, poll: Callable[[], StateSnapshot[T]], last_event_id: str | None
    ) -> Iterator[StateSnapshot[T] | None]:
        """Each state once, to the last one; None where a heartbeat is due.

        Args:
            job_id: of the job or batch.
            poll: reads its state.
            last_event_id: event_id of the state that the listener has already.
        """
        until = time.monotonic() + MAX_STREAM_S
        with self._events.listen(job_id, progress=True) as listener:
            sent_at = time.monotonic()
            while (now := time.monotonic()) < until:
                snapshot = poll()
                if snapshot.event_id != last_event_id:
                    last_event_id, sent_at = snapshot.event_id, now
                    yield snapshot
                elif now - sent_at >= HEARTBEAT_S:
                    sent_at = now
                    yield None
                if snapshot.is_last:
                    return
                time.sleep(INTERVAL_S)
                listener.wait(HEARTBEAT_S)

    def _release(self) -> None:
        self._long_waits.release()
        self._semaphore.release()
