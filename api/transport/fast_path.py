"""The ASGI application: answers most requests on the event loop, passes the rest to Flask.

Flask's context, routing, hooks and response object cost more than a cached valuation, and Flask
needs a thread for each request that waits. The event loop answers what needs none of that: single
cars and submissions as JSON of known length, polls of jobs and batches, and event streams, each
from an authorised caller. It answers them by the functions that Flask's views and error handlers
call too. `FAST_PATH=off` leaves every request to Flask. Requests for single cars that would wait
too long are refused here, before both.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from flask import Flask

from api.container import ApiServices
from api.events.departures import ClientLeftError
from api.http.problems import error_response
from api.http.responses import HttpResponse
from api.loops.ticks import TickBatcher
from api.middleware.authentication import Authenticator, Scope
from api.middleware.cors import allowed_origins, response_headers
from api.transport.admission import AdmissionControl, AdmittedRequest, effort_of_query
from api.transport.bodies import BodyReader, replay
from api.transport.job_routes import JobRoutes
from api.transport.loop_heartbeat import LoopHeartbeat
from api.transport.loop_requests import FAST_PATH_MAX_BYTES, LoopRequest, LoopRequests, language_of
from api.transport.predictions import PATH, PredictionRoute
from api.transport.responder import SECURITY_HEADERS, Responder, encode_headers
from api.transport.state_routes import StateRoutes
from api.transport.termination import delay_termination, on_termination
from api.transport.wsgi_bridge import Receive, Send, WsgiBridge
from api.transport.wsgi_bridge import Scope as AsgiScope
from shared.domain.errors import QueueFull
from shared.domain.ids import is_id
from shared.heartbeat import Heartbeat
from shared.i18n.languages import Language
from shared.metrics import PREDICTIONS, observe_http
from shared.tracing.current import is_tracing, note_route

if TYPE_CHECKING:
    from api.transport.connections import Peer

JOBS = "/jobs"
PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})
PROBE_THREADS = 4
"""Threads for probes only: a health check must not wait for slow clients."""

FLASK_DEADLOCK_S, PROBES_DEADLOCK_S = 180.0, 60.0
"""Pools that take no request for this time are deadlocked: some threads never wait long."""

Answer: TypeAlias = Callable[[LoopRequest, Send], Awaitable[HttpResponse | None]]
"""Answers a request; None if it has sent the response itself."""


class ReadRoute(NamedTuple):
    """A route that reads one job or batch."""

    endpoint: str
    """Template, for metrics."""
    required: Scope
    """Of the key."""
    answer: Answer


class FastPathMiddleware:
    """The ASGI application: answers fast path requests itself, passes all others to Flask.

    Args:
        application: Flask, with its WSGI middleware.
        services: value cars, store and read jobs.
        authenticator: finds callers.
    """

    def __init__(
        self, application: Flask, services: ApiServices, authenticator: Authenticator
    ) -> None:
        self._services = services
        settings = services.settings
        self._flask = WsgiBridge(application, settings.api_threads)
        self._probes = WsgiBridge(application, PROBE_THREADS)
        self._refusals: TickBatcher[float] = TickBatcher(_observe_refusals)
        self._admission = AdmissionControl(
            settings.queue_max_delay_ms / 1000, services.valuations.is_stalled
        )
        self._bodies = BodyReader(self._admission)
        self._origins = allowed_origins(settings)
        self._heartbeat = LoopHeartbeat(
            {
                self._flask.submit: FLASK_DEADLOCK_S,
                self._probes.submit: PROBES_DEADLOCK_S,
            },
            Heartbeat(),
        )
        self._is_fast = settings.fast_path == "on"
        self._max_bytes = min(FAST_PATH_MAX_BYTES, settings.body_max_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.active_peers: set[Peer] = set()
        """Peers whose requests are being answered; on the fast path, once the body is complete."""
        self._requests = LoopRequests(authenticator, services.loops, settings.body_max_bytes)
        self._responder = Responder(self._origins, services.loops)
        self._predictions = PredictionRoute(
            services, self._requests, self._bodies, self._responder, self.active_peers
        )
        self._jobs = JobRoutes(services, self._requests, self._bodies)
        states = StateRoutes(application, services, self._requests, self._responder)
        self._reads = {
            ("jobs",): ReadRoute("/jobs/<job_id>", Scope.PREDICT, self._jobs.poll),
            ("batches",): ReadRoute("/batches/<batch_id>", Scope.BULK, states.poll_batch),
            ("jobs", "events"): ReadRoute(
                "/jobs/<job_id>/events", Scope.PREDICT, states.stream_job
            ),
            ("batches", "events"): ReadRoute(
                "/batches/<batch_id>/events", Scope.BULK, states.stream_batch
            ),
        }
        """By the first part of a path, and those behind the id."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._use_loop(loop)
        if scope["path"] == PATH and scope["method"] == "POST":
            await self._predict(scope, receive, send)
            return
        found = self._find_route(scope, receive) if self._is_fast else None
        if found is None:
            await self._call_flask(scope, receive, send)
            return
        await self._answer(*found, send)

    def _use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare for the requests of a loop."""
        self._loop = loop
        self._services.loops.use(loop)
        waits, delay_s = self._services.waits, self._services.settings.drain_delay_s
        if delay_s:
            delay_termination(loop, delay_s, self._services.health.stop, waits.drain)
        else:
            on_termination(waits.drain)

    async def _predict(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        is_fast = self._is_fast and not scope["query_string"]
        request = self._requests.with_body(scope, receive, PATH) if is_fast else None
        caller = request.caller_id if request is not None else self._requests.find_caller(scope)
        admitted = self._admission.admit(caller, effort_of_query(scope["query_string"]))
        if admitted is None:
            await self._refuse(scope, send)
            return
        try:
            if request is not None:
                await self._predictions.answer(request, admitted, send)
                return
            receive = await self._read_ahead(admitted, scope, receive)
            await self._call_flask(scope, receive, send)
        except QueueFull:
            await self._refuse(scope, send)
        except ClientLeftError:  # no worker has answered it
            self._admission.leave(admitted, is_done=False)
        finally:
            self._admission.leave(admitted)

    def _find_route(self, scope: AsgiScope, receive: Receive) -> tuple[LoopRequest, Answer] | None:
        """The request and what answers it; None if it is Flask's."""
        path, method = scope["path"], scope["method"]
        if method == "POST" and path == JOBS:
            request = self._requests.with_body(scope, receive, path, may_change=True)
            return None if request is None else (request, self._jobs.submit)
        if method != "GET":
            return None
        parts = path.split("/")
        id_at = 2
        if len(parts) <= id_at or not is_id(parts[id_at]):
            return None
        route = self._reads.get((parts[1], *parts[id_at + 1 :]))
        if route is None:
            return None
        request = self._requests.without_body(scope, receive, route.endpoint, route.required)
        return None if request is None else (request, route.answer)

    async def _answer(self, request: LoopRequest, answer: Answer, send: Send) -> None:
        self.active_peers.add(request.peer)
        try:
            response = await answer(request, send)
        except ClientLeftError:
            return
        except Exception as error:  # noqa: BLE001 - the client gets a problem document
            response = error_response(error, request.language, request.path)
        finally:
            self.active_peers.discard(request.peer)
        if response is not None:
            await self._responder.send(response, request, send)

    async def _call_flask(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        self._heartbeat.start(asyncio.get_running_loop())
        bridge = self._probes if scope["path"] in PROBES else self._flask
        self.active_peers.add(scope["client"])
        try:
            await bridge(scope, receive, send)
        finally:
            self.active_peers.discard(scope["client"])

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
        body = await self._bodies.read(receive, int(length), admitted)
        return replay(body, receive, is_complete=len(body) == int(length))

    async def _refuse(self, scope: AsgiScope, send: Send) -> None:
        """Refuse a request that would wait too long."""
        started = time.perf_counter()
        given = dict(scope["headers"])
        origin = given.get(b"origin")
        note_route("POST", PATH)
        make = _queue_full.__wrapped__ if is_tracing() else _queue_full  # it names the trace
        refusal = make(language_of(given))
        allowed = response_headers(origin and origin.decode("latin-1"), PATH, self._origins)
        length = (b"content-length", b"%d" % len(refusal.body))
        headers = [*encode_headers([*refusal.headers, *allowed]), length, *SECURITY_HEADERS]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": refusal.body})
        self._refusals.add(time.perf_counter() - started)


@lru_cache(maxsize=4)
def _queue_full(language: Language) -> HttpResponse:
    """The refusal of a busy service, which must cost little."""
    return error_response(QueueFull(), language, PATH)


def _observe_refusals(took_s: Sequence[float]) -> None:
    observe_http("POST", PATH, 503, *took_s)
    PREDICTIONS.labels(status="error").inc(len(took_s))
