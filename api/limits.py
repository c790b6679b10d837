"""Limits of the threads that slow clients may hold, so that others keep being answered.

A request body is read, and a large response is written, at the pace of the client, and a WSGI
server gives it a thread for all that time. Only a bounded number of threads may wait like that.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
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

    A quarter of the slots is left to others than the caller that has the rest.

    Args:
        count: how many threads.
    """

    def __init__(self, count: int) -> None:
        self._count = max(1, count)
        self._count_of_one = self._count - self._count // 4
        self._taken: Counter[str] = Counter()
        self._changed = threading.Condition()

    def acquire(self, caller: str = "", timeout_s: float = ACQUIRE_TIMEOUT_S) -> None:
        """Take a slot.

        Args:
            caller: who transfers; empty while all callers are one, which may take all slots.
            timeout_s: how long to wait for one.

        Raises:
            TooManyTransfers: all are taken, or all that this caller may have, and none became free
                in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_slot(caller), timeout_s):
                raise TooManyTransfers
            self._taken[caller] += 1

    def release(self, caller: str = "") -> None:
        """Return a slot of a caller."""
        with self._changed:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
            self._changed.notify_all()

    def _has_slot(self, caller: str) -> bool:
        if caller and self._taken[caller] >= self._count_of_one:
            return False
        return self._taken.total() < self._count


class LimitedBody(RawIOBase):
    """A request's body that takes a slot with its first read.

    Args:
        body: the server's `wsgi.input`.
        limiter: the limiter of all bodies.
        content_length: its `Content-Length`; -1 if it has none.
        find_caller: returns the caller of the current request, as `ConcurrencyLimiter` names it.
    """

    def __init__(
        self,
        body: Any,
        limiter: ConcurrencyLimiter,
        content_length: int = -1,
        find_caller: Callable[[], str] = str,
    ) -> None:
        super().__init__()
        self._body = body
        self._limiter = limiter
        self._find_caller = find_caller
        self._caller = ""
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
        if self._remaining_bytes != 0:
            self.take_slot()
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

    def take_slot(self) -> None:
        """Take a slot unless it is held; raises as `ConcurrencyLimiter.acquire`."""
        if not self._has_slot:
            self._caller = self._find_caller()
            self._limiter.acquire(self._caller)
            self._has_slot = True

    def release(self) -> None:
        """Return the slot, if it is held."""
        if self._has_slot:
            self._has_slot = False
            self._limiter.release(self._caller)


class BodyConcurrencyLimit:
    """WSGI middleware that bounds the number of threads that read bodies."""

    def __init__(
        self,
        application: "WSGIApplication",
        limiter: ConcurrencyLimiter,
        find_caller: Callable[[], str] = str,
    ) -> None:
        self._application = application
        self._limiter = limiter
        self._find_caller = find_caller

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        length = _content_length(environ)
        body = LimitedBody(environ["wsgi.input"], self._limiter, length, self._find_caller)
        environ["wsgi.input"] = body
        try:
            answer = self._application(environ, start_response)
        except BaseException:
            body.release()
            raise
        if isinstance(answer, list) and not body.has_slot:
            return answer
        return ClosingIterator(answer, body.release)


def limit_reading(environ: "WSGIEnvironment") -> None:
    """Count a request among those that read a body, until it is answered.

    For a file that the request names instead of sending it: it is read in the same way.

    Args:
        environ: of the request.

    Raises:
        TooManyTransfers: as `ConcurrencyLimiter.acquire`.
    """
    body = environ["wsgi.input"]
    if isinstance(body, LimitedBody):
        body.take_slot()


def _content_length(environ: "WSGIEnvironment") -> int:
    length: str = environ.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdecimal() else -1


def register(app: "Flask", threads: int, find_caller: Callable[[], str]) -> None:
    """Let at most a quarter of the threads read bodies.

    Args:
        app: the application.
        threads: how many it has.
        find_caller: returns the caller of the current request, as `ConcurrencyLimiter` names it.
    """
    limiter = ConcurrencyLimiter(threads // 4)
    app.wsgi_app = BodyConcurrencyLimit(app.wsgi_app, limiter, find_caller)  # type: ignore[method-assign]
