"""The context of a trace, as W3C Trace Context writes it, and the spans of a trace."""

import re
import time
from enum import IntEnum
from random import getrandbits
from typing import NamedTuple, Self, TypeAlias

Value: TypeAlias = str | int | float | bool

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class SpanKind(IntEnum):
    """What a span stands for, by the numbers of OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    CONSUMER = 5


class TraceContext(NamedTuple):
    """A span as others refer to it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    is_sampled: bool = True

    @classmethod
    def parse(cls, traceparent: str) -> Self | None:
        """Read a `traceparent`; None if it is not one.

        >>> TraceContext.parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
        TraceContext(trace_id='0af7651916cd43dd8448eb211c80319c', \
span_id='b7ad6b7169203331', is_sampled=False)
        >>> TraceContext.parse("00-" + "0" * 32 + "-b7ad6b7169203331-01")
        """
        match = _TRACEPARENT.fullmatch(traceparent)
        if match is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        if version == "ff" or (version == "00" and rest):
            return None
        if trace_id == _NO_TRACE or span_id == _NO_SPAN:
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @property
    def traceparent(self) -> str:
        """The header that continues the trace from this span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.is_sampled:02x}"


def new_trace_id() -> str:
    """A random id; it protects nothing."""
    return f"{getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """A random id; it protects nothing."""
    return f"{getrandbits(64) or 1:016x}"


class Span:
    """One timed piece of work of a trace.

    Args:
        name: what is done, from a bounded set.
        kind: see `SpanKind`.
        parent: the span that caused it; None: it begins a trace.
        start_ns: Unix time, nanoseconds; None: now.
        trace_id: of a span without a parent; None: a new one.
    """

    __slots__ = (
        "attributes",
        "end_ns",
        "is_error",
        "kind",
        "links",
        "name",
        "parent_id",
        "request_id",
        "shared",
        "span_id",
        "start_ns",
        "trace_id",
    )

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        parent: TraceContext | None = None,
        *,
        start_ns: int | None = None,
        trace_id: str | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.span_id = new_span_id()
        if parent is None:
            self.trace_id, self.parent_id = trace_id or new_trace_id(), ""
        else:
            self.trace_id, self.parent_id = parent.trace_id, parent.span_id
        self.start_ns = time.time_ns() if start_ns is None else start_ns
        self.end_ns = 0
        self.attributes: dict[str, Value] = {}
        self.shared = b""
        """Further attributes, encoded once for many spans."""
        self.links: list[TraceContext] = []
        self.is_error = False
        self.request_id = ""
        """Id of the span of the HTTP request that asked for the work; empty if many did."""

    @property
    def context(self) -> TraceContext:
        """The span as others refer to it."""
        return TraceContext(self.trace_id, self.span_id)
