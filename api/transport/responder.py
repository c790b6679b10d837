"""Sends the responses that the event loop makes, with the headers that all responses have."""

from collections import defaultdict
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

from api.http.responses import HttpResponse
from api.loops.ticks import TickBatcher
from api.middleware.cors import response_headers
from api.middleware.security_headers import DATA_HEADERS
from api.transport.loop_requests import LoopRequest
from api.transport.wsgi_bridge import Send
from shared.metrics import observe_http

NO_CONTENT, NOT_MODIFIED = 204, 304
EncodedHeaders = list[tuple[bytes, bytes]]


def encode_headers(headers: Sequence[tuple[str, str]]) -> EncodedHeaders:
    """Headers in the form of ASGI."""
    return [(name.lower().encode(), value.encode()) for name, value in headers]


SECURITY_HEADERS = encode_headers(DATA_HEADERS)


class _Answer(NamedTuple):
    method: str
    endpoint: str
    status: int
    took_s: float


class Responder:
    """Sends responses and counts them; those of one iteration of the loop are counted together.

    Args:
        origins: what `allowed_origins` returned.
    """

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins
        self._answers: TickBatcher[_Answer] = TickBatcher(_observe)

    async def send(self, response: HttpResponse, request: LoopRequest, send: Send) -> None:
        """Send a whole response."""
        await self.start(response, request, send, length=len(response.body))
        await send({"type": "http.response.body", "body": response.body})

    async def start(
        self, response: HttpResponse, request: LoopRequest, send: Send, *, length: int | None = None
    ) -> None:
        """Send the head of a response, and count it.

        Args:
            response: its status and headers.
            request: what it answers.
            send: of ASGI.
            length: of the body, if it is known.
        """
        headers = encode_headers(self._with_cors(response.headers, request))
        if length is not None and response.status not in {NO_CONTENT, NOT_MODIFIED}:
            headers.append((b"content-length", b"%d" % length))
        if request.limited is not None:
            headers += encode_headers(request.limited.headers)
        headers += SECURITY_HEADERS
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        self.observe(request, response.status)

    def observe(self, request: LoopRequest, status: int) -> None:
        """Count and time a response."""
        took_s = perf_counter() - request.started
        self._answers.add(_Answer(request.method, request.endpoint, status, took_s))

    def _with_cors(
        self, headers: list[tuple[str, str]], request: LoopRequest
    ) -> list[tuple[str, str]]:
        """Headers of a response, with those that let a page of another origin read it."""
        if b"origin" not in request.headers:
            return headers
        allowed = response_headers(request.header(b"origin"), request.path, self._origins)
        if not allowed:
            return headers
        vary = [value for name, value in headers if name == "Vary"]
        others = [each for each in headers if each[0] != "Vary"]
        return [*others, *allowed, ("Vary", ", ".join([*vary, "Origin"]))]


def _observe(answers: Sequence[_Answer]) -> None:
    took_s = defaultdict(list)
    for answer in answers:
        took_s[answer.method, answer.endpoint, answer.status].append(answer.took_s)
    for kind, seconds in took_s.items():
        observe_http(*kind, *seconds)
