"""State changes of jobs and batches, received by Redis publish and subscribe.

One subscription per process wakes the threads that wait for a job or stream its progress.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import redis

from shared.domain.errors import TooManyTransfers, UnreadableRecord
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient
from shared.redis.job_store.endings import read_ends

if TYPE_CHECKING:
    from api.limits import ConcurrencyLimiter

RETRY_S = 0.5
POLL_S = 1.0
"""A waiting thread reads the state after this time anyway: Redis may lose messages on restart."""

HEARTBEAT_S = 5.0
"""Interval of the heartbeats in an idle stream; writing one detects a closed connection."""

INTERVAL_S = 0.25
"""Minimum interval between two events of a stream; the last event is sent at once."""

MAX_STREAM_S = 900.0
"""A stream is closed after this time; the client reconnects with `Last-Event-ID`."""

T = TypeVar("T")
log = get_logger("events")


class JobEvents:
    """Wakes waiting threads when a job or batch has ended or made progress.

    While the broker is down, threads wake at `POLL_S` and read the store.

    Args:
        client: connection to the broker instance. The subscription starts with the first
            listener, hence after any fork.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._listeners: dict[tuple[str, str], set[threading.Event]] = defaultdict(set)
        """By channel and id of the job or batch."""
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._is_connected = True

    @contextmanager
    def listen(self, job_id: str, *, progress: bool = False) -> Iterator[threading.Event]:
        """An event that is set at the end of a job, and when it makes progress if asked."""
        listener = threading.Event()
        channels = [keys.ENDED_CHANNEL, *([keys.PROGRESS_CHANNEL] if progress else [])]
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
                    self._remove((channel, job_id), listener)

    def poll(
        self,
        job_id: str,
        read: Callable[[], T],
        is_done: Callable[[T], bool],
        timeout_s: float,
        *,
        waiters: threading.Semaphore,
        progress: bool = False,
    ) -> T:
        """Long poll: read a state until it is done or the time is over.

        Args:
            job_id: of the job or batch.
            read: returns the state.
            is_done: whether to stop waiting.
            timeout_s: longest wait.
            waiters: bounds the waiting threads; if no slot is free, the state is returned as it is.
            progress: read again also when the job has made progress.
        """
        state = read()
        if is_done(state) or timeout_s <= 0 or not waiters.acquire(blocking=False):
            return state
        deadline = time.monotonic() + timeout_s
        try:
            with self.listen(job_id, progress=progress) as listener:
                while True:
                    state = read()
                    remaining_s = deadline - time.monotonic()
                    if is_done(state) or remaining_s <= 0:
                        return state
                    listener.wait(min(remaining_s, POLL_S))
                    listener.clear()
        finally:
            waiters.release()

    def close(self) -> None:
        """End the subscription; returns when the thread has left it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S)

    def _remove(self, key: tuple[str, str], listener: threading.Event) -> None:
        self._listeners[key].discard(listener)
        if not self._listeners[key]:
            del self._listeners[key]

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
            subscription.subscribe(
                keys.ENDED_CHANNEL, keys.ENDED_JOBS_CHANNEL, keys.PROGRESS_CHANNEL
            )
            self._is_connected = True
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=POLL_S)
                if message is not None:
                    self._receive(message["channel"].decode(), message["data"])

    def _receive(self, channel: str, data: bytes) -> None:
        if channel == keys.ENDED_JOBS_CHANNEL:
            with suppress(UnreadableRecord):  # who waits reads the job within `POLL_S`
                for end in read_ends(data):
                    self._notify(keys.ENDED_CHANNEL, end.id)
            return
        # Data that cannot be decoded is no id, so no listener matches it.
        for job_id in data.decode(errors="replace").split(","):
            self._notify(channel, job_id)

    def _notify(self, channel: str, job_id: str) -> None:
        with self._lock:
            for listener in self._listeners.get((channel, job_id), ()):
                listener.set()


class StateSnapshot(NamedTuple, Generic[T]):
    """The state that one read of a job or batch returned."""

    state: T
    event_id: str
    """Changes with the state."""
    is_last: bool


class StateStreams:
    """Streams of state changes, each of which occupies a thread.

    Args:
        events: wakes a stream when the state has changed.
        slots: bounds the streams that are open at once.
        long_waits: bounds all waiting threads of the process.
    """

    def __init__(
        self, events: JobEvents, *, slots: "ConcurrencyLimiter", long_waits: threading.Semaphore
    ) -> None:
        self._events = events
        self._slots = slots
        self._long_waits = long_waits

    def acquire(self, caller: str) -> Callable[[], None]:
        """Take a slot for a stream; returns the function that releases it, to be called once.

        Args:
            caller: see `ConcurrencyLimiter.acquire`.

        Raises:
            TooManyTransfers: no slot is free.
        """
        self._slots.acquire(caller, timeout_s=0.0)
        if not self._long_waits.acquire(blocking=False):
            self._slots.release(caller)
            raise TooManyTransfers
        return partial(self._release, caller)

    def follow(
        self, job_id: str, poll: Callable[[], StateSnapshot[T]], last_event_id: str | None
    ) -> Iterator[StateSnapshot[T] | None]:
        """Each state once, up to the last one; None when a heartbeat is due.

        Args:
            job_id: of the job or batch.
            poll: reads its state.
            last_event_id: id of the event that the client has received last.
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
                listener.wait(POLL_S)
                listener.clear()

    def _release(self, caller: str) -> None:
        self._long_waits.release()
        self._slots.release(caller)
