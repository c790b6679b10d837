"""`POST /predict` on the event loop."""

import time
from collections.abc import Sequence
from functools import lru_cache

import orjson

from api.container import ApiServices
from api.events.departures import ClientLeftError
from api.http.problems import error_response, problem_response
from api.http.requests import parse_json, resolve_wait_s
from api.http.responses import ACCEPT_LANGUAGE, JSON, HttpResponse
from api.jobs.schemas import accepted_response
from api.loops.ticks import TickBatcher
from api.transport.admission import AdmittedRequest
from api.transport.bodies import BodyReader
from api.transport.connections import Peer
from api.transport.loop_requests import LoopRequest, LoopRequests
from api.transport.responder import SECURITY_HEADERS, Responder, encode_headers
from api.transport.wsgi_bridge import Send
from api.valuations.schemas import CACHE_STATUS, cache_status, serialize_valuation
from shared.domain.job import Job
from shared.domain.valuation import DEFAULT_COVERAGE, CarRequest, Valuation
from shared.fields.requests import load_car_request
from shared.i18n.languages import LANGUAGES, Language
from shared.metrics import observe_http

PATH = "/predict"

KEPT_REQUESTS, KEPT_REQUEST_MAX_BYTES = 4096, 1024
"""Bodies whose car is kept, and their size: callers ask for the same car with the same bytes."""

MAX_SEEN = 16_384
_seen: set[int] = set()
"""Hashes of bodies: a car is kept when its body comes again. Those that come once would survive
several garbage collections if they were kept."""

_OK_HEADERS = {
    language: [
        (b"content-type", JSON.encode()),
        (b"vary", ACCEPT_LANGUAGE.encode()),
        (b"content-language", language.encode()),
        *SECURITY_HEADERS,
    ]
    for language in LANGUAGES
}
_CACHE_STATUS = CACHE_STATUS.lower().encode()


class PredictionRoute:
    """Answers requests for single cars, as the view in `api.valuations.views` does.

    Args:
        services: value cars.
        requests: apply the limits of keys.
        bodies: reads bodies.
        responder: sends other responses than valuations.
        active_peers: peers whose requests are being answered.
    """

    def __init__(
        self,
        services: ApiServices,
        requests: LoopRequests,
        bodies: BodyReader,
        responder: Responder,
        active_peers: set[Peer],
    ) -> None:
        self._services = services
        self._requests = requests
        self._bodies = bodies
        self._responder = responder
        self._active_peers = active_peers
        self._latencies: TickBatcher[float] = TickBatcher(_observe_answers)

    async def answer(self, request: LoopRequest, admitted: AdmittedRequest, send: Send) -> None:
        """Answer a request; raises `QueueFull` as `BodyReader.read`.

        Raises:
            ClientLeftError: the client has left meanwhile.
        """
        try:
            body = await self._bodies.read(request.receive, request.length, admitted)
            result = await self._value(request, body)
            if isinstance(result, Job):
                await self._responder.send(await self._accepted(result, request), request, send)
                return
            answer = self._serialize(result, request.language)
        except ClientLeftError:  # counts as one whose body had broken off; nobody reads it
            await self._requests.refund(request)
            nobody = problem_response(400, "bad-request", {}, request.language, PATH)
            await self._responder.send(nobody, request, send)
            raise
        except Exception as error:  # noqa: BLE001 - the client gets a problem document
            await self._requests.refund(request)
            await self._responder.send(error_response(error, request.language, PATH), request, send)
            return
        headers = [
            *_OK_HEADERS[request.language],
            (b"content-length", b"%d" % len(answer)),
            (_CACHE_STATUS, cache_status(result).encode()),
        ]
        if request.limited is not None:
            headers += encode_headers(request.limited.headers)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        self._latencies.add(time.perf_counter() - request.started)

    async def _value(self, request: LoopRequest, body: bytes) -> Valuation | Job:
        await self._requests.admit(request, cars=1)
        car_request = _load_request(body, request.length)
        wait_s = resolve_wait_s(request.header(b"prefer"), self._services.settings)
        self._active_peers.add(request.peer)
        try:
            return await self._services.valuations.value(
                car_request, request.caller_id, wait_s, receive=request.receive
            )
        finally:
            self._active_peers.discard(request.peer)

    def _serialize(self, valuation: Valuation, language: Language) -> bytes:
        model = self._services.active_model.identity(valuation.estimate.model_version)
        return orjson.dumps(serialize_valuation(valuation, DEFAULT_COVERAGE, model, language))

    async def _accepted(self, job: Job, request: LoopRequest) -> HttpResponse:
        position = await self._services.loops.run_in_thread(
            lambda: self._services.jobs.queue_position(job)
        )
        identity = self._services.active_model.identity
        return accepted_response(job, position, DEFAULT_COVERAGE, identity, request.language)


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


def _observe_answers(took_s: Sequence[float]) -> None:
    observe_http("POST", PATH, 200, *took_s)
