"""Events of jobs, by publish and subscribe: one subscription per process wakes its threads."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from shared.adapters import redis_keys
from shared.adapters.redis_client import RedisClient
from shared.logging import get_logger

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
        channels = [redis_keys.JOB_CHANNEL, *([redis_keys.PROGRESS_CHANNEL] if progress else [])]
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
            subscription.subscribe(redis_keys.JOB_CHANNEL, redis_keys.PROGRESS_CHANNEL)
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
