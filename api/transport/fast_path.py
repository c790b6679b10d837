"""The ASGI application: answers most `POST /predict` on the event loop, passes the rest to Flask.

Flask's context, routing, hooks and response object cost more than a cached valuation, and Flask
needs a thread for each request that waits. The fast path takes requests that need none of that:
JSON of known length, no query, no `Origin` header, an authorised caller. It answers them by the
functions that Flask's view and error handlers call too. `FAST_PATH=off` leaves every request to
Flask. Requests for single cars that would wait too long are refused here, before both.
"""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from api.container import ApiServices
from api.http.compression import accepted_codings
from api.http.problems import error_response
from api.http.requests import parse_json, preferred_language, resolve_wait_s
from api.http.responses import JSON, HttpResponse, rate_headers
from api.jobs.schemas import accepted_response
from api.middleware.authentication import Authenticator, Scope
from api.middleware.cors import allowed_origins, response_headers
from api.middleware.key_directory import Caller
from api.middleware.security_headers import DATA_HEADERS
from api.transport.admission import AdmissionControl, AdmittedRequest, effort_of_query
from api.transport.bodies import BodyReader, replay
from api.transport.connections import Peer
from api.transport.loop_heartbeat import LoopHeartbeat
from api.transport.wsgi_bridge import Receive, Send, WsgiBridge
from api.transport.wsgi_bridge import Scope as AsgiScope
from api.valuations.schemas import CACHE_STATUS, cache_status, serialize_valuation
from api.valuations.ticks import TickBatcher
from shared.domain.errors import QueueFull, RateLimited
from shared.domain.ids import CallerId
from shared.domain.job import Job
from shared.domain.valuation import DEFAULT_COVERAGE, CarRequest, Valuation
from shared.fields.requests import load_car_request
from shared.heartbeat import Heartbeat
from shared.messages.texts import Language
from shared.metrics import PREDICTIONS, observe_http
from shared.redis.rate_limits import RateState

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PATH = "/predict"
FAST_PATH_MAX_BYTES = 16_384
"""Bodies above this are handled by Flask, so that reading them does not block the event loop."""

KEPT_REQUESTS, KEPT_REQUEST_MAX_BYTES = 4096, 1024
"""Bodies whose car is kept, and their size: callers ask for the same car with the same bytes."""

MAX_SEEN = 16_384
_seen: set[int] = set()
"""Hashes of bodies: a car is kept when its body comes again. Those that come once would survive
several garbage collections if they were kept."""

PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
PROBE_THREADS = 4
"""Threads for probes only: a health check must not wait for slow clients."""

FLASK_DEADLOCK_S, PROBES_DEADLOCK_S = 180.0, 60.0
"""Pools that take no request for this time are deadlocked: some threads never wait long."""


