"""Connections to Redis with bounded timeouts, kept ready for the next use."""

import os
import select
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.domain.errors import BrokerFull, BrokerNotWritable, BrokerUnavailable
from shared.redis.addresses import parse_address
from shared.redis.primaries import CLUSTER_REFUSALS, REFUSALS, Primary, is_refusal, make_pool

RedisClient: TypeAlias = Any
"""A `redis.Redis`. Its annotations cannot express that these clients return bytes."""

CONNECT_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 1.5
"""How long a command may take, so that a silent broker is reported within two seconds."""

ALLOW_OOM = "#!lua flags=allow-oom\n"
"""First line of a script that may write although the memory limit is reached."""

CACHE_TIMEOUT_S = 0.25
"""A cache that takes longer than the forest is of no use."""

REDIS_ERRORS = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)


def connect(
    url: str, *, reply_timeout_s: float = REPLY_TIMEOUT_S, max_connections: int = 256
) -> RedisClient:
    """Make a client with a connection pool of its own; nothing is sent yet.

    It never retries a command: by default the library retries ten times, so an INCR whose reply
    was lost would count several times.
    """
    options = {} if url.startswith("unix://") else {"socket_keepalive": True}
    return redis.Redis.from_pool(
        make_pool(
            url,
            parse_address(url),
            **options,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=reply_timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=25,
            max_connections=max_connections,
        )
    )


def is_answering(url: str) -> bool:
    """Whether a server answers a PING, over a connection of its own."""
    client = connect(url)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


@contextmanager
def broker_errors() -> Iterator[None]:
    """Raise `BrokerUnavailable` for a dead, frozen, full, read-only or demoted Redis.

    It is a `BrokerNotWritable` if the disk of the server is full.
    """
    try:
        yield
    except REDIS_ERRORS as error:
        raise BrokerUnavailable(reason=str(error)) from error
    except redis.OutOfMemoryError as error:
        raise BrokerFull(reason="the broker is out of memory") from error
    except redis.ResponseError as error:
        if "OOM" in str(error):
            raise BrokerFull(reason=str(error)) from error
        if "MISCONF" in str(error):
            raise BrokerNotWritable(reason=str(error)) from error
        if is_refusal(error, REFUSALS + CLUSTER_REFUSALS):
            raise BrokerUnavailable(reason=str(error) or type(error).__name__) from error
        raise


MAX_IDLE_CONNECTIONS = 16
"""Connections that are kept. Further ones go back to the pool, whose size is bounded and which all
users of a client share."""


class ConnectionCache:
    """The connections of one process to a server.

    A connection that the server closed while it was idle is noticed before it is used, as is one to
    a server that is no primary any more. A forked child starts without any.

    Args:
        client: its pool makes the connections and bounds their number.
    """

    def __init__(self, client: RedisClient) -> None:
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()  # its appends and pops are atomic
        self._pid = os.getpid()
        self._primary: Primary = self._pool.connection_kwargs.get("primary") or Primary()
        self._changes = self._primary.changes
        self._scripts: dict[Any, tuple[Any, set[str]]] = {}
        # A cache that is gone must not keep places of the pool.
        weakref.finalize(self, _return_all, self._pool, self._idle).atexit = False

    def acquire(self) -> Any:
        """Return a connection that is ready to send; it may be new.

        Raises:
            redis.RedisError: it cannot be made.
        """
        if self._pid != os.getpid():
            self._idle, self._pid = deque(), os.getpid()
            self._scripts = {}
        if self._changes != self._primary.changes:
            self._changes = self._primary.changes
            _close_all(self._idle)
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._pool.get_connection()
        if has_unread_data(connection):
            connection.disconnect()
        return connection

    def known_scripts(self, connection: Any) -> set[str]:
        """Digests of the scripts that have run on a connection since it was made; for adding to.

        Their server knows them: it forgets scripts only when it ends, and the connection with it.
        """
        socket = connection._sock  # noqa: SLF001 - its life is that of the connection
        known = self._scripts.get(connection)
        if known is None or known[0] is not socket or socket is None:
            known = self._scripts[connection] = (socket, set())
        return known[1]

    def release(self, connection: Any, *, is_clean: bool) -> None:
        """Keep a connection for the next use if there is room and it has no unread responses."""
        if is_clean and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
            return
        if not is_clean:
            connection.disconnect()
        self._pool.release(connection)


def _close_all(connections: deque[Any]) -> None:
    """Close idle connections, which connect again when they are used."""
    closed = []
    while connections:
        try:
            connection = connections.popleft()
        except IndexError:  # another thread has taken it
            break
        connection.disconnect()
        closed.append(connection)
    connections.extend(closed)


def _return_all(pool: Any, connections: deque[Any]) -> None:
    while connections:
        pool.release(connections.popleft())


def has_unread_data(connection: Any) -> bool:
    """Whether the server has closed a connection or sent data without a request."""
    socket = connection._sock  # noqa: SLF001 - the connection's own check takes five times as long
    if socket is None:  # it connects as it sends
        return False
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def mget(connections: ConnectionCache, keys: Sequence[bytes]) -> list[bytes | None]:
    """Read the values of keys with less overhead than the client library; None for missing ones.

    Raises:
        redis.RedisError: the server does not answer, or refuses.
    """
    words = [b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1)]
    words += [b"$%d\r\n%b\r\n" % (len(key), key) for key in keys]
    connection = connections.acquire()
    is_clean = False
    try:
        connection.send_packed_command([b"".join(words)], check_health=False)
        values: list[bytes | None] = connection.read_response()
        is_clean = True
    finally:
        connections.release(connection, is_clean=is_clean)
    return values
