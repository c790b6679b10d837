"""Connections to receivers: to addresses that are permitted, with answers of bounded length."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import httpcore

from shared.webhooks.addresses import AddressPolicy, IpAddress

ADDRESSES_TRIED = 3
ANSWER_MAX_BYTES = 65_536
"""Of an answer that are read, interim answers and headers included. A short body is read to its end
before the connection is closed, so that the receiver sees no reset."""

RESOLVER_THREADS = 192
"""Three times the webhooks that are sent at once: a look-up may take longer than the attempt that
it was made for."""

Resolver = Callable[[str, int], Awaitable[Sequence[IpAddress]]]
"""Finds the IP addresses of a host; raises `OSError` if it has none."""


class AddressForbiddenError(Exception):
    """The host has an IP address that must not be called."""


class BoundedStream(httpcore.AsyncNetworkStream):
    """A connection of which only so many bytes are read.

    The library reads interim answers (1xx) as long as they come.

    Args:
        stream: the connection.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = ANSWER_MAX_BYTES

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - signature of the library
    ) -> bytes:
        """Read some bytes.

        Raises:
            httpcore.ReadError: the answer is too long, or cannot be decrypted.
        """
        if self._left <= 0:
            raise httpcore.ReadError("the answer is too long")
        try:
            data = await self._stream.read(min(max_bytes, self._left), timeout)
        except ssl.SSLError as error:  # which the library does not translate
            raise httpcore.ReadError("the answer cannot be decrypted") from error
        self._left -= len(data)
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - signature of the library
    ) -> None:
        """Write all of a buffer."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - signature of the library
    ) -> httpcore.AsyncNetworkStream:
        """The encrypted connection."""
        return BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection."""
        return self._stream.get_extra_info(info)


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
                stream = await self._network.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
            else:
                return BoundedStream(stream)
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
