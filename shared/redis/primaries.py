"""Connections that leave a server which is no primary any more, and find the new one.

A primary that is demoted keeps its connections and answers writes with READONLY. A connection that
gets such an answer is closed, with all idle connections of the process to that server, so that the
next use connects again: to the address that the sentinels name, or through the proxy or name of the
URL. For a moment these may still lead to the former primary: a new connection to a server that says
in its handshake that it is a replica is refused, because its first write would be lost.
"""

import weakref
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from shared.redis.addresses import TLS_SCHEMES, ServerAddress

SENTINEL_TIMEOUT_S = 0.5
"""How long one sentinel may take; the next one is asked then."""

REFUSALS = ("READONLY", "NOREPLICAS", "MASTERDOWN")
"""First words of the answers of a server that cannot write, while another one may be primary."""

CLUSTER_REFUSALS = ("CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "CROSSSLOT")
"""First words of the answers that a Redis Cluster alone gives."""


class NotPrimary(redis.ConnectionError):
    """The server refuses writes because it is no primary, or has lost its replicas."""

    is_refusal = True
    """Logged without its stack (`shared.logging`)."""


class Primary:
    """What the connections of this process to one server have in common."""

    def __init__(self) -> None:
        self.changes = 0
        """How often the server was found to be no primary. Connections made before are closed
        when they are used next."""
        self._address: tuple[str, int] | None = None
        self._pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()

    def add(self, pool: ConnectionPool) -> None:
        """Close the idle connections of a pool as well when the server is no primary."""
        self._pools.add(pool)

    def found(self, address: tuple[str, int]) -> None:
        """Note the address that the sentinels name."""
        former, self._address = self._address, address
        if former not in (None, address):
            self.lost()

    def lost(self) -> None:
        """Note that the server is no primary any more."""
        self.changes += 1
        for pool in list(self._pools):
            pool.disconnect(inuse_connections=False)


_PRIMARIES: dict[str, Primary] = {}


def primary_of(url: str) -> Primary:
    """The `Primary` of all connections of this process with this URL."""
    return _PRIMARIES.setdefault(url, Primary())


def is_refusal(error: redis.ResponseError, words: tuple[str, ...] = REFUSALS) -> bool:
    """Whether an answer has one of these words first, or a script reports such an answer.

    redis-py removes the first word of the errors that it knows.
    """
    text = f"{getattr(error, 'status_code', None) or ''} {error}".lstrip()
    return text.startswith(words) or any(f"-{word} " in text for word in words)


class _LeavesDemoted:
    """Mixin of connections: is made to a primary only, and closed after an answer of `REFUSALS`."""

    _primary: Primary

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        self._primary = primary
        super().__init__(**options)

    def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """As redis-py's; raises `NotPrimary` if the server says that it is a replica."""
        super().on_connect_check_health(check_health)  # type: ignore[misc]
        said = getattr(self, "handshake_metadata", None) or {}  # None in version 2 of the protocol
        role = said.get(b"role") or said.get("role")
        if role in {b"replica", "replica"}:
            self._primary.lost()
            raise NotPrimary("the server is a replica")

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raises `NotPrimary` if the server refuses a write."""
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            if not is_refusal(error):
                raise
            self.disconnect()  # type: ignore[attr-defined]
            if not is_refusal(error, ("NOREPLICAS",)):
                self._primary.lost()
            raise NotPrimary(str(error) or type(error).__name__) from error


class PrimaryConnection(_LeavesDemoted, Connection):
    """A TCP connection."""


class PrimaryTLSConnection(_LeavesDemoted, SSLConnection):
    """A TLS connection."""


class _SentinelConnection(SentinelManagedConnection):
    """Reads as any connection does: redis-py's own has a shorter list of refusals."""

    _primary: Primary

    def connect_to(self, address: tuple[str, int]) -> None:
        """Connect to the server that the sentinels name."""
        self._primary.found(address)
        super().connect_to(address)  # type: ignore[no-untyped-call]

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Connect first if it is closed: redis-py would connect to the former address again."""
        if self._sock is None:
            self.connect()  # type: ignore[no-untyped-call]
        super().send_packed_command(*args, **options)  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **options: Any) -> Any:
        return super(SentinelManagedConnection, self).read_response(*args, **options)


class SentinelConnection(_LeavesDemoted, _SentinelConnection):
    """A TCP connection to the server that the sentinels name when it is made."""


class SentinelTLSConnection(_LeavesDemoted, _SentinelConnection, SSLConnection):
    """As `SentinelConnection`, by TLS."""


def make_pool(url: str, address: ServerAddress, **options: Any) -> ConnectionPool:
    """Make a pool of connections to the primary; nothing is sent yet.

    Args:
        url: of the server; connections with equal ones leave a demoted server together.
        address: what the URL says.
        options: further arguments of the pool and its connections; `wrap` maps the class of the
            connections to the one to use.
    """
    wrap = options.pop("wrap", lambda kind: kind)
    if "path" in address.options:
        return ConnectionPool(
            **{**address.options, **options}, connection_class=wrap(UnixDomainSocketConnection)
        )
    primary = primary_of(url)
    is_tls = address.scheme in TLS_SCHEMES
    options = {**address.options, **options, "primary": primary}
    if not address.sentinels:
        kind: type = PrimaryTLSConnection if is_tls else PrimaryConnection
        pool = ConnectionPool(connection_class=wrap(kind), **options)
    else:
        kind = SentinelTLSConnection if is_tls else SentinelConnection
        options["connection_class"] = wrap(kind)
        sentinels = make_sentinels(address)
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            address.service, sentinels, **options
        )
    primary.add(pool)
    return pool


def make_sentinels(address: ServerAddress) -> Sentinel:
    """The sentinels of an address, each asked once and for a short time."""
    return Sentinel(  # type: ignore[no-untyped-call]
        list(address.sentinels),
        sentinel_kwargs={
            "socket_connect_timeout": SENTINEL_TIMEOUT_S,
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
            **address.sentinel_options,
        },
    )
