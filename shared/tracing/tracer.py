"""Makes spans and hands them over to be sent; loaded by processes that trace."""

import time
from typing import Any

from shared.tracing.configuration import TracingConfiguration
from shared.tracing.context import Span, SpanKind, TraceContext, new_trace_id
from shared.tracing.exemplars import Exemplars
from shared.tracing.exporter import SpanExporter

_HALF = 1 << 64


class Tracer:
    """Makes spans and hands ended ones over to be sent.

    Args:
        configuration: see there.
    """

    def __init__(self, configuration: TracingConfiguration) -> None:
        self._configuration = configuration
        self.exemplars = Exemplars()
        self._exporter = SpanExporter(configuration, self.exemplars.write)

    def request_span(self, name: str, traceparent: str) -> Span | None:
        """The span of an HTTP request; None if its trace is not kept.

        Args:
            name: of the span, until the route is known.
            traceparent: what the caller sent; empty if it sent none.
        """
        parent = TraceContext.parse(traceparent) if traceparent else None
        if parent is None:
            trace_id = new_trace_id()
            if not self._is_kept(trace_id):
                return None
            span = Span(name, SpanKind.SERVER, trace_id=trace_id)
        else:
            follows = self._configuration.follows_parent
            if not (parent.is_sampled if follows else self._is_kept(parent.trace_id)):
                return None
            span = Span(name, SpanKind.SERVER, parent)
        span.request_id = span.span_id
        return span

    def end(self, span: Span, end_ns: int | None = None) -> None:
        """End a span and have it sent."""
        span.end_ns = time.time_ns() if end_ns is None else end_ns
        self._exporter.add(span)

    def observe(self, histogram: Any, value: float, labels: dict[str, str], trace_id: str) -> None:
        """Name the trace of an observation of a histogram of `shared.metrics`."""
        name, bounds = histogram._name, histogram._upper_bounds[:-1]  # noqa: SLF001 - not public
        self.exemplars.note(name, bounds, tuple(sorted(labels.items())), value, trace_id)

    def close(self) -> None:
        """Send what is kept, within a bounded time."""
        self._exporter.close()

    def _is_kept(self, trace_id: str) -> bool:
        sampler = self._configuration.sampler
        if sampler != "traceidratio":
            return sampler == "always_on"
        return int(trace_id[16:], 16) < self._configuration.ratio * _HALF
