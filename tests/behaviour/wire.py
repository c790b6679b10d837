"""Records the Redis commands of the processes with MONITOR."""

import base64
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack

from tests.behaviour.lua import CALLS, script_name
from tests.behaviour.normal import Placeholders, digest_of
from tests.behaviour.running import wait_until

PREFIX = b"carprice:"
QUEUES = {b"interactive", b"bulk", b"control"}
END_CHANNELS = {b"carprice:1:jobs:ended", b"carprice:1:jobs:ends"}
QUIET_S = 0.6
"""A request is complete when there was no command for this time."""
_LINE = re.compile(rb"\+[\d.]+ \[\d+ ([^\]]*)\] (.*)", re.DOTALL)
_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_PERIODIC = re.compile(
    rb"carprice:1:(owner|popped|workers|write-probe|jobs:open-usage|jobs:recounted)"
    rb"|completions|:unacked|carprice:fair:weights|:fair:(\w+:workers|\w+:waiting|\w+:members|weights)"
)
"""Keys of heartbeats and of what is read at intervals."""
_SHA1 = re.compile(r"\b[0-9a-f]{40}\b")
_SECONDS = re.compile(r"(?<![\d.])\d{1,2}\.\d{9,}(?!\d)")
"""A measured duration."""
MAX_MEMBERS = 20
"""Length of a list above which only its first two members are recorded."""
MAX_COMMANDS = 10
"""Number of commands of one kind above which only the first two are recorded."""
IGNORED_COMMANDS = {
    "SCRIPT",
    "MULTI",
    "EXEC",
    "PING",
    "CLIENT",
    "HELLO",
    "INFO",
    "DBSIZE",
    "BRPOP",
    "LLEN",
    "BLMOVE",
    "LINDEX",
    "PUBSUB",
}


