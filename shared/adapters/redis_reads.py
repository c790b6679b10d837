"""Reading values, for a path on which microseconds count.

`redis.Redis.mget` spends two thirds of its time around the exchange: pool, retry, observation,
reply callbacks. The client library's connections are public, and do all that is needed here:
connect, authenticate, time out, parse.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import redis

from shared.adapters.redis_client import RedisClient


class DirectReads:
    """MGET over connections that are kept, as many as there are threads that read at once.

    For processes that do not fork after their first read.

    Args:
        client: its pool makes the connections and bounds their number.
    """

    def __init__(self, client: RedisClient) -> None:
        self._pool = client.connection_pool
        self._kept: deque[Any] = deque()  # its appends and pops are atomic

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, in one round trip; None where there is none.

        Raises:
            redis.RedisError: the server does not answer, or refuses.
        """
        words = [b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1)]
        words += [b"$%d\r\n%b\r\n" % (len(key), key) for key in keys]
        command = b"".join(words)
        try:
            connection = self._kept.pop()
        except IndexError:
            return self._exchange(self._pool.get_connection(), command)
        try:
            return self._exchange(connection, command)
        except redis.ConnectionError:
            # The server may have closed it while nobody used it: a new one tells. To read twice
            # does no harm.
            self._drop_kept()
            return self._exchange(self._pool.get_connection(), command)

    def _exchange(self, connection: Any, command: bytes) -> list[bytes | None]:
        try:
            connection.send_packed_command([command], check_health=False)
            values: list[bytes | None] = connection.read_response()
        except BaseException:
            self._pool.release(connection)
            raise
        self._kept.append(connection)
        return values

    def _drop_kept(self) -> None:
        while self._kept:
            try:
                connection = self._kept.pop()
            except IndexError:
                return
            connection.disconnect()
            self._pool.release(connection)
