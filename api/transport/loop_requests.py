"""Requests that the event loop answers itself: what of them is read, and which are Flask's.

A request that needs something else than the loop offers, or must be refused before it is read, is
left to Flask, which defines the API.
"""

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from api.events.waits import Client
from api.http.compression import accepted_codings
from api.http.requests import preferred_language
from api.http.responses import JSON, rate_headers
from api.loops.event_loops import EventLoops
from api.middleware.authentication import LOCAL_CALLER, Authenticator, Scope, key_checker
from api.middleware.key_directory import Caller
from api.transport.connections import Peer
from api.transport.wsgi_bridge import Receive
from api.transport.wsgi_bridge import Scope as AsgiScope
from shared.domain.errors import RateLimited
from shared.domain.ids import CallerId
from shared.i18n.languages import Language
from shared.redis.rate_limits import RateState
from shared.tracing.current import note_route

FAST_PATH_MAX_BYTES = 16_384
"""Bodies above this are handled by Flask, so that reading them does not block the event loop."""

BODY_HEADERS = (b"content-encoding", b"transfer-encoding", b"origin")
"""Requests with a body that have one of these are Flask's."""

READ_HEADERS = (b"transfer-encoding", b"if-match")
"""Requests without a body that have one of these are Flask's. What the loop reads has no ranges and
no `Last-Modified`, so the other conditions do not count."""


@dataclasses.dataclass(slots=True)
class LimitedRequest:
    """What the limits of a key make of its request."""

    caller: Caller
    state: RateState | None = None
    """What is left; None if nothing could be counted."""
    is_paid: bool = False
    """Whether a car was counted, that is given back if the request fails."""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """`RateLimit` headers of the response."""
        return rate_headers(self.caller.limits, self.state)


