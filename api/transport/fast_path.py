"""The ASGI application: answers plain `POST /predict` on the event loop, passes the rest to Flask.

Flask's context, routing, hooks and response object cost more than a cached valuation itself, and so
does a thread for each request that waits. So the plain case is answered here, by the functions
that Flask's view calls too: JSON of known length, no query, no browser, an authorised caller.
Everything else goes on to Flask, and what has no plain end here (a job, an error) is finished
there: there is one place for each of these answers.
"""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from api.container import ApiServices
from api.http.context import HANDOFF_KEY, FastPathHandoff, preferred_language
from api.http.requests import parse_json, resolve_wait_s
from api.http.tick_batcher import TickBatcher
from api.middleware.authentication import Authenticator, Scope
from api.middleware.cross_site import is_loopback
from api.middleware.security_headers import DATA_HEADERS
from api.transport.wsgi_bridge import HTTP_DISCONNECT, Message, Receive, Send, WsgiBridge
from api.transport.wsgi_bridge import Scope as AsgiScope
from api.valuations.loop_service import Finish
from api.valuations.schemas import CACHE_STATUS, cache_status, serialize_valuation
from shared.domain.ids import CallerId
from shared.domain.valuation import DEFAULT_COVERAGE, Valuation
from shared.fields.requests import load_car_request
from shared.metrics import observe_http

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BODY_TIMEOUT_S = 10.0
"""Within which a body must have come: who holds connections open keeps others out."""
SWEEP_INTERVAL_S = 1.0


class BodyReader:
    """The bodies that are being read.

    One look a second finds those that are late: a timer for each request cost a cached answer some
    eight microseconds.
    """

    def __init__(self) -> None:
        self._started_at: dict[asyncio.Task[Any], float] = {}
        self._timed_out: set[asyncio.Task[Any]] = set()
        self._is_sweep_scheduled = False

    async def read(self, receive: Receive, length: int) -> bytes:
        """A body; shorter than announced if the client left, or did not send it in time."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever awaits this is one
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
        """Give up what is late; look again as long as anybody sends."""
        cutoff = time.monotonic() - BODY_TIMEOUT_S
        for task, started_at in self._started_at.items():
            if started_at < cutoff and task not in self._timed_out:
                self._timed_out.add(task)
                task.cancel()
        self._is_sweep_scheduled = False
        if self._started_at:
            self._schedule_sweep()


PATH = "/predict"
JSON = "application/json"
FAST_PATH_MAX_BYTES = 16_384
"""Far above what a car takes; to read more would keep the loop from others."""

PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
PROBE_THREADS, HANDOFF_THREADS = 4, 32
"""Kept apart from all others: whoever asks whether the service lives must not wait for slow
clients, nor must those whose request has been carried out and only lacks its end."""

_FIXED_HEADERS = [
    (b"content-type", JSON.encode()),
    *((name.lower().encode(), value.encode()) for name, value in DATA_HEADERS),
]
_CACHE_STATUS = CACHE_STATUS.lower().encode()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FastPathRequest:
    """What the fast path knows of a request besides its body."""

    started: float
    caller: CallerId
    length: int
    language: str | None
    prefer: str


class FastPath:
    """The ASGI application in front of Flask.

    Args:
        application: Flask, with what stands around it.
        services: what values cars.
        authenticator: finds callers.
    """

    def __init__(
        self, application: "WSGIApplication", services: ApiServices, authenticator: Authenticator
    ) -> None:
        self._services = services
        self._authenticator = authenticator
        self._flask = WsgiBridge(application, services.settings.api_threads)
        self._probes = WsgiBridge(application, PROBE_THREADS)
        self._handoff_bridge = WsgiBridge(application, HANDOFF_THREADS)
        self._latencies: TickBatcher[float] = TickBatcher(_observe)
        self._body_reader = BodyReader()
        self._max_bytes = min(FAST_PATH_MAX_BYTES, services.settings.body_max_bytes)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        fast_request = self._parse_fast_path(scope) if path == PATH else None
        if fast_request is None:
            bridge = self._probes if path in PROBES else self._flask
            await bridge(scope, receive, send)
            return
        try:
            result = await self._value(fast_request, receive)
            if not isinstance(result, Valuation):
                await self._hand_off(scope, send, FastPathHandoff(fast_request.started, result))
                return
            body = self._write(result, fast_request.language)
        except Exception as error:  # noqa: BLE001 - answered by Flask's error handlers
            await self._hand_off(scope, send, FastPathHandoff(fast_request.started, error))
            return
        headers = [
            *_FIXED_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (_CACHE_STATUS, cache_status(result).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._latencies.add(time.perf_counter() - fast_request.started)

    async def _hand_off(self, scope: AsgiScope, send: Send, handoff: FastPathHandoff) -> None:
        """Have Flask's view finish what the fast path cannot; the body has been read."""
        await self._handoff_bridge(scope, _receive_empty_body, send, **{HANDOFF_KEY: handoff})

    def _parse_fast_path(self, scope: AsgiScope) -> FastPathRequest | None:
        """What a request asks, if nothing but body, key, language and wait is to be looked at.

        None as well for whoever must be refused before his body is read.
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
        if (
            self._authenticator.allows_anonymous
            and host is not None
            and not is_loopback(_text(host))
        ):
            return None
        caller = self._authenticator.caller(_text(headers.get(b"authorization", b"")))
        if caller is None or Scope.PREDICT not in caller.scopes:
            return None
        language = headers.get(b"accept-language")
        return FastPathRequest(
            started=time.perf_counter(),
            caller=CallerId(caller.id),
            length=int(length),
            language=None if language is None else _text(language),
            prefer=_text(headers.get(b"prefer", b"")),
        )

    async def _value(self, fast_request: FastPathRequest, receive: Receive) -> Valuation | Finish:
        body = await self._body_reader.read(receive, fast_request.length)
        request = load_car_request(parse_json(body, fast_request.length))
        wait = resolve_wait_s(fast_request.prefer, self._services.settings)
        return await self._services.loop_valuations.value(request, fast_request.caller, wait)

    def _write(self, valuation: Valuation, accept_language: str | None) -> bytes:
        card = self._services.model_card(valuation.estimate.model_version)
        language = preferred_language(accept_language)
        return orjson.dumps(serialize_valuation(valuation, DEFAULT_COVERAGE, card, language))


def _observe(took_s: Sequence[float]) -> None:
    observe_http("POST", PATH, 200, *took_s)


async def _receive_empty_body() -> Message:
    """The rest of a body that was read."""
    return {"type": "http.request", "body": b"", "more_body": False}


def _text(value: bytes) -> str:
    return value.decode("latin-1")
