"""A WSGI application that returns its environ; served by granian directly and behind the bridge.

Events of requests whose client has disconnected are appended to the file `$PROBE_LOG`.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from werkzeug.exceptions import ClientDisconnected

from api.transport.wsgi_bridge import WsgiBridge

LOG = Path(os.environ.get("PROBE_LOG", os.devnull))
CHUNK = b"x" * 65_536
ENDLESS = 100_000
UNCOMPARED = (
    "wsgi.",
    "carprice.",
    "SERVER_PORT",
    "SERVER_SOFTWARE",
    "GATEWAY_INTERFACE",
    "HTTP_USER_AGENT",
)


def note(text: str) -> None:
    """Append a line to the log that the test reads."""
    with LOG.open("a") as file:
        file.write(f"{text}\n")


class Chunks:
    """An iterable response that logs its progress and its `close`."""

    def __init__(self, name: str, chunks: Iterable[bytes]) -> None:
        self._name = name
        self._chunks = iter(chunks)
        self._given = 0

    def __iter__(self) -> Iterator[bytes]:
        """Return the iterator."""
        return self

    def __next__(self) -> bytes:
        """Return the next part."""
        chunk = next(self._chunks)
        self._given += 1
        if self._given % 100 == 0:
            note(f"{self._name} given {self._given}")
        return chunk

    def close(self) -> None:
        """Log the call: a WSGI server closes every response, complete or not."""
        note(f"{self._name} closed")


def read(environ: dict[str, Any], size: int) -> str:
    """Read the body; return its length and whether it was complete."""
    length = 0
    try:
        while data := environ["wsgi.input"].read(size):
            length += len(data)
    except ClientDisconnected:
        note(f"broken after {length}")
        return f"{length} broken"
    note(f"read {length}")
    return f"{length} whole"


def ticks() -> Iterator[bytes]:
    """Yield one part, and each next one when the test creates its file."""
    for number in range(ENDLESS):
        yield b"%d\n" % number
        while not LOG.with_suffix(f".{number}").exists():
            time.sleep(0.01)


def failing() -> Iterator[bytes]:
    """Yield one part, then fail."""
    yield b"half"
    raise OSError("the disk is gone")


def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request."""
    path = environ["PATH_INFO"]
    if path == "/read":
        size = int(environ["QUERY_STRING"] or -1)
        text = read(environ, size).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return Chunks("read", [text])
    streams = {
        "/ticks": ticks(),
        "/flood": (CHUNK for _ in range(ENDLESS)),
        "/failing": failing(),
    }
    if path in streams:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Chunks(path[1:], streams[path])
    if path == "/raise":
        raise ValueError("no answer")
    if path == "/nothing":
        start_response("204 No Content", [])
        return Chunks("nothing", [])
    if path == "/latin":
        start_response("200 OK", [("X-Given", environ["HTTP_A"])])
        return [b""]
    if path == "/wait":
        note("waiting")
        time.sleep(1.5)
    shown = {key: value for key, value in environ.items() if not key.startswith(UNCOMPARED)}
    own = {key: value for key, value in shown.items() if key not in os.environ}
    text = json.dumps(own, sort_keys=True).encode()
    start_response(
        "200 Fine",
        [("Content-Length", str(len(text))), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
    )
    return [text] if path == "/list" else Chunks("shown", [text])


bridged = WsgiBridge(plain, 4)