class Monitor:
    """Records the commands that a server receives, from its creation on.

    Args:
        path: the server's socket.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.sendall(b"MONITOR\r\n")
        self._commands: list[tuple[bool, list[bytes]]] = []
        self._changed_at = time.monotonic()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop recording."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def wait_for_end(self, some_id: str) -> None:
        """Wait until the end of a job or batch has been published."""
        wanted = some_id.encode()
        wait_until(
            lambda: any(
                one[:1] == [b"PUBLISH"] and one[1] in END_CHANNELS and wanted in one[2]
                for _, one in list(self._commands)
            ),
            "the end",
        )

    def is_quiet(self, since: float) -> bool:
        """Return whether there was no command for `QUIET_S`, at least since the time `since`."""
        return time.monotonic() - max(self._changed_at, since) > QUIET_S

    def take(self) -> list[tuple[bool, list[bytes]]]:
        """Return the commands since the last call."""
        taken, self._commands = self._commands, []
        return taken

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while block := self._socket.recv(1 << 16):
                *lines, rest = (rest + block).split(b"\r\n")
                for line in lines:
                    self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        found = _LINE.fullmatch(line)
        if found is None:
            return
        arguments = [_ESCAPE.sub(_unescaped, one) for one in _ARGUMENT.findall(found[2])]
        if _is_recorded(arguments):
            self._commands.append((found[1] == b"lua", arguments))
            self._changed_at = time.monotonic()


def _unescaped(found: "re.Match[bytes]") -> bytes:
    escape = found[1]
    if len(escape) > 1:
        return bytes.fromhex(escape[1:].decode())
    return _ESCAPED.get(escape, escape)


def _is_recorded(arguments: list[bytes]) -> bool:
    if not arguments or arguments[0].decode().upper() in IGNORED_COMMANDS:
        return False
    if any(_PERIODIC.search(one) for one in arguments[1:4]):
        return False
    if arguments[0] == b"EXPIRE" and re.search(rb"jobs-kept-of|batch-bytes-of", arguments[1]):
        return False  # until the end of a period: it depends on the moment
    if arguments[0] == b"HGET" and re.search(rb":fair:\w+:counts$", arguments[1]):
        return False  # read when the last reading is old, as the `LLEN` of the queue
    return any(one.startswith(PREFIX) or one in QUEUES for one in arguments[1:])


def normal_commands(commands: list[tuple[bool, list[bytes]]], names: Placeholders) -> list[Any]:
    """Return the distinct commands in normal form, sorted."""
    seen = {
        json.dumps(_command(arguments, names, by_script=by_script), ensure_ascii=False)
        for by_script, arguments in commands
    }
    kinds: dict[str, list[Any]] = {}
    for one in sorted(seen):
        command = json.loads(one)
        kinds.setdefault(_kind(command), []).append(command)
    return [one for alike in kinds.values() for one in _few(alike)]


def _kind(command: list[Any]) -> str:
    """Return the verb and the key, without the digest of a car."""
    return re.sub(r"[0-9a-f]{32}", "", f"{command[0]} {command[1:2]}")


def _few(alike: list[Any]) -> list[Any]:
    """Return the commands of one kind; only the first two and a digest if there are many."""
    if len(alike) <= MAX_COMMANDS:
        return alike
    return [*alike[:2], f"{len(alike) - 2} more: {digest_of(alike)}"]


def _command(arguments: list[bytes], names: Placeholders, *, by_script: bool) -> list[Any]:
    verb = arguments[0].decode().upper()
    if any(b"batch-bytes-of" in one for one in arguments) and arguments[-1].isdigit():
        arguments = [*arguments[:-1], b"<bytes>"]  # results contain times
    if verb in CALLS:
        name = script_name(verb, arguments[1])
        return ["EVAL", name, *(readable(one, names) for one in arguments[2:])]
    return [
        f"script: {verb}" if by_script else verb,
        *(readable(one, names) for one in arguments[1:]),
    ]


def readable(value: Any, names: Placeholders) -> Any:
    """Decode bytes as text, JSON or msgpack, including nested values."""
    if isinstance(value, bytes):
        return _readable_bytes(value, names)
    if isinstance(value, str) and value.startswith('{"body"'):  # a message that waits its turn
        return _readable_json(json.loads(value), names)
    if isinstance(value, dict):
        return {
            str(readable(name, names)): "<number>" if _varies(name) else readable(one, names)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        members = [readable(one, names) for one in value]
        if len(members) > MAX_MEMBERS:
            return [*members[:2], f"{len(members) - 2} more: {digest_of(members)}"]
        return members
    return names.value(value)


def _varies(name: Any) -> bool:
    return name in {"response_time_ms", b"response_time_ms"}


def _readable_bytes(value: bytes, names: Placeholders) -> Any:
    with contextlib.suppress(UnicodeDecodeError, ValueError):
        text = value.decode()
        if not text.isprintable():
            raise ValueError(text)
        if text.startswith("{"):
            return _readable_json(json.loads(text), names)
        return _SECONDS.sub("<seconds>", _SHA1.sub("<script>", names.text(text)))
    for options in ({"strict_map_key": False}, {"raw": True}):
        with contextlib.suppress(ValueError, msgpack.UnpackException):
            return {"msgpack": readable(msgpack.unpackb(value, **options), names)}
    return f"<{len(value)} bytes>"


def _readable_json(value: dict[str, Any], names: Placeholders) -> Any:
    """Decode a JSON object and the body of a Celery message in it."""
    decoded = readable(value, names)
    if value.get("properties", {}).get("body_encoding") == "base64":
        body = base64.b64decode(value["body"])
        is_packed = value.get("content-type") == "application/x-msgpack"
        unpacked = msgpack.unpackb(body) if is_packed else json.loads(body)
        decoded["body"] = {"base64": readable(unpacked, names)}
    elif value.get("content-type") == "application/json":
        decoded["body"] = {"json": readable(json.loads(value["body"]), names)}
    return decoded


def take_all(monitors: Sequence[Monitor]) -> list[list[tuple[bool, list[bytes]]]]:
    """Wait until all servers are quiet; return the commands of each since the last call."""
    began = time.monotonic()
    wait_until(lambda: all(monitor.is_quiet(began) for monitor in monitors), "quiet")
    return [monitor.take() for monitor in monitors]


@contextlib.contextmanager
def monitoring(*paths: Path) -> Iterator[list[Monitor]]:
    """Monitor several servers within the context."""
    monitors = [Monitor(path) for path in paths]
    try:
        time.sleep(0.2)
        yield monitors
    finally:
        for monitor in monitors:
            monitor.close()
