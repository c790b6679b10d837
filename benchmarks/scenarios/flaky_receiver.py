"""A receiver of webhooks that fails half of the time, and counts what it accepted."""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from shared.webhooks.signing import signature_headers

MOST_FAILURES = 3
"""Failures of one webhook: with more, the number of those that wait would grow during a soak."""


class FlakyReceiver:
    """What came to the receiver.

    Args:
        secret: signs the webhooks.
    """

    def __init__(self, secret: str) -> None:
        self.url = ""
        self._secret = secret
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        """How often the end of each job and batch was accepted, by its id."""
        self.names: dict[str, set[str]] = {}
        """The `webhook-id` of each, in all attempts: there must be one."""
        self.refused = 0
        self.forged = 0

    def status(self, headers: dict[str, str], body: bytes) -> HTTPStatus:
        """The answer to a request."""
        webhook_id, at = headers["webhook-id"], int(headers["webhook-timestamp"])
        expected = dict(signature_headers(webhook_id, at, body, [self._secret]))
        with self._lock:
            if headers["webhook-signature"] != expected["webhook-signature"]:
                self.forged += 1
                return HTTPStatus.GONE
            work_id = orjson.loads(body)["data"]["id"]
            self.names.setdefault(work_id, set()).add(webhook_id)
            if self._failures[webhook_id] < MOST_FAILURES and random.random() < 1 / 2:
                self._failures[webhook_id] += 1
                self.refused += 1
                return HTTPStatus.SERVICE_UNAVAILABLE
            self._failures.pop(webhook_id, None)
            self.accepted[work_id] += 1
            return HTTPStatus.NO_CONTENT


class _Handler(BaseHTTPRequestHandler):
    receiver: FlakyReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        given = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(self.receiver.status(given, body))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Do not write to the terminal."""


@contextlib.contextmanager
def flaky_receiver(secret: str) -> Iterator[FlakyReceiver]:
    """Run a receiver on a free port of this machine."""
    receiver = FlakyReceiver(secret)
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
