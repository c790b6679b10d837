"""Commands and calls of Lua scripts that are sent together, without the overhead of the library."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import redis

from shared.redis.connections import ConnectionCache

Command: TypeAlias = tuple[Any, ...]


class ScriptCall(NamedTuple):
    """A call of a Lua script.

    Attributes:
        script: as `redis.Redis.register_script` returns it.
        keys: its KEYS.
        arguments: its ARGV.
    """

    script: Any
    keys: Sequence[str]
    arguments: Sequence[Any]

    @property
    def command(self) -> Command:
        """The command for a server that knows the script."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments)

    @property
    def full_command(self) -> Command:
        """The command with the source of the script."""
        return ("EVAL", self.script.script, len(self.keys), *self.keys, *self.arguments)


class PipelinedCommands:
    """A context manager that sends commands on entry; other work can run until the responses come.

    The first call of a script on a connection has its source, because a server that restarts
    forgets scripts: so no script is missing while the commands after it run. A script that the
    server was told to forget (SCRIPT FLUSH) is called again; nothing that was executed is repeated.

    On exit a connection whose responses were not all read is closed.

    Args:
        connections: provide the connection.
        commands: calls of scripts, and commands as tuples of their arguments.

    Raises:
        redis.RedisError: the commands cannot be sent, or one of them was refused.
    """

    def __init__(self, connections: ConnectionCache, *commands: ScriptCall | Command) -> None:
        self._connections = connections
        self._commands = commands
        self._connection: Any = None
        self._unread = 0
        self.is_sent = False
        """Whether the server may have carried them out, in whole or in part."""
        self._new: list[str] = []
        """Digests of the scripts that are sent with their sources."""
        self._has_errors = False

    def __enter__(self) -> Self:
        self._connection = self._connections.acquire()
        try:
            known = self._connections.known_scripts(self._connection)
            self._send([self._in_short(each, known) for each in self._commands])
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
        """Read the responses; to be called once.

        Raises:
            redis.RedisError: the server reports an error, or does not answer.
        """
        return raise_errors(self.outcomes())

    def outcomes(self) -> list[Any]:
        """As `responses`, with each error that the server reports in the place of its response."""
        found = self._read()
        if self._has_errors:
            self._run_missing(found)
        elif self._new:
            self._connections.known_scripts(self._connection).update(self._new)
        return found

    def _in_short(self, call: ScriptCall | Command, known: AbstractSet[str]) -> Command:
        """The command of a call, without the source of a script that the server knows."""
        if not isinstance(call, ScriptCall):
            return call
        if call.script.sha in known:
            return call.command
        self._new.append(call.script.sha)
        return call.full_command

    def _run_missing(self, found: list[Any]) -> None:
        """Run the scripts that the server was told to forget; their answers replace the errors."""
        missing = [
            index
            for index, answer in enumerate(found)
            if isinstance(answer, redis.exceptions.NoScriptError)
        ]
        if missing:
            calls = [self._commands[index] for index in missing]
            self._send([each.full_command for each in calls if isinstance(each, ScriptCall)])
            for index, answer in zip(missing, self._read(), strict=True):
                found[index] = answer

    def _send(self, commands: Sequence[Command]) -> None:
        self._unread = len(commands)
        self.is_sent = True
        self._connection.send_packed_command([pack(commands)])

    def _read(self) -> list[Any]:
        found: list[Any] = []
        while self._unread:
            try:
                answer = self._connection.read_response()
            except redis.ResponseError as error:
                answer, self._has_errors = error, True
            self._unread -= 1
            found.append(answer)
        return found

    def _release_connection(self) -> None:
        self._connections.release(self._connection, is_clean=not self._unread)


def pack(commands: Sequence[Command]) -> bytes:
    """Commands as they are sent; redis-py's own function takes three times as long.

    Raises:
        TypeError: an argument is neither bytes, text nor a number.
    """
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            encoded = word if isinstance(word, bytes) else _encode(word)
            parts.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(parts)


def _encode(word: Any) -> bytes:
    if isinstance(word, str):
        return word.encode()
    if type(word) in {int, float}:  # not bool, which Redis does not know
        return repr(word).encode()
    raise TypeError(f"no argument of a command: {type(word).__name__}")


def run_scripts(connections: ConnectionCache, *calls: ScriptCall | Command) -> list[Any]:
    """Run scripts and commands in order, by one round trip; return their responses.

    An error that the server reports is the response of its call.

    Raises:
        redis.RedisError: the server does not answer.
    """
    with PipelinedCommands(connections, *calls) as sent:
        return sent.outcomes()


def run_script(connections: ConnectionCache, call: ScriptCall) -> Any:
    """Run one script; raises `redis.RedisError` for what the server reports as well."""
    (response,) = raise_errors(run_scripts(connections, call))
    return response


def raise_errors(responses: list[Any]) -> list[Any]:
    """The responses; raises the first error among them."""
    for response in responses:
        if isinstance(response, redis.ResponseError):
            raise response
    return responses
