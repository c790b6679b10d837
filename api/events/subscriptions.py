"""A Redis subscription on a thread of its own."""

import threading
from collections.abc import Callable, Sequence

import redis

from shared.logging import get_logger
from shared.redis.connections import RedisClient

RETRY_S = 0.5
POLL_S = 1.0
"""How long a subscription waits for a message; a stop is noticed within this time."""

log = get_logger("events")


class Subscription:
    """Receives the messages of some channels, on a thread of its own.

    Args:
        client: connection to the broker instance.
        channels: the channels.
        receive: called with channel and data of each message.
        set_live: called with whether messages come, whenever that changes.
    """

    def __init__(
        self,
        client: RedisClient,
        channels: Sequence[str],
        receive: Callable[[str, bytes], None],
        set_live: Callable[[bool], None],
    ) -> None:
        self._client = client
        self._channels = channels
        self._receive = receive
        self._set_live = set_live
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_live = self._is_reported = False

    def start(self) -> None:
        """Start to receive, once."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="job-events", daemon=True
                    )
                    self._thread.start()

    def close(self) -> None:
        """End the subscription; returns when the thread has left it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._subscribe()
            except redis.RedisError as error:
                if not self._is_reported:
                    log.warning("job_events_interrupted", error=str(error))
                self._is_reported = True
            except Exception as error:
                log.exception("job_events_failed", error=str(error))
            self._note(is_live=False)
            self._stopping.wait(RETRY_S)

    def _subscribe(self) -> None:
        with self._client.pubsub() as subscription:
            subscription.subscribe(*self._channels)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=POLL_S)
                if message is None:
                    continue
                if message["type"] == "message":
                    self._receive(message["channel"].decode(), message["data"])
                elif message["type"] == "subscribe" and message["data"] == len(self._channels):
                    self._is_reported = False
                    self._note(is_live=True)

    def _note(self, *, is_live: bool) -> None:
        if is_live != self._is_live:
            self._is_live = is_live
            self._set_live(is_live)
