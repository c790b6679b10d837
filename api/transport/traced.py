"""The ASGI application with a span for each request; not used while tracing is off."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import TYPE_CHECKING

from api.transport.wsgi_bridge import AsgiApplication, Message, Receive, Scope, Send
from shared.metrics import HTTP_DURATION
from shared.tracing.context import Span
from shared.tracing.current import as_current, tracer

if TYPE_CHECKING:
    from shared.tracing.tracer import Tracer

UNTRACED = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Probes, which would be most of the traces of an idle service."""

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
NO_PARENT = b"-"
REQUEST_ID = b"x-request-id"
REQUEST_ID_MAX_BYTES = 128
ROUTE = "http.route"


class TracedApplication:
    """Calls an ASGI application within the span of each request.

    Args:
        application: answers the requests, and names their routes by `note_route`.
        tracer: of this process.
    """

    def __init__(self, application: AsgiApplication, tracer: "Tracer") -> None:
        self._application = application
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        span = None if scope["path"] in UNTRACED else self._begin(scope)
        if span is None:
            await self._application(scope, receive, send)
            return

        def send_noting(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                _note_response(span, message)
            return send(message)

        with as_current(span):
            try:
                await self._application(scope, receive, send_noting)
            except BaseException:
                span.is_error = True
                raise
            finally:
                self._end(span)

    def _begin(self, scope: Scope) -> Span | None:
        traceparent = request_id = b""
        for name, value in scope["headers"]:
            if name == b"traceparent":
                # Several of them name no parent.
                traceparent = NO_PARENT if traceparent else value
            elif name == REQUEST_ID:
                request_id = value
        method = scope["method"] if scope["method"] in METHODS else "other"
        span = self._tracer.request_span(method, traceparent.decode("latin-1"))
        if span is None:
            return None
        span.attributes["http.request.method"] = method
        if request_id:
            given = request_id[:REQUEST_ID_MAX_BYTES].decode("latin-1")
            span.attributes["http.request.header.x-request-id"] = given
        return span

    def _end(self, span: Span) -> None:
        self._tracer.end(span)
        route = span.attributes.get(ROUTE)
        if route is not None:
            labels = {"method": str(span.attributes["http.request.method"]), "endpoint": str(route)}
            took_s = (span.end_ns - span.start_ns) / 1e9
            self._tracer.observe(HTTP_DURATION, took_s, labels, span.trace_id)


def with_spans(application: AsgiApplication) -> AsgiApplication:
    """The application that makes spans; the given one itself while tracing is off."""
    own = tracer()
    return application if own is None else TracedApplication(application, own)


def _note_response(span: Span, message: Message) -> None:
    """Note the status of a response, and what the result cache had."""
    status = message["status"]
    span.attributes["http.response.status_code"] = status
    span.is_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    for name, value in message["headers"]:
        if name == b"cache-status":
            span.attributes["http.response.header.cache-status"] = value.decode("latin-1")
