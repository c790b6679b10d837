"""An HTTP server that receives webhooks, and behaves well or badly by the path that is called."""

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from shared.webhooks.signing import signature_headers


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The header `webhook-id`."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        """The body."""
        return orjson.loads(self.body)

    def is_signed_by(self, secret: str) -> bool:
        """Whether one of the signatures is that of a secret."""
        at = int(self.headers["webhook-timestamp"])
        expected = dict(signature_headers(self.id, at, self.body, [secret]))["webhook-signature"]
        return expected in self.headers["webhook-signature"].split()


@dataclass
class Receiver:
    """A running server.

    `/ok` answers 204, `/flaky` fails every other request, `/fail`, `/gone`,
    `/busy`, `/refuse` and `/redirect` answer 500, 410, 429, 404 and 302, `/hang` never answers,
    `/slow` answers a byte at a time without an end, `/large` sends a body without an end, `/reset`
    closes the connection before it answers, `/garbage` answers what is not HTTP, `/hold` answers
    204 once `released` is set.
    """

    url: str
    received: list[Received] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    stopped: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def at(self, path: str) -> list[Received]:
        """What came to a path."""
        return [each for each in self.received if each.path == path]

    @property
    def delivered(self) -> list[str]:
        """Ids that were answered with 2xx."""
        return [each.id for each in self.received if each.headers.get("answered") == "yes"]


STATUSES = {"/fail": 500, "/gone": 410, "/refuse": 404}


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        got = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.receiver.received.append(got)
        self.receiver.attempts[got.id] += 1
        self.close_connection = True
        name = "/" + self.path.split("?")[0].split("/")[1]
        getattr(self, f"answer_{name[1:]}", lambda _: self.answer(STATUSES[name]))(got)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": "0", **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def answer_ok(self, got: Received) -> None:
        got.headers["answered"] = "yes"
        self.answer(204)

    def answer_flaky(self, got: Received) -> None:
        if len(self.receiver.at(got.path)) % 2:
            self.answer(503)
        else:
            self.answer_ok(got)

    def answer_busy(self, _: Received) -> None:
        self.answer(429, Retry_After="7200")

    def answer_redirect(self, _: Received) -> None:
        self.answer(302, Location=f"{self.receiver.url}/ok/redirected")

    def answer_hang(self, _: Received) -> None:
        self.receiver.stopped.wait(30)

    def answer_hold(self, got: Received) -> None:
        self.receiver.released.wait(30)
        self.answer_ok(got)

    def answer_slow(self, _: Received) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 204 No Content\r\nX-Slow: ")
            while not self.receiver.stopped.wait(0.05):
                self.wfile.write(b"x")

    def answer_large(self, got: Received) -> None:
        got.headers["answered"] = "yes"
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self.receiver.stopped.is_set():
                self.wfile.write(b"x" * 65_536)

    def answer_reset(self, _: Received) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def answer_garbage(self, _: Received) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """The connection was closed by the receiver itself, or by a sender whose time is over."""


@contextlib.contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    handler.receiver = receiver  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopped.set()
        server.shutdown()
        server.server_close()
