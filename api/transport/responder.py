"""Sends the responses that the event loop makes, with the headers that all responses have.

Large ones are compressed on threads, as the middleware of Flask compresses its own
(`api.middleware.compression`).
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

from api.http.compression import (
    ACCEPT_ENCODING,
    MIN_BYTES,
    READING_METHODS,
    Coding,
    accepted_codings,
    choose_coding,
    compress,
)
from api.http.responses import HttpResponse, with_language, with_vary
from api.loops.event_loops import EventLoops
from api.loops.kept_bytes import KeptBytes
from api.loops.shared_reads import SharedReads
from api.loops.ticks import TickBatcher
from api.middleware.cors import response_headers
from api.middleware.security_headers import DATA_HEADERS
from api.transport.loop_requests import LoopRequest
from api.transport.wsgi_bridge import Send
from shared.metrics import observe_http

NO_CONTENT, NOT_MODIFIED = 204, 304
KEPT_MAX_BYTES = 8 * 1024 * 1024
"""Compressed forms of bodies with an ETag that are kept: it is a digest of the body."""

EncodedHeaders = list[tuple[bytes, bytes]]


def encode_headers(headers: Sequence[tuple[str, str]]) -> EncodedHeaders:
    """Headers in the form of ASGI."""
    return [(_encode_name(name), value.encode()) for name, value in headers]


@lru_cache(maxsize=256)
def _encode_name(name: str) -> bytes:
    return name.lower().encode()


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
        loops: provides threads that compress.
    """

    def __init__(self, origins: frozenset[str], loops: EventLoops) -> None:
        self._origins = origins
        self._loops = loops
        self._answers: TickBatcher[_Answer] = TickBatcher(_observe)
        self._kept: KeptBytes[tuple[str, Coding], bytes] = KeptBytes(KEPT_MAX_BYTES)
        self._compressions = SharedReads(loops.threads)

    async def send(self, response: HttpResponse, request: LoopRequest, send: Send) -> None:
        """Send a whole response, compressed if it is large."""
        response = with_language(response, request.language)
        response = await self._encode(self._with_cors(response, request), request)
        await self._start(response, request, send, length=len(response.body))
        await send({"type": "http.response.body", "body": response.body})

    async def start(self, response: HttpResponse, request: LoopRequest, send: Send) -> None:
        """Send the head of a response whose body follows in parts, and count it."""
        response = with_language(response, request.language)
        await self._start(self._with_cors(response, request), request, send)

    def observe(self, request: LoopRequest, status: int) -> None:
        """Count and time a response."""
        took_s = perf_counter() - request.started
        self._answers.add(_Answer(request.method, request.endpoint, status, took_s))

    async def _start(
        self, response: HttpResponse, request: LoopRequest, send: Send, *, length: int | None = None
    ) -> None:
        headers = encode_headers(response.headers)
        if length is not None and response.status not in {NO_CONTENT, NOT_MODIFIED}:
            headers.append((b"content-length", b"%d" % length))
        if request.limited is not None:
            headers += encode_headers(request.limited.headers)
        headers += SECURITY_HEADERS
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        self.observe(request, response.status)

    def _with_cors(self, response: HttpResponse, request: LoopRequest) -> HttpResponse:
        """A response, with the headers that let a page of another origin read it."""
        if b"origin" not in request.headers:
            return response
        allowed = response_headers(request.header(b"origin"), request.path, self._origins)
        if not allowed:
            return response
        return response._replace(headers=with_vary([*response.headers, *allowed], "Origin"))

    async def _encode(self, response: HttpResponse, request: LoopRequest) -> HttpResponse:
        """A response in the content coding that the client prefers; its ETag is weak, if any."""
        if len(response.body) < MIN_BYTES and request.method not in READING_METHODS:
            return response  # most are; clients that refuse identity are Flask's
        choice = choose_coding(
            accepted_codings(request.header(b"accept-encoding")),
            method=request.method,
            media_type=dict(response.headers).get("Content-Type"),
            size=len(response.body),
            has_range=b"range" in request.headers,
        )
        if not choice.is_negotiated:
            return response
        headers = with_vary(response.headers, ACCEPT_ENCODING)
        if choice.coding is Coding.IDENTITY:
            return response._replace(headers=headers)
        body = await self._compressed(response, choice.coding)
        headers.append(("Content-Encoding", str(choice.coding)))
        return response._replace(headers=headers, body=body)

    async def _compressed(self, response: HttpResponse, coding: Coding) -> bytes:
        """The body, compressed once for all requests that get the same one."""
        etag = dict(response.headers).get("ETag")
        if etag is None:
            return await self._loops.run_in_thread(lambda: compress(response.body, coding))
        key = etag, coding
        kept = self._kept.get(key)
        if kept is not None:
            return kept

        def make() -> bytes:
            body = self._kept.get(key)
            if body is None:
                body = compress(response.body, coding)
                self._kept.put(key, body, len(body))
            return body

        return await self._compressions.read(key, make)


def _observe(answers: Sequence[_Answer]) -> None:
    took_s = defaultdict(list)
    for answer in answers:
        took_s[answer.method, answer.endpoint, answer.status].append(answer.took_s)
    for kind, seconds in took_s.items():
        observe_http(*kind, *seconds)
