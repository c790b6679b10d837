"""Sends one webhook by a connection to a permitted address.

No redirect is followed, no proxy of the environment is used, and of the answer only the status and
`Retry-After` count.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

import httpcore
import httpx

from api.webhooks.connections import AddressForbiddenError, GuardedBackend, Resolver
from shared.domain.clock import Clock
from shared.webhooks.addresses import AddressPolicy, CallbackAddress

CONNECT_TIMEOUT_S = 5.0
DRAIN_TIMEOUT_S = 1.0
RETRY_AFTER_MAX_S = 86_400.0


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
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
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
    with contextlib.suppress(Exception):  # the status has come: nothing changes it
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            async for _ in response.aiter_stream():
                pass


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
