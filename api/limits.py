"""Limits of the threads that slow clients may hold, so that others keep being answered.

A request body is read, and a large response is written, at the pace of the client, and a WSGI
server gives it a thread for all that time. Only a bounded number of threads may wait like that.
"""

import threading
from collections.abc import Iterable
from io import RawIOBase
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from shared.domain.errors import TooManyTransfers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

ACQUIRE_TIMEOUT_S = 1.0
"""A body that finds no slot for this long is refused: 503 with Retry-After."""


class ConcurrencyLimiter:
    """Bounds the number of threads that wait for one kind of transfer.

    Args:
        count: how many threads.
    """

    def __init__(self, count: int) -> None:
        self._semaphore = threading.BoundedSemaphore(max(1, count))

    def acquire(self) -> None:
        """Take a slot.

        Raises:
            TooManyTransfers: all are taken, and none became free in time.
        """
        if not self._semaphore.acquire(timeout=ACQUIRE_TIMEOUT_S):
            raise TooManyTransfers

    def release(self) -> None:
        """Return a slot."""
        self._semaphore.release()


class LimitedBody(RawIOBase):
    """A request's body that takes a slot with its first read.

    Args:
        body: the server's `wsgi.input`.
        limiter: the limiter of all bodies.
        content_length: its `Content-Length`; -1 if it has none.
    """

    def __init__(self, body: Any, limiter: ConcurrencyLimiter, content_length: int = -1) -> None:
        super().__init__()
        self._body = body
        self._limiter = limiter
        self._has_slot = False
        self._remaining_bytes = content_length

    @property
    def has_slot(self) -> bool:
        """Whether it has a slot now."""
        return self._has_slot

    def readable(self) -> bool:
        """Say that the stream can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read from the client; the end of the body returns the slot."""
        if not self._has_slot and self._remaining_bytes != 0:
            self._limiter.acquire()
            self._has_slot = True
        data: bytes = self._body.read(size)
        self._remaining_bytes -= len(data)
        if not data or self._remaining_bytes == 0:
            self.release()
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, as `read`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def release(self) -> None:
        """Return the slot, if it is held."""
        if self._has_slot:
            self._has_slot = False
            self._limiter.release()


class BodyConcurrencyLimit:
    """WSGI middleware that bounds the number of threads that read bodies."""

    def __init__(self, application: "WSGIApplication", limiter: ConcurrencyLimiter) -> None:
        self._application = application
        self._limiter = limiter

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        body = LimitedBody(environ["wsgi.input"], self._limiter, _content_length(environ))
        environ["wsgi.input"] = body
        try:
            answer = self._application(environ, start_response)
        except BaseException:
            body.release()
            raise
        if isinstance(answer, list) and not body.has_slot:
            return answer
        return ClosingIterator(answer, body.release)


def _content_length(environ: "WSGIEnvironment") -> int:
    length: str = environ.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdecimal() else -1


def register(app: "Flask", threads: int) -> None:
    """Let at most a quarter of the threads read bodies."""
    app.wsgi_app = BodyConcurrencyLimit(app.wsgi_app, ConcurrencyLimiter(threads // 4))  # type: ignore[method-assign]
