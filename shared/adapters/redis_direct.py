"""Connections without what a pool does around them, for paths on which microseconds count.

To lend a connection, `redis.Redis` looks at its process, takes a lock, counts, asks the socket in
three system calls, and wraps the exchange in retries and observation: two thirds of the time of a
short command, and three times as much for a process that has slept, whose code the processor has
forgotten by then. The client library's connections do all that is needed here: connect,
authenticate, time out, parse.
"""

import os
import select
from collections import deque
from typing import Any

from shared.adapters.redis_client import RedisClient

MAX_IDLE_CONNECTIONS = 16
"""Connections that are kept. Those of a rush go back to the pool, which all users of a client
share: it has room for so many, and whoever hoards them shuts the others out."""


class ConnectionCache:
    """The connections of one process to a server.

    A connection that the server has closed while nobody used it is found out before it is lent. A
    forked child begins without any.

    Args:
        client: its pool makes the connections and bounds their number.
    """

    def __init__(self, client: RedisClient) -> None:
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()  # its appends and pops are atomic
        self._pid = os.getpid()

    def acquire(self) -> Any:
        """A connection that is ready to send on; it may have to be made.

        Raises:
            redis.RedisError: none can be made.
        """
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._pool.get_connection()
        if _has_unread_data(connection):
            connection.disconnect()
        return connection

    def release(self, connection: Any, *, is_clean: bool) -> None:
        """Keep a connection for the next, as far as there is room; not one that is not clean."""
        if is_clean and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
            return
        if not is_clean:
            connection.disconnect()
        self._pool.release(connection)


def _has_unread_data(connection: Any) -> bool:
    """Whether the server has closed a connection, or says something that nobody asked for."""
    socket = connection._sock  # noqa: SLF001 - the connection's own question takes five times as long
    if socket is None:  # it connects as it sends
        return False
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))