def _encoded(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers in the form of ASGI."""
    return [(name.lower().encode(), value.encode()) for name, value in headers]


_SECURITY_HEADERS = _encoded(DATA_HEADERS)
_OK_HEADERS = [(b"content-type", JSON.encode()), *_SECURITY_HEADERS]
_CACHE_STATUS = CACHE_STATUS.lower().encode()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FastPathRequest:
    """A request that the fast path answers."""

    started: float
    """`time.perf_counter` at its arrival."""
    caller: CallerId
    length: int
    """Bytes of the body."""
    language: Language
    prefer: str
    """The `Prefer` header, empty if there is none."""
    peer: Peer
    limited: "LimitedRequest | None"
    """Set if the caller's key has limits of requests or cars."""


@dataclasses.dataclass(slots=True)
class LimitedRequest:
    """What the limits of a key make of its request."""

    caller: Caller
    state: RateState | None = None
    """What is left; None if nothing could be counted."""
    is_paid: bool = False
    """Whether the car was counted."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit` headers of the response."""
        return _encoded(rate_headers(self.caller.limits, self.state))


class FastPathMiddleware:
    """The ASGI application: answers fast path requests itself, passes all others to Flask.

    Args:
        application: Flask, with its WSGI middleware.
        services: value cars.
        authenticator: finds callers.
    """

    def __init__(
        self, application: "WSGIApplication", services: ApiServices, authenticator: Authenticator
    ) -> None:
        self._services = services
        self._authenticator = authenticator
        self._flask = WsgiBridge(application, services.settings.api_threads)
        self._probes = WsgiBridge(application, PROBE_THREADS)
        self._latencies: TickBatcher[float] = TickBatcher(_observe_answers)
        self._refusals: TickBatcher[float] = TickBatcher(_observe_refusals)
        self._admission = AdmissionControl(
            services.settings.queue_max_delay_ms / 1000, services.valuations.is_stalled
        )
        self._body_reader = BodyReader(self._admission)
        self._origins = allowed_origins(services.settings)
        self._heartbeat = LoopHeartbeat(
            {
                self._flask.submit: FLASK_DEADLOCK_S,
                self._probes.submit: PROBES_DEADLOCK_S,
            },
            Heartbeat(),
        )
        self._is_fast = services.settings.fast_path == "on"
        self._max_bytes = min(FAST_PATH_MAX_BYTES, services.settings.body_max_bytes)
        self.active_peers: set[Peer] = set()
        """Peers whose requests are being answered; on the fast path, once the body is complete."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] != PATH or scope["method"] != "POST":
            await self._call_flask(scope, receive, send)
            return
        fast_request = self._parse_fast_path(scope) if self._is_fast else None
        caller = fast_request.caller if fast_request is not None else self._find_caller(scope)
        admitted = self._admission.admit(caller, effort_of_query(scope["query_string"]))
        if admitted is None:
            await self._refuse(scope, send)
            return
        try:
            if fast_request is not None:
                await self._answer(fast_request, admitted, receive, send)
                return
            receive = await self._read_ahead(admitted, scope, receive)
            await self._call_flask(scope, receive, send)
        except QueueFull:
            await self._refuse(scope, send)
        finally:
            self._admission.leave(admitted)

    async def _call_flask(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._services.valuations.use_loop(loop)
        self._heartbeat.start(loop)
        bridge = self._probes if scope["path"] in PROBES else self._flask
        self.active_peers.add(scope["client"])
        try:
            await bridge(scope, receive, send)
        finally:
            self.active_peers.discard(scope["client"])

    async def _answer(
        self, fast_request: FastPathRequest, admitted: AdmittedRequest, receive: Receive, send: Send
    ) -> None:
        try:
            body = await self._body_reader.read(receive, fast_request.length, admitted)
            result = await self._value(fast_request, body)
            if isinstance(result, Job):
                await self._send(await self._accepted(result, fast_request), fast_request, send)
                return
            answer = self._serialize(result, fast_request.language)
        except Exception as error:  # noqa: BLE001 - the client gets a problem document
            if fast_request.limited is not None:
                await self._refund(fast_request.limited)
            response = error_response(error, fast_request.language, PATH)
            await self._send(response, fast_request, send)
            return
        headers = [
            *_OK_HEADERS,
            (b"content-length", b"%d" % len(answer)),
            (_CACHE_STATUS, cache_status(result).encode()),
        ]
        if fast_request.limited is not None:
            headers += fast_request.limited.headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        self._latencies.add(time.perf_counter() - fast_request.started)

    async def _read_ahead(
        self, admitted: AdmittedRequest, scope: AsgiScope, receive: Receive
    ) -> Receive:
        """Read the body of a request that is Flask's, so that a slow client is noticed.

        A body of unknown or great length is left to Flask; its request does not count.
        """
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit() or int(length) > self._max_bytes or not admitted.caller:
            self._admission.leave(admitted, is_done=False)
            return receive
        body = await self._body_reader.read(receive, int(length), admitted)
        return replay(body, receive, is_complete=len(body) == int(length))

    async def _refuse(self, scope: AsgiScope, send: Send) -> None:
        """Refuse a request that would wait too long."""
        started = time.perf_counter()
        given = dict(scope["headers"])
        language, origin = given.get(b"accept-language"), given.get(b"origin")
        refusal = _queue_full(preferred_language(None if language is None else _text(language)))
        allowed = response_headers(origin and _text(origin), PATH, self._origins)
        await _send_response(refusal, _encoded(allowed), send)
        self._refusals.add(time.perf_counter() - started)

    def _find_caller(self, scope: AsgiScope) -> CallerId:
        """Who sends a request that is Flask's; empty for an unknown caller."""
        headers = dict(scope["headers"])
        caller = self._authenticator.caller(_text(headers.get(b"authorization", b"")))
        return CallerId(caller.id if caller is not None else "")

    def _parse_fast_path(self, scope: AsgiScope) -> FastPathRequest | None:
        """Read the headers of a request; None if it is Flask's.

        A request that must be refused before its body is read is Flask's too.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if (
            scope["query_string"]
            or headers.get(b"content-type") != JSON.encode()
            or not length.isdigit()
            or int(length) > self._max_bytes
            or b"origin" in headers
            or b"content-encoding" in headers
            or b"transfer-encoding" in headers
            or _refuses_identity(headers.get(b"accept-encoding", b""))
            or len(headers) != len(scope["headers"])  # one of them came twice
        ):
            return None
        host = headers.get(b"host")
        if host is not None and not self._authenticator.accepts_host(_text(host)):
            return None
        caller = self._authenticator.caller(_text(headers.get(b"authorization", b"")))
        if caller is None or Scope.PREDICT not in caller.scopes:
            return None
        self._authenticator.count_use(caller)
        language = headers.get(b"accept-language")
        return FastPathRequest(
            started=time.perf_counter(),
            caller=CallerId(caller.id),
            length=int(length),
            language=preferred_language(None if language is None else _text(language)),
            prefer=_text(headers.get(b"prefer", b"")),
            peer=scope["client"],
            limited=LimitedRequest(caller) if caller.limits.has_rate else None,
        )

    async def _value(self, fast_request: FastPathRequest, body: bytes) -> Valuation | Job:
        if fast_request.limited is not None:
            await self._admit(fast_request.limited)
        request = _load_request(body, fast_request.length)
        wait_s = resolve_wait_s(fast_request.prefer, self._services.settings)
        self.active_peers.add(fast_request.peer)
        try:
            return await self._services.valuations.value(request, fast_request.caller, wait_s)
        finally:
            self.active_peers.discard(fast_request.peer)

    async def _admit(self, limited: LimitedRequest) -> None:
        """Count the request against the limits of its key; raises `RateLimited`."""
        limits, caller = self._authenticator.limits, limited.caller
        try:
            limits.check(caller)
            limited.state = await self._services.valuations.run_in_thread(
                lambda: limits.admit(caller, cars=1)
            )
        except RateLimited as error:
            limited.state = error.params["state"]
            raise
        limited.is_paid = limited.state is not None and limited.state.cars is not None

    async def _refund(self, limited: LimitedRequest) -> None:
        """Give the car of a failed request back."""
        if limited.is_paid and limited.state is not None:
            refund, caller = self._authenticator.limits.refund, limited.caller
            await self._services.valuations.run_in_thread(lambda: refund(caller, 1))
            limited.state = limited.state._replace(cars=(limited.state.cars or 0.0) + 1)

    def _serialize(self, valuation: Valuation, language: Language) -> bytes:
        model = self._services.active_model.identity(valuation.estimate.model_version)
        return orjson.dumps(serialize_valuation(valuation, DEFAULT_COVERAGE, model, language))

    async def _accepted(self, job: Job, fast_request: FastPathRequest) -> HttpResponse:
        queue_position = await self._services.valuations.run_in_thread(
            lambda: self._services.jobs.queue_position(job)
        )
        identity = self._services.active_model.identity
        language = fast_request.language
        return accepted_response(job, queue_position, DEFAULT_COVERAGE, identity, language)

    async def _send(
        self, response: HttpResponse, fast_request: FastPathRequest, send: Send
    ) -> None:
        """Send a response that is not a valuation."""
        limits = fast_request.limited.headers if fast_request.limited is not None else ()
        await _send_response(response, limits, send)
        observe_http("POST", PATH, response.status, time.perf_counter() - fast_request.started)


def _refuses_identity(accept_encoding: bytes) -> bool:
    """Whether a client accepts compressed responses only, as Flask sends them."""
    return b"=0" in accept_encoding and not accepted_codings(_text(accept_encoding)).identity


def _load_request(raw: bytes, length: int) -> CarRequest:
    """Read the car of a body; `length` is what its `Content-Length` says.

    Raises:
        InvalidInput: it is incomplete, not JSON, or not a valid car.
    """
    if len(raw) == length <= KEPT_REQUEST_MAX_BYTES:
        digest = hash(raw)
        if digest in _seen:
            return _load_short_request(raw, time.gmtime().tm_year)
        if len(_seen) >= MAX_SEEN:
            _seen.clear()
        _seen.add(digest)
    return load_car_request(parse_json(raw, length))


@lru_cache(maxsize=KEPT_REQUESTS)
def _load_short_request(raw: bytes, this_year: int) -> CarRequest:  # noqa: ARG001 - part of the key
    """Read a car, whose limits and warnings depend on the current year; errors are not kept."""
    return load_car_request(parse_json(raw, None))


@lru_cache(maxsize=4)
def _queue_full(language: Language) -> HttpResponse:
    """The refusal of a busy service, which must cost little."""
    return error_response(QueueFull(), language, PATH)


async def _send_response(
    response: HttpResponse, more: Sequence[tuple[bytes, bytes]], send: Send
) -> None:
    """Send a response with its length, more headers and those of all responses."""
    length = (b"content-length", b"%d" % len(response.body))
    headers = [*_encoded(response.headers), length, *more, *_SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _observe_answers(took_s: Sequence[float]) -> None:
    observe_http("POST", PATH, 200, *took_s)


def _observe_refusals(took_s: Sequence[float]) -> None:
    observe_http("POST", PATH, 503, *took_s)
    PREDICTIONS.labels(status="error").inc(len(took_s))


def _text(value: bytes) -> str:
    return value.decode("latin-1")
