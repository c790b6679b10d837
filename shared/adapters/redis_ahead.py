"""Commands whose responses are read later: the caller works while the server does."""

from types import TracebackType
from typing import Any, Self, TypeAlias

from shared.adapters.redis_direct import ConnectionCache

Command: TypeAlias = tuple[Any, ...]


class PipelinedCommands:
    """Commands under way on a connection of their own; a context, so that none stays half read.

    Entering it sends the commands; a connection whose responses were not all read is closed.

    Args:
        connections: lend the connection.
        commands: what to send, each as its words.

    Raises:
        redis.RedisError: the commands cannot be sent, or one of them was refused.
    """

    def __init__(self, connections: ConnectionCache, *commands: Command) -> None:
        self._connections = connections
        self._commands = commands
        self._connection: Any = None
        self._unread = 0

    def __enter__(self) -> Self:
        self._connection = self._connections.acquire()
        self._unread = len(self._commands)
        try:
            packed = self._connection.pack_commands(self._commands)
            self._connection.send_packed_command(packed)
        except BaseException:
            self._release_connection()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release_connection()

    def responses(self) -> list[Any]:
        """Wait for the responses; to be called once."""
        found = []
        while self._unread:
            answer = self._connection.read_response()
            self._unread -= 1
            found.append(answer)
        return found

    def _release_connection(self) -> None:
        self._connections.release(self._connection, is_clean=not self._unread)
