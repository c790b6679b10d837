"""The tracer of this process, and the span of the work at hand.

Off by default: then every function here returns after one comparison with None.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import structlog

from shared.tracing.configuration import TracingError, read_configuration
from shared.tracing.context import Span, SpanKind, TraceContext

if TYPE_CHECKING:
    from shared.tracing.tracer import Tracer

log = structlog.get_logger("carprice.tracing")
_current: ContextVar[Span | None] = ContextVar("span", default=None)
_tracer: "Tracer | None" = None


def start_tracing(process: str) -> None:
    """Trace in this process and those that it forks, if the environment says so.

    Args:
        process: kind of process: api, worker or webhooks.
    """
    try:
        configuration = read_configuration(process)
    except TracingError as error:
        # The variables are shared by all programs of a machine: the service works without traces.
        log.error("tracing_is_off", error=str(error))  # noqa: TRY400 - says it all
        configuration = None
    if configuration is None:
        set_tracer(None)
        return
    # A process that does not trace loads neither a client of HTTP nor an encoder.
    from shared.tracing.tracer import Tracer  # noqa: PLC0415

    set_tracer(Tracer(configuration))


def close_tracing(**_: object) -> None:
    """Send what is kept; a receiver of Celery's signals, for processes that end by `os._exit`."""
    if _tracer is not None:
        _tracer.close()


def set_tracer(tracer: "Tracer | None") -> None:
    """Trace by this tracer from now on; None: not at all."""
    global _tracer  # noqa: PLW0603 - one for the process, compared with None on hot paths
    _tracer = tracer


def tracer() -> "Tracer | None":
    """The tracer of this process; None if tracing is off."""
    return _tracer


def is_tracing() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def _work_at_hand() -> Span | None:
    """The span of the work at hand; None without one.

    What a request begins on the event loop for all, like a sweep that repeats itself, inherits its
    context: it has no trace any more once the request has ended.
    """
    span = _current.get()
    return None if span is None or span.end_ns else span


def current_traceparent() -> str:
    """What continues the trace of the work at hand elsewhere; empty without a trace."""
    if _tracer is None or (span := _work_at_hand()) is None:
        return ""
    return span.context.traceparent


def trace_members(traceparent: str) -> dict[str, str]:
    """The members `trace_id` and `request_id` of a record; none without a trace."""
    parent = TraceContext.parse(traceparent) if traceparent else None
    if parent is None:
        return {}
    return {"trace_id": parent.trace_id, "request_id": parent.span_id}


def current_members() -> dict[str, str]:
    """As `trace_members`, of the work at hand."""
    if _tracer is None or (span := _work_at_hand()) is None:
        return {}
    members = {"trace_id": span.trace_id, "request_id": span.request_id}
    return {name: text for name, text in members.items() if text}


def note_route(method: str, route: str) -> None:
    """Name the span of the current request by its route, and its metric too."""
    if _tracer is not None and (span := _current.get()) is not None:
        span.name = f"{method} {route}"
        span.attributes["http.route"] = route


@contextmanager
def as_current(span: Span) -> Iterator[Span]:
    """Make a span that of the work at hand."""
    token = _current.set(span)
    try:
        yield span
    finally:
        _current.reset(token)


def child_span(name: str, kind: SpanKind, traceparent: str) -> Span | None:
    """A span of work that a request asked for; None if tracing is off or its trace is not kept.

    Args:
        name: of the span.
        kind: of the span.
        traceparent: of the request, as its job, batch or message states it.
    """
    if _tracer is None or not traceparent:
        return None
    parent = TraceContext.parse(traceparent)
    if parent is None:
        return None
    span = Span(name, kind, parent)
    span.request_id = parent.span_id
    return span


def link_contexts(traceparents: Sequence[str]) -> list[TraceContext]:
    """The contexts of requests that share work."""
    parsed = (TraceContext.parse(each) for each in traceparents)
    return [each for each in parsed if each is not None]
