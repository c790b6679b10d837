"""Reading values, for a path on which microseconds count."""

from collections.abc import Sequence

from shared.adapters.redis_direct import ConnectionCache


class MgetReader:
    """MGET without what is around it.

    Args:
        connections: lend a connection to each thread that reads.
    """

    def __init__(self, connections: ConnectionCache) -> None:
        self._connections = connections

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, in one round trip; None where there is none.

        Raises:
            redis.RedisError: the server does not answer, or refuses.
        """
        words = [b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1)]
        words += [b"$%d\r\n%b\r\n" % (len(key), key) for key in keys]
        connection = self._connections.acquire()
        is_clean = False
        try:
            connection.send_packed_command([b"".join(words)], check_health=False)
            values: list[bytes | None] = connection.read_response()
            is_clean = True
        finally:
            self._connections.release(connection, is_clean=is_clean)
        return values
