"""State changes of jobs and batches by Redis publish and subscribe.

One subscription per process wakes the threads that wait for a job or follow its progress.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

import redis

from shared.domain.errors import TooManyTransfers
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient

RETRY_S = 0.5
POLL_S = 1.0
"""A waiter looks for itself after this time: a message can be lost while Redis restarts."""

log = get_logger("events")


class EventListener:
    """One thread's ear for one job."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        """True if there may be an event: a message came, or it is time to look again."""
        heard = self._event.wait(min(timeout_s, POLL_S))
        self._event.clear()
        return heard or timeout_s > POLL_S

    def notify(self) -> None:
        """Wake the thread."""
        self._event.set()


class JobEvents:
    """Tells waiting threads that a job or batch has ended, or has progressed, by a Redis channel.

    While the broker is down, waiters wake at their own interval and read the store.

    Args:
        client: connection to the broker instance. The subscription starts with the first
            listener, hence after any fork.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._listeners: dict[tuple[str, str], set[EventListener]] = defaultdict(set)
        """Ears by channel and id."""
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._is_connected = True

    @contextmanager
    def listen(self, job_id: str, *, progress: bool = False) -> Iterator[EventListener]:
        """Listen for the end of a job, and for its progress if asked, while the block runs."""
        listener = EventListener()
        channels = [keys.JOB_CHANNEL, *([keys.PROGRESS_CHANNEL] if progress else [])]
        with self._lock:
            for channel in channels:
                self._listeners[channel, job_id].add(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="job-events", daemon=True)
                self._thread.start()
        try:
            yield listener
        finally:
            with self._lock:
                for channel in channels:
                    self._forget((channel, job_id), listener)

    def _forget(self, key: tuple[str, str], listener: EventListener) -> None:
        self._listeners[key].discard(listener)
        if not self._listeners[key]:
            del self._listeners[key]

    def close(self) -> None:
        """End the subscription."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._subscribe()
            except redis.RedisError as error:
                if self._is_connected:
                    log.warning("job_events_interrupted", error=str(error))
                self._is_connected = False
                self._stopping.wait(RETRY_S)
            except Exception as error:
                log.exception("job_events_failed", error=str(error))
                self._stopping.wait(RETRY_S)

    def _subscribe(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(keys.JOB_CHANNEL, keys.PROGRESS_CHANNEL)
            self._is_connected = True
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=POLL_S)
                if message is not None:
                    # What cannot be read is no id, and nobody's event.
                    channel, job_id = message["channel"].decode(), message["data"]
                    self._notify(channel, job_id.decode(errors="replace"))

    def _notify(self, channel: str, job_id: str) -> None:
        with self._lock:
            for listener in self._listeners.get((channel, job_id), ()):
                listener.notify()


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
