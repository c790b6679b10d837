"""Deadlines of blocking sockets: the total time of a call, where httpx limits each read."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

WRITE_BLOCK_BYTES = 1 << 16

_limit = threading.local()


@contextlib.contextmanager
def deadline_of_thread(at: float) -> Iterator[None]:
    """Let every read and write of this thread end at a time of `time.monotonic`.

    The time limits of httpx hold for each read: a service that sends a byte now and then would
    hold a call for ever. Name resolution by the operating system cannot be interrupted.
    """
    before = getattr(_limit, "at", float("inf"))
    _limit.at = at
    try:
        yield
    finally:
        _limit.at = before


def _limited(timeout: float | None, failure: type[Exception]) -> float | None:
    remaining_s = getattr(_limit, "at", float("inf")) - time.monotonic()
    if remaining_s <= 0:
        raise failure("the total time is over")
    if remaining_s == float("inf"):
        return timeout
    return remaining_s if timeout is None else min(timeout, remaining_s)


class _Stream(httpcore.NetworkStream):
    """A stream that respects the deadline of the thread."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _limited(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITE_BLOCK_BYTES):
            block = buffer[start : start + WRITE_BLOCK_BYTES]
            self._stream.write(block, _limited(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limited_s = _limited(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, limited_s))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens streams that respect the deadline of the thread."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limited_s = _limited(timeout, httpcore.ConnectTimeout)
        return _Stream(
            self._backend.connect_tcp(host, port, limited_s, local_address, socket_options)
        )


def limited_transport(verify: ssl.SSLContext, proxy: httpx.Proxy | None) -> httpx.HTTPTransport:
    """A transport whose connections respect the deadline of the thread.

    httpx has no option for it. If a later release keeps its pool elsewhere, deadlines hold between
    two reads only; `tests/unit/client/test_deadlines.py` finds that.
    """
    transport = httpx.HTTPTransport(verify=verify, proxy=proxy)
    pool: Any = getattr(transport, "_pool", None)
    if hasattr(pool, "_network_backend"):
        pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - see above
    return transport
