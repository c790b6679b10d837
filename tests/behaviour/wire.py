"""What the processes tell each other through Redis, as the servers' MONITOR shows it."""

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

from tests.behaviour.normal import Names, digest_of
from tests.behaviour.running import wait_until

PREFIX = b"carprice:"
QUEUES = {b"interactive", b"bulk", b"control"}
QUIET_S = 0.6
"""A scenario is over when for this time nobody has said anything of it."""
_LINE = re.compile(rb"\+[\d.]+ \[\d+ ([^\]]*)\] (.*)", re.DOTALL)
_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_SIGNS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_SHA1 = re.compile(r"\b[0-9a-f]{40}\b")
LONGEST = 20
"""Of lists beyond this length the first two members are told."""
MOST_ALIKE = 10
"""Of more commands of one kind the first two are told."""
LEFT_OUT = {"SCRIPT", "MULTI", "EXEC", "PING", "CLIENT", "HELLO", "INFO", "DBSIZE", "BRPOP", "LLEN"}


class Watch:
    """Everything that one server is told, from the moment it is made.

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
        """Stop watching."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def wait_for_end(self, some_id: str) -> None:
        """Return when the end of a job or batch has been published."""
        end = [b"PUBLISH", b"carprice:1:jobs:ended", some_id.encode()]
        wait_until(lambda: any(one == end for _, one in list(self._commands)), "the end")

    def is_quiet(self, since: float) -> bool:
        """Whether nothing was said for a while, counted from `since` at the earliest."""
        return time.monotonic() - max(self._changed_at, since) > QUIET_S

    def take(self) -> list[tuple[bool, list[bytes]]]:
        """What was said since the last call."""
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
        if _is_ours(arguments):
            self._commands.append((found[1] == b"lua", arguments))
            self._changed_at = time.monotonic()


def _unescaped(found: "re.Match[bytes]") -> bytes:
    sign = found[1]
    if len(sign) > 1:
        return bytes.fromhex(sign[1:].decode())
    return _SIGNS.get(sign, sign)


def _is_ours(arguments: list[bytes]) -> bool:
    if not arguments or arguments[0].decode().upper() in LEFT_OUT:
        return False
    if any(b"carprice:1:workers" in one or b"completions" in one for one in arguments[1:3]):
        return False
    return any(one.startswith(PREFIX) or one in QUEUES for one in arguments[1:])


def told(commands: list[tuple[bool, list[bytes]]], names: Names) -> list[Any]:
    """Commands in normal form, each kind once, sorted."""
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
    """The verb and the key, without the digest of a car."""
    return re.sub(r"[0-9a-f]{32}", "", f"{command[0]} {command[1:2]}")


def _few(alike: list[Any]) -> list[Any]:
    """Commands of one kind; of many, the first ones."""
    if len(alike) <= MOST_ALIKE:
        return alike
    return [*alike[:2], f"{len(alike) - 2} more: {digest_of(alike)}"]


def _command(arguments: list[bytes], names: Names, *, by_script: bool) -> list[Any]:
    verb = arguments[0].decode().upper()
    return [
        f"script: {verb}" if by_script else verb,
        *(readable(one, names) for one in arguments[1:]),
    ]


def readable(value: Any, names: Names) -> Any:
    """What bytes say: text, JSON or msgpack, and what lies packed inside."""
    if isinstance(value, bytes):
        return _readable_bytes(value, names)
    if isinstance(value, dict):
        return {
            str(readable(name, names)): "<number>" if _varies(name) else readable(one, names)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        told = [readable(one, names) for one in value]
        if len(told) > LONGEST:
            return [*told[:2], f"{len(told) - 2} more: {digest_of(told)}"]
        return told
    return names.value(value)


def _varies(name: Any) -> bool:
    return name in {"response_time_ms", b"response_time_ms"}


def _readable_bytes(value: bytes, names: Names) -> Any:
    with contextlib.suppress(UnicodeDecodeError, ValueError):
        text = value.decode()
        if not text.isprintable():
            raise ValueError(text)
        if text.startswith("{"):
            return _readable_json(json.loads(text), names)
        return _SHA1.sub("<script>", names.text(text))
    with contextlib.suppress(ValueError, msgpack.UnpackException):
        return {"msgpack": readable(msgpack.unpackb(value, strict_map_key=False), names)}
    return f"<{len(value)} bytes>"


def _readable_json(value: dict[str, Any], names: Names) -> Any:
    """A JSON text; the body of a Celery message is unpacked."""
    told = readable(value, names)
    if value.get("properties", {}).get("body_encoding") == "base64":
        body = base64.b64decode(value["body"])
        is_packed = value.get("content-type") == "application/x-msgpack"
        unpacked = msgpack.unpackb(body) if is_packed else json.loads(body)
        told["body"] = {"base64": readable(unpacked, names)}
    return told


def take_all(watches: Sequence[Watch]) -> list[list[tuple[bool, list[bytes]]]]:
    """What each server was told since the last call, once all is quiet."""
    began = time.monotonic()
    wait_until(lambda: all(watch.is_quiet(began) for watch in watches), "quiet")
    return [watch.take() for watch in watches]


@contextlib.contextmanager
def watching(*paths: Path) -> Iterator[list[Watch]]:
    """Watch several servers."""
    watches = [Watch(path) for path in paths]
    try:
        time.sleep(0.2)
        yield watches
    finally:
        for watch in watches:
            watch.close()
