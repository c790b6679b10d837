"""Sends one webhook: resolves its host once, connects to an address that is permitted, posts.

No redirect is followed, no proxy of the environment is used, and of the answer only the status and
`Retry-After` count.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, NamedTuple

import httpcore
import httpx

from shared.domain.clock import Clock
from shared.webhooks.addresses import AddressPolicy, CallbackAddress, IpAddress

CONNECT_TIMEOUT_S = 5.0
ADDRESSES_TRIED = 3
ANSWER_MAX_BYTES = 16_384
"""Of a body that is read before the connection is closed, so that the receiver sees no reset."""

DRAIN_TIMEOUT_S = 1.0
RESOLVER_THREADS = 64
RETRY_AFTER_MAX_S = 86_400.0

Resolver = Callable[[str, int], Awaitable[Sequence[IpAddress]]]
"""Finds the IP addresses of a host; raises `OSError` if it has none."""


class AttemptOutcome(StrEnum):
    """How an attempt to send a webhook ended."""

    DELIVERED = "delivered"
    """2xx."""
    GONE = "gone"
    """410: it is not sent again."""
    REFUSED = "refused"
    """Another 4xx."""
    REDIRECTED = "redirected"
    """3xx, which is not followed, or an answer that is no final one."""
    THROTTLED = "throttled"
    """429."""
    FAILED = "failed"
    """5xx."""
    TIMED_OUT = "timed-out"
    UNREACHABLE = "unreachable"
    """No connection: the name has no address, nobody listens, TLS fails."""
    BROKEN = "broken"
    """The connection broke, or the answer is not HTTP."""
    FORBIDDEN_ADDRESS = "forbidden-address"
    """The host has an IP address that must not be called."""
    NO_SECRET = "no-secret"  # noqa: S105 - name of an outcome
    """The secret that would sign it is gone or cannot be read."""

    @property
    def is_down(self) -> bool:
        """Whether the receiver as a whole has failed, not this webhook alone."""
        return self in _DOWN


_DOWN = frozenset(
    {
        AttemptOutcome.THROTTLED,
        AttemptOutcome.FAILED,
        AttemptOutcome.TIMED_OUT,
        AttemptOutcome.UNREACHABLE,
        AttemptOutcome.BROKEN,
        AttemptOutcome.FORBIDDEN_ADDRESS,
    }
)


class Attempt(NamedTuple):
    """An attempt to send a webhook."""

    outcome: AttemptOutcome
    status: int | None = None
    retry_after_s: float = 0.0
    """Pause that the receiver asks for."""


class AddressForbiddenError(Exception):
    """The host has an IP address that must not be called."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to hosts whose IP addresses are all permitted.

    The name is resolved once per connection, and the connection is made to the address that was
    checked; TLS and `Host` still use the name.

    Args:
        policy: permits addresses.
        resolve: finds the addresses of a host.
    """

    def __init__(self, policy: AddressPolicy, resolve: Resolver) -> None:
        self._policy = policy
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - signature of the library
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host.

        Raises:
            AddressForbiddenError: one of its addresses must not be called.
            httpcore.ConnectError: it has no address, or nobody listens there.
        """
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name has no address") from error
        if not addresses:
            raise httpcore.ConnectError("the name has no address")
        # One forbidden address is enough: such names are made to reach it by a second look-up.
        if not all(map(self._policy.permits, addresses)):
            raise AddressForbiddenError
        last: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses[:ADDRESSES_TRIED]:
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last or httpcore.ConnectError

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SystemResolver:
    """Resolves names as the system does, in threads of its own.

    A DNS server that does not answer holds a thread for seconds, which others must not wait for.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "resolver")

    async def __call__(self, host: str, port: int) -> Sequence[IpAddress]:
        """The addresses of a host; raises `OSError`."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]

    def close(self) -> None:
        """Start no further look-up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class WebhookSender:
    """Sends webhooks, each over a connection of its own.

    Args:
        policy: permits hosts and IP addresses.
        resolve: finds the addresses of a host.
        timeout_s: longest time of an attempt.
        clock: Unix time, seconds.
    """

    def __init__(
        self, policy: AddressPolicy, resolve: Resolver, *, timeout_s: float, clock: Clock
    ) -> None:
        self._policy = policy
        self._backend = GuardedBackend(policy, resolve)
        self._timeout_s = timeout_s
        self._clock = clock
        self._tls = httpx.create_ssl_context()

    async def send(
        self, address: CallbackAddress, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Attempt:
        """Post a body once; never raises because of the receiver."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(address, headers, body)
        except AddressForbiddenError:
            return Attempt(AttemptOutcome.FORBIDDEN_ADDRESS)
        except (TimeoutError, httpcore.TimeoutException):
            return Attempt(AttemptOutcome.TIMED_OUT)
        except httpcore.ConnectError:
            return Attempt(AttemptOutcome.UNREACHABLE)
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return Attempt(AttemptOutcome.BROKEN)

    async def _post(
        self, address: CallbackAddress, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Attempt:
        scheme, host = address.scheme.encode(), address.host.encode()
        # Built from the checked parts: another parser could find another host in the text.
        url = httpcore.URL(
            scheme=scheme, host=host, port=address.port, target=address.target.encode()
        )
        given = [("Host", address.authority), ("Content-Type", "application/json"), *headers]
        limits = dict.fromkeys(("read", "write", "pool"), self._timeout_s)
        connection = httpcore.AsyncHTTPConnection(
            httpcore.Origin(scheme, host, address.port),
            ssl_context=self._tls,
            network_backend=self._backend,
        )
        async with (
            connection,
            connection.stream(
                "POST",
                url,
                headers=[(name.encode(), value.encode()) for name, value in given],
                content=body,
                extensions={"timeout": {"connect": CONNECT_TIMEOUT_S, **limits}},
            ) as response,
        ):
            attempt = self._attempt(response)
            await _drain(response)
        return attempt

    def _attempt(self, response: httpcore.Response) -> Attempt:
        status = response.status
        if status == HTTPStatus.GONE:
            outcome = AttemptOutcome.GONE
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            outcome = AttemptOutcome.THROTTLED
        else:
            outcome = _BY_CLASS.get(status // 100, AttemptOutcome.REDIRECTED)
        named = (value for name, value in response.headers if name.lower() == b"retry-after")
        return Attempt(outcome, status, retry_after_s(next(named, b""), self._clock()))


_BY_CLASS = {
    2: AttemptOutcome.DELIVERED,
    4: AttemptOutcome.REFUSED,
    5: AttemptOutcome.FAILED,
}


async def _drain(response: httpcore.Response) -> None:
    """Read a short body to its end; what is longer or late is left."""
    size = 0
    with contextlib.suppress(Exception):  # the status has come: nothing changes it
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            async for part in response.aiter_stream():
                size += len(part)
                if size > ANSWER_MAX_BYTES:
                    break


def retry_after_s(header: bytes, now: float) -> float:
    """The pause that a `Retry-After` asks for, seconds, at most a day; 0 if it cannot be read.

    >>> retry_after_s(b"120", 0.0), retry_after_s(b"Thu, 01 Jan 1970 00:01:00 GMT", 0.0)
    (120.0, 60.0)
    """
    text = header.decode("ascii", "replace").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return 0.0
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)
