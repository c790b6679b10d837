"""Open-loop load: requests start at their scheduled times, however slow the answers are."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.faults.load import car

MAX_CONNECTIONS = 900
"""Fewer than the API admits."""
CLOSED_LOOP = 64
TIMEOUT_S = 30.0
TICK_S = 0.002
HEAD_END = b"\r\n\r\n"
_numbers = itertools.count(random.randrange(1_900_000))


@dataclass
class Tally:
    """Latencies in seconds by kind of answer, counted from the scheduled time of each request."""

    ok: list[float] = field(default_factory=list)
    """200."""
    jobs: list[float] = field(default_factory=list)
    """202: the request became a job."""
    refused: list[float] = field(default_factory=list)
    """429 and 503."""
    refused_in_service: list[float] = field(default_factory=list)
    """The same, counted from the moment in which the request was sent."""
    wrong: list[float] = field(default_factory=list)
    """Other statuses, broken connections, no answer within `TIMEOUT_S`."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Number of answers by status; 0: the connection broke."""
    started: int = 0
    unsent: int = 0
    """Requests for which no connection was free: the generator's limit."""

    def add(self, status: int, due_at: float, sent_at: float) -> None:
        """Count one answer."""
        now = time.monotonic()
        kinds = {200: self.ok, 202: self.jobs, 429: self.refused, 503: self.refused}
        kind = kinds.get(status, self.wrong)
        kind.append(now - due_at)
        self.statuses[status] += 1
        if kind is self.refused:
            self.refused_in_service.append(now - sent_at)


class _Client(asyncio.Protocol):
    """One persistent connection that carries one request at a time."""

    def __init__(self, is_free: Callable[["_Client", int], None]) -> None:
        self._is_free = is_free
        self._received = b""
        self.transport: asyncio.Transport | None = None
        self.due_at = self.sent_at = 0.0

    # The names of asyncio's callbacks say what they are called for.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, due_at: float) -> None:
        """Send one request."""
        assert self.transport is not None
        self.due_at, self.sent_at, self._received = due_at, time.monotonic(), b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, mark, body = self._received.partition(HEAD_END)
        if not mark:
            return
        lowered = head.lower()
        start = lowered.find(b"content-length:")
        length = int(lowered[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(body) >= length:
            self._is_free(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.transport = None
        if self.due_at:
            self._is_free(self, 0)


class OpenLoop:
    """Sends single cars to one address.

    Args:
        port: port of the service on this machine.
        query: query string of the requests.
    """

    def __init__(self, port: int, query: str = "") -> None:
        self._port = port
        self._path = "/predict" + query
        self._idle: deque[_Client] = deque()
        self._count = 0
        self._in_flight = 0
        self._tally = Tally()

    async def run(self, rate: float, seconds: float) -> Tally:
        """Send at a rate (requests per second) for some time; wait for the answers.

        A rate of 0 is a closed loop of `CLOSED_LOOP` connections, which measures the capacity.
        """
        self._tally = tally = Tally()
        await self._connect(CLOSED_LOOP - self._count)
        begun_at = time.monotonic()
        while (now := time.monotonic()) < begun_at + seconds:
            closed = CLOSED_LOOP - self._in_flight
            wanted = int((now - begun_at) * rate) + 1 - tally.started if rate else closed
            await self._start(wanted, begun_at, rate)
            await asyncio.sleep(TICK_S)
        until = time.monotonic() + TIMEOUT_S
        while self._in_flight and time.monotonic() < until:  # noqa: ASYNC110 - counts answers
            await asyncio.sleep(TICK_S)
        tally.wrong += [TIMEOUT_S] * self._in_flight
        return tally

    def close(self) -> None:
        """Close all connections."""
        for client in self._idle:
            client.due_at = 0.0
            if client.transport is not None:
                client.transport.close()

    async def _start(self, count: int, begun_at: float, rate: float) -> None:
        for _ in range(count):
            number = self._tally.started
            self._tally.started += 1
            if not self._idle and self._count < MAX_CONNECTIONS:
                await self._connect(8)
            if not self._idle:
                self._tally.unsent += 1
                continue
            due_at = begun_at + number / rate if rate else time.monotonic()
            client = self._idle.pop()
            self._in_flight += 1
            client.send(self._request(), due_at)

    async def _connect(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(count, MAX_CONNECTIONS - self._count)):
            with contextlib.suppress(OSError):
                _, client = await loop.create_connection(
                    lambda: _Client(self._is_free), "127.0.0.1", self._port
                )
                self._count += 1
                self._idle.append(client)

    def _is_free(self, client: _Client, status: int) -> None:
        """Take a client back after an answer, or a broken connection (status 0)."""
        if client.due_at:
            self._in_flight -= 1
            self._tally.add(status, client.due_at, client.sent_at)
            client.due_at = 0.0
        if client.transport is None:
            self._count -= 1
        else:
            self._idle.append(client)

    def _request(self) -> bytes:
        body = json.dumps(car(next(_numbers))).encode()
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
