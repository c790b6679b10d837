"""Sends ended spans to the collector, from a thread of its own.

Nothing waits for the collector: spans wait in a bounded queue, and are dropped while it is full. A
failure is logged when it begins and when it is over.
"""

import gzip
import http.client
import os
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from multiprocessing.util import Finalize
from urllib.parse import urlsplit

import structlog

from shared.tracing.configuration import TracingConfiguration
from shared.tracing.context import Span
from shared.tracing.encoding import encode_request

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Pause after a failed export; it doubles with each failure."""

WARN_INTERVAL_S = 60.0
"""Shortest time between two lines of the log about spans that were dropped for want of space."""

FLUSH_S = 2.0
"""Longest time for which a process that stops waits for its last export."""

_TEMPORARY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

log = structlog.get_logger("carprice.tracing")


class ExportError(Exception):
    """The collector did not take spans.

    Args:
        reason: for the log.
        is_temporary: whether the same spans may be taken later.
    """

    def __init__(self, reason: str, *, is_temporary: bool) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary


class SpanExporter:
    """Keeps ended spans until its thread has sent them.

    The thread starts with the first span, so a process that forks before has none.

    Args:
        configuration: where and how.
        on_round: called by the thread at each round, a few seconds apart.
    """

    def __init__(
        self, configuration: TracingConfiguration, on_round: Callable[[], None] = lambda: None
    ) -> None:
        self._configuration = configuration
        self._on_round = on_round
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := reset()) and own())

    def _reset(self) -> None:
        """Start without spans and a thread, as a forked child has to."""
        self._queue: deque[Span] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._is_stopping = False
        self._is_failing = False
        self._dropped = 0
        self._warn_at = 0.0

    def add(self, span: Span) -> None:
        """Keep an ended span; never blocks."""
        queue, configuration = self._queue, self._configuration
        if len(queue) >= configuration.max_queue:
            self._dropped += 1
            return
        queue.append(span)
        if self._thread is None:
            self._start()
        if len(queue) >= configuration.max_batch and not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Send what is kept, for `FLUSH_S` at most; to be called when the process stops."""
        thread = self._thread
        if thread is None:
            return
        self._is_stopping = True
        self._wake.set()
        thread.join(FLUSH_S)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            # A daemon, so that a collector that hangs does not keep the process alive.
            thread = threading.Thread(target=self._run, name="tracing", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is stopping
                return
            self._thread = thread
            # Not `atexit`: it is not called in a process of `multiprocessing`, as the API is.
            Finalize(None, self.close, exitpriority=1)

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            is_last = self._is_stopping
            try:
                while self._queue:
                    self._send_batch()
                    pause_s = 0.0
            except ExportError as error:
                self._on_failure(error)
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            except Exception:
                log.exception("traces_not_encoded")
            try:
                self._on_round()
            except Exception:  # must not end the thread
                log.exception("exemplars_not_written")
            if is_last:
                return
            self._pause(pause_s)

    def _pause(self, pause_s: float) -> None:
        """Wait for spans; after a failure also if there are many, unless the process stops."""
        until = time.monotonic() + pause_s
        while True:
            self._wake.wait(max(until - time.monotonic(), 0.0) or self._configuration.delay_s)
            self._wake.clear()
            if self._is_stopping or time.monotonic() >= until:
                return

    def _send_batch(self) -> None:
        """Send the oldest spans; they are kept if that may succeed later.

        Raises:
            ExportError: the collector did not take them.
        """
        count = min(len(self._queue), self._configuration.max_batch)
        batch = [self._queue.popleft() for _ in range(count)]
        try:
            self._post(encode_request(self._configuration.resource, batch))
        except Exception as error:
            if isinstance(error, ExportError) and error.is_temporary:
                self._queue.extendleft(reversed(batch))
            else:
                self._dropped += len(batch)
            raise
        if self._is_failing:
            self._is_failing = False
            log.info("traces_exported_again", dropped=self._dropped)
        elif self._dropped:
            if time.monotonic() < self._warn_at:
                return
            self._warn_at = time.monotonic() + WARN_INTERVAL_S
            log.warning("traces_dropped", dropped=self._dropped)
        self._dropped = 0

    def _on_failure(self, error: ExportError) -> None:
        if not self._is_failing:
            self._is_failing = True
            log.warning("traces_not_exported", error=str(error))

    def _post(self, body: bytes) -> None:
        """Send one request; raises `ExportError`."""
        configuration = self._configuration
        headers = {**configuration.headers, "Content-Type": "application/x-protobuf"}
        if configuration.is_compressed:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        path = urlsplit(configuration.endpoint).path or "/"
        is_kept = self._connection is not None
        try:
            try:
                status = self._request(path, body, headers)
            except (ConnectionError, http.client.RemoteDisconnected):
                # A server closes a connection that was idle for long: that is no failure.
                if not is_kept:
                    raise
                self._disconnect()
                status = self._request(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            raise ExportError(_describe(error), is_temporary=True) from error
        if status // 100 != HTTPStatus.OK // 100:
            raise ExportError(f"status {status}", is_temporary=status in _TEMPORARY)

    def _request(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """Post, over the connection of the last time if there is one; return the status."""
        connection = self._connection or self._connect()
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status

    def _connect(self) -> http.client.HTTPConnection:
        address, timeout = urlsplit(self._configuration.endpoint), self._configuration.timeout_s
        host = address.hostname or ""
        if address.scheme == "https":
            authorities = ssl.create_default_context(cafile=self._configuration.certificate or None)
            self._connection = http.client.HTTPSConnection(
                host, address.port, timeout=timeout, context=authorities
            )
        else:
            self._connection = http.client.HTTPConnection(host, address.port, timeout=timeout)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
