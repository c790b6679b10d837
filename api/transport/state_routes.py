"""`GET /batches/{id}` and the event streams of jobs and batches on the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from flask import Flask

from api.batches.schemas import BatchWaitQuery
from api.batches.views import state_response
from api.container import ApiServices
from api.events.departures import ClientLeftError
from api.events.snapshots import (
    EVENT_STREAM,
    STREAM_HEADERS,
    EventSource,
    batch_source,
    events,
    is_over,
    job_source,
)
from api.events.views import dump_batch_event
from api.http.requests import NoQuery, parse_query
from api.http.responses import HttpResponse
from api.middleware.authentication import Scope
from api.transport.loop_requests import LoopRequest, LoopRequests
from api.transport.responder import Responder
from api.transport.wsgi_bridge import SEND_TIMEOUT_S, Send
from shared.domain.ids import BatchId, JobId
from shared.logging import get_logger

log = get_logger("streams")
STREAM_CONTENT_TYPE = f"{EVENT_STREAM}; charset=utf-8"


class StateRoutes:
    """Answers polls of batches, and sends the states of jobs and batches as they change.

    Args:
        application: whose context the bodies of batches need.
        services: read and wait.
        requests: apply the limits of keys.
        responder: sends responses.
    """

    def __init__(
        self,
        application: Flask,
        services: ApiServices,
        requests: LoopRequests,
        responder: Responder,
    ) -> None:
        self._application = application
        self._services = services
        self._requests = requests
        self._responder = responder

    async def poll_batch(self, request: LoopRequest, _: Send) -> HttpResponse:
        """Read a batch, or wait for its end; see `api.batches.views.read`."""
        await self._requests.admit(request)
        query = parse_query(request.query_string, BatchWaitQuery)
        batch_id = BatchId(_id_of(request))
        client = self._requests.client(request, Scope.BULK)
        batch = await self._services.batch_polls.wait(
            batch_id, request.caller_id, query["wait"], client
        )
        with self._application.app_context():
            return state_response(batch, request.language)

    async def stream_job(self, request: LoopRequest, send: Send) -> HttpResponse | None:
        """Send the states of a job; see `_stream`."""
        job_id, contents = JobId(_id_of(request)), self._services.job_contents
        source = job_source(contents, job_id, request.caller_id, request.language)
        return await self._stream(request, source, Scope.PREDICT, send)

    async def stream_batch(self, request: LoopRequest, send: Send) -> HttpResponse | None:
        """Send the states of a batch; see `_stream`."""
        batch_id, polls = BatchId(_id_of(request)), self._services.batch_polls
        dump = partial(dump_batch_event, self._application, lang=request.language)
        source = batch_source(polls, batch_id, request.caller_id, dump)
        return await self._stream(request, source, Scope.BULK, send)

    async def _stream(
        self, request: LoopRequest, source: EventSource, required: Scope, send: Send
    ) -> HttpResponse | None:
        """Send events, as the views in `api.events.views` do.

        Returns:
            A response to be sent instead; None after a stream.

        Raises:
            DomainError: before anything was sent.
        """
        await self._requests.admit(request)
        parse_query(request.query_string, NoQuery)
        last_event_id = request.headers.get(b"last-event-id")
        last = None if last_event_id is None else last_event_id.decode("latin-1")
        if is_over(await source.read(), last):
            return HttpResponse(int(HTTPStatus.NO_CONTENT), [], b"")
        client = self._requests.client(request, required)
        headers = [("Content-Type", STREAM_CONTENT_TYPE), *STREAM_HEADERS]
        async with aclosing(events(self._services.waits, source, last, client)) as stream:
            first = await anext(stream)
            await self._responder.start(HttpResponse(200, headers, b""), request, send)
            await _send_parts(first, stream, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None


async def _send_parts(first: bytes, parts: AsyncIterator[bytes], send: Send) -> None:
    """Send parts as they come, after the head of their response.

    Raises:
        ClientLeftError: the client did not accept one for long, or none can be made any more. In
            either case the connection is closed: another response must not follow.
    """
    try:
        await _send_part(first, send)
        async for part in parts:
            await _send_part(part, send)
    except ClientLeftError:
        raise
    except TimeoutError as error:
        raise ClientLeftError from error
    except Exception as error:
        log.exception("stream_broken", error=str(error))
        raise ClientLeftError from error


async def _send_part(part: bytes, send: Send) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": part, "more_body": True})


def _id_of(request: LoopRequest) -> str:
    return request.path.split("/")[2]