class LoopRequest(NamedTuple):
    """A request that the event loop answers."""

    started: float
    """`time.perf_counter` at its arrival."""
    method: str
    path: str
    endpoint: str
    """Route template, for metrics."""
    query_string: bytes
    headers: Mapping[bytes, bytes]
    length: int
    """Bytes of the body."""
    caller: Caller
    language: Language
    peer: Peer
    receive: Receive
    limited: LimitedRequest | None
    """Set if the caller's key has limits of requests or cars."""

    @property
    def caller_id(self) -> CallerId:
        """The id of the caller."""
        return CallerId(self.caller.id)

    def header(self, name: bytes) -> str:
        """A header; empty if it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


class LoopRequests:
    """Reads the heads of requests and applies the limits of their keys.

    Args:
        authenticator: finds callers.
        loops: provides threads that ask the broker.
        max_bytes: of a body.
    """

    def __init__(self, authenticator: Authenticator, loops: EventLoops, max_bytes: int) -> None:
        self._authenticator = authenticator
        self._loops = loops
        self._max_bytes = min(FAST_PATH_MAX_BYTES, max_bytes)

    def with_body(
        self, scope: AsgiScope, receive: Receive, endpoint: str, *, may_change: bool = False
    ) -> LoopRequest | None:
        """A `POST` of JSON of known length; None if it is Flask's.

        Args:
            scope: of the request.
            receive: returns its body.
            endpoint: route template.
            may_change: whether requests of other sites are to be refused, which Flask does.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if (
            headers.get(b"content-type") != JSON.encode()
            or not length.isdigit()
            or int(length) > self._max_bytes
            or _has_any(headers, BODY_HEADERS)
        ):
            return None
        caller = self._caller(scope, headers, Scope.PREDICT)
        if caller is None:
            return None
        if may_change and caller is LOCAL_CALLER and b"sec-fetch-site" in headers:
            return None
        return self._request(scope, receive, endpoint, caller, headers)

    def without_body(
        self, scope: AsgiScope, receive: Receive, endpoint: str, required: Scope
    ) -> LoopRequest | None:
        """A `GET`; None if it is Flask's.

        Args:
            scope: of the request.
            receive: returns `http.disconnect` when the client leaves.
            endpoint: route template.
            required: the scope that the key needs.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if _has_any(headers, READ_HEADERS) or headers.get(b"content-length", b"0") != b"0":
            return None
        caller = self._caller(scope, headers, required)
        if caller is None:
            return None
        return self._request(scope, receive, endpoint, caller, headers)

    def client(self, request: LoopRequest, required: Scope) -> Client:
        """The client of a request that waits."""
        authorization = request.header(b"authorization")
        return Client(
            caller=request.caller.id if request.caller.key_id else "",
            key=(authorization, required),
            check_key=key_checker(self._authenticator, authorization, required),
            receive=request.receive,
        )

    async def admit(self, request: LoopRequest, *, cars: int = 0) -> None:
        """Count a request, and cars, against the limits of its key; raises `RateLimited`."""
        limited, limits = request.limited, self._authenticator.limits
        if limited is None:
            return
        try:
            limits.check(limited.caller)
            limited.state = await self._loops.run_in_thread(
                lambda: limits.admit(limited.caller, cars=cars)
            )
        except RateLimited as error:
            limited.state = error.params["state"]
            raise
        limited.is_paid = cars > 0 and limited.state is not None and limited.state.cars is not None

    async def refund(self, request: LoopRequest) -> None:
        """Give the car of a failed request back."""
        limited, limits = request.limited, self._authenticator.limits
        if limited is not None and limited.is_paid and limited.state is not None:
            await self._loops.run_in_thread(lambda: limits.refund(limited.caller, 1))
            limited.state = limited.state._replace(cars=(limited.state.cars or 0.0) + 1)

    def find_caller(self, scope: AsgiScope) -> CallerId:
        """Who sends a request that is Flask's; empty for an unknown caller."""
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        caller = self._authenticator.caller(authorization.decode("latin-1"))
        return CallerId(caller.id if caller is not None else "")

    def _caller(
        self, scope: AsgiScope, headers: Mapping[bytes, bytes], required: Scope
    ) -> Caller | None:
        """The caller, if it may send such requests, and nothing else in the head needs Flask."""
        if len(headers) != len(scope["headers"]):  # one of them came twice
            return None
        if _refuses_identity(headers.get(b"accept-encoding", b"")):
            return None
        host = headers.get(b"host")
        if host is not None and not self._authenticator.accepts_host(host.decode("latin-1")):
            return None
        caller = self._authenticator.caller(headers.get(b"authorization", b"").decode("latin-1"))
        return caller if caller is not None and required in caller.scopes else None

    def _request(
        self,
        scope: AsgiScope,
        receive: Receive,
        endpoint: str,
        caller: Caller,
        headers: Mapping[bytes, bytes],
    ) -> LoopRequest:
        self._authenticator.count_use(caller)
        note_route(scope["method"], endpoint)
        return LoopRequest(
            started=time.perf_counter(),
            method=scope["method"],
            path=scope["path"],
            endpoint=endpoint,
            query_string=scope["query_string"],
            headers=headers,
            length=int(headers.get(b"content-length", b"0")),
            caller=caller,
            language=language_of(headers),
            peer=scope["client"],
            receive=receive,
            limited=LimitedRequest(caller) if caller.limits.has_rate else None,
        )


def language_of(headers: Mapping[bytes, bytes]) -> Language:
    """The language of a request, by `Accept-Language`."""
    language = headers.get(b"accept-language")
    return preferred_language(None if language is None else language.decode("latin-1"))


def _refuses_identity(accept_encoding: bytes) -> bool:
    """Whether a client accepts compressed responses only, as Flask sends them."""
    if b"=0" not in accept_encoding:
        return False
    return not accepted_codings(accept_encoding.decode("latin-1")).identity


def _has_any(headers: Collection[bytes], names: Sequence[bytes]) -> bool:
    return any(name in headers for name in names)
