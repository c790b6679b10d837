"""Notices that another server, or the same one with other data, has become the primary."""

import threading
import time
from collections.abc import Callable

import redis

from shared.domain.errors import BrokerUnavailable
from shared.logging import get_logger
from shared.redis.connections import RedisClient

POLL_S = 0.5
REPEATS_S = 20.0
"""How long `on_change` is repeated: connections to the former primary may accept until they end."""

log = get_logger("primary")


class PrimaryWatch:
    """Asks the primary for the id of its data, on a thread of its own, twice a second.

    A server gets a new id when it becomes primary, and when it starts.

    Args:
        client: connection to the broker instance, for this object alone.
        on_change: called after a change, and again in growing distances for `REPEATS_S`.
        on_same: called while the primary stays the same.
    """

    def __init__(
        self, client: RedisClient, on_change: Callable[[], None], on_same: Callable[[], None]
    ) -> None:
        self._client = client
        self._on_change = on_change
        self._on_same = on_same
        self._id = ""
        self._repeats_until = self._repeats_at = 0.0
        self._pause_s = POLL_S
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, once."""
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="primary-watch", daemon=True
                    )
                    self._thread.start()

    def check(self) -> None:
        """Ask once, and do what follows.

        Raises:
            redis.RedisError, BrokerUnavailable: the server does not answer.
        """
        found = self._client.info("replication")
        if found.get("role") != "master":
            # It was demoted: the next connection finds the new primary.
            self._client.connection_pool.disconnect()
            return
        now = time.monotonic()
        if (current := str(found.get("master_replid"))) != self._id:
            log.info("primary_found", replication_id=current)
            # Of the first one it is not known since when it is primary.
            self._id, self._pause_s = current, POLL_S
            self._repeats_until, self._repeats_at = now + REPEATS_S, now
        if now >= self._repeats_until:
            self._on_same()
        elif now >= self._repeats_at:
            self._on_change()
            self._repeats_at = now + self._pause_s
            self._pause_s *= 2

    def _run(self) -> None:
        while True:
            try:
                self.check()
            except (redis.RedisError, BrokerUnavailable):
                pass  # others report the outage
            except Exception as error:
                log.exception("primary_not_watched", error=str(error))
            time.sleep(POLL_S)
