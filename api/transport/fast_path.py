"""The ASGI application: answers most `POST /predict` on the event loop, passes the rest to Flask.

Flask's context, routing, hooks and response object cost more than a cached valuation, and Flask
needs a thread for each request that waits. The fast path takes requests that need none of that:
JSON of known length, no query, no `Origin` header, an authorised caller. It answers them by the
functions that Flask's view and error handlers call too. `FAST_PATH=off` leaves every request to
Flask.
"""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from api.container import ApiServices
from api.http.problems import error_response
from api.http.requests import parse_json, preferred_language, resolve_wait_s
from api.http.responses import JSON, HttpResponse
from api.jobs.schemas import accepted_response
from api.middleware.authentication import Authenticator, Scope
from api.middleware.key_directory import Caller
from api.middleware.rate_headers import rate_headers
from api.middleware.security_headers import DATA_HEADERS
from api.transport.connections import Peer
from api.transport.loop_heartbeat import LoopHeartbeat
from api.transport.wsgi_bridge import HTTP_DISCONNECT, Receive, Send, WsgiBridge
from api.transport.wsgi_bridge import Scope as AsgiScope
from api.valuations.schemas import CACHE_STATUS, cache_status, serialize_valuation
from api.valuations.service import TickBatcher
from shared.domain.errors import RateLimited
from shared.domain.ids import CallerId
from shared.domain.job import Job
from shared.domain.valuation import DEFAULT_COVERAGE, Valuation
from shared.fields.requests import load_car_request
from shared.heartbeat import Heartbeat
from shared.messages.texts import Language
from shared.metrics import observe_http
from shared.redis.rate_limits import RateState

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PATH = "/predict"
FAST_PATH_MAX_BYTES = 16_384
"""Bodies above this are handled by Flask, so that reading them does not block the event loop."""

PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
PROBE_THREADS = 4
"""Threads for probes only: a health check must not wait for slow clients."""

FLASK_DEADLOCK_S, PROBES_DEADLOCK_S = 180.0, 60.0
"""Pools that take no request for this time are deadlocked: some threads never wait long."""

BODY_TIMEOUT_S = 10.0
"""Time in which a body must arrive: an open connection without a body holds memory."""
SWEEP_INTERVAL_S = 1.0


class BodyReader:
    """Reads request bodies and gives up those that are late.

    One sweep a second finds the late ones: a timer per request costs a cache hit 8 us.
    """

    def __init__(self) -> None:
        self._started_at: dict[asyncio.Task[Any], float] = {}
        self._timed_out: set[asyncio.Task[Any]] = set()
        self._is_sweep_scheduled = False

    async def read(self, receive: Receive, length: int) -> bytes:
        """Read a body; it is shorter than `length` if the client left or was too slow."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._started_at[task] = time.monotonic()
        if not self._is_sweep_scheduled:
            self._schedule_sweep()
        data = b""
        try:
            while len(data) < length:
                message = await receive()
                if message["type"] == HTTP_DISCONNECT:
                    break
                data += message["body"]
        except asyncio.CancelledError:
            if task not in self._timed_out:
                raise
            task.uncancel()
        finally:
            del self._started_at[task]
            self._timed_out.discard(task)
        return data

    def _schedule_sweep(self) -> None:
        self._is_sweep_scheduled = True
        asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._sweep)

    def _sweep(self) -> None:
        """Cancel late reads; sweep again while any read is under way."""
        cutoff = time.monotonic() - BODY_TIMEOUT_S
        for task, started_at in self._started_at.items():
            if started_at < cutoff and task not in self._timed_out:
                self._timed_out.add(task)
                task.cancel()
        self._is_sweep_scheduled = False
        if self._started_at:
            self._schedule_sweep()


_SECURITY_HEADERS = [(name.lower().encode(), value.encode()) for name, value in DATA_HEADERS]
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
        return [
            (name.lower().encode(), value.encode())
            for name, value in rate_headers(self.caller.limits, self.state)
        ]


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
        self._body_reader = BodyReader()
        self._heartbeat = LoopHeartbeat(
            {
                self._flask.submit: FLASK_DEADLOCK_S,
                self._probes.submit: PROBES_DEADLOCK_S,
            },
            Heartbeat(),
        )
        self._path = PATH if services.settings.fast_path == "on" else None
        self._max_bytes = min(FAST_PATH_MAX_BYTES, services.settings.body_max_bytes)
        self.active_peers: set[Peer] = set()
        """Peers whose requests are being answered; on the fast path, once the body is complete."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        fast_request = self._parse_fast_path(scope) if path == self._path else None
        if fast_request is None:
            loop = asyncio.get_running_loop()
            self._services.valuations.use_loop(loop)
            self._heartbeat.start(loop)
            bridge = self._probes if path in PROBES else self._flask
            self.active_peers.add(scope["client"])
            try:
                await bridge(scope, receive, send)
            finally:
                self.active_peers.discard(scope["client"])
            return
        try:
            result = await self._value(fast_request, receive)
            if isinstance(result, Job):
                await self._send(await self._accepted(result, fast_request), fast_request, send)
                return
            body = self._serialize(result, fast_request.language)
        except Exception as error:  # noqa: BLE001 - the client gets a problem document
            if fast_request.limited is not None:
                await self._refund(fast_request.limited)
            response = error_response(error, fast_request.language, PATH)
            await self._send(response, fast_request, send)
            return
        headers = [
            *_OK_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (_CACHE_STATUS, cache_status(result).encode()),
        ]
        if fast_request.limited is not None:
            headers += fast_request.limited.headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._latencies.add(time.perf_counter() - fast_request.started)

    def _parse_fast_path(self, scope: AsgiScope) -> FastPathRequest | None:
        """Read the headers of a request; None if it is Flask's.

        A request that must be refused before its body is read is Flask's too.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if (
            scope["method"] != "POST"
            or scope["query_string"]
            or headers.get(b"content-type") != JSON.encode()
            or not length.isdigit()
            or int(length) > self._max_bytes
            or b"origin" in headers
            or b"content-encoding" in headers
            or b"transfer-encoding" in headers
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

    async def _value(self, fast_request: FastPathRequest, receive: Receive) -> Valuation | Job:
        body = await self._body_reader.read(receive, fast_request.length)
        if fast_request.limited is not None:
            await self._admit(fast_request.limited)
        request = load_car_request(parse_json(body, fast_request.length))
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
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        length = (b"content-length", b"%d" % len(response.body))
        limits = fast_request.limited.headers if fast_request.limited is not None else ()
        start: dict[str, Any] = {"type": "http.response.start", "status": response.status}
        await send(start | {"headers": [*headers, length, *limits, *_SECURITY_HEADERS]})
        await send({"type": "http.response.body", "body": response.body})
        observe_http("POST", PATH, response.status, time.perf_counter() - fast_request.started)


def _observe_answers(took_s: Sequence[float]) -> None:
    observe_http("POST", PATH, 200, *took_s)


def _text(value: bytes) -> str:
    return value.decode("latin-1")
