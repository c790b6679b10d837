"""Spans in the protobuf encoding of OTLP (opentelemetry.proto.collector.trace.v1).

Written by hand because the Python SDK takes several times as long for a span (docs/adr/0172). A
test decodes what is written here with the published message classes.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from shared.tracing.context import Span, TraceContext, Value

SCOPE = "carprice"
_TIMES = struct.Struct("<BQBQ")
_DOUBLE = struct.Struct("<Bd")
_START_TAG, _END_TAG = 0x39, 0x41
_DOUBLE_TAG = 0x21
_STATUS_ERROR = b"\x7a\x02\x18\x02"
_VARINT_MAX = 0x7F
_INT64 = (1 << 64) - 1


def encode_request(resource: Mapping[str, Value], spans: Iterable[Span]) -> bytes:
    """An `ExportTraceServiceRequest` with the spans of one process.

    Args:
        resource: attributes of the process.
        spans: ended spans.
    """
    scope = _block(0x0A, _block(0x0A, SCOPE.encode()))
    encoded = b"".join([scope, *(_block(0x12, _encode_span(span)) for span in spans)])
    head = _block(0x0A, b"".join(_block(0x0A, _pair(*each)) for each in resource.items()))
    return _block(0x0A, head + _block(0x12, encoded))


def encode_attributes(attributes: Mapping[str, Value]) -> bytes:
    """The attributes of a span."""
    return b"".join(_attribute(*each) for each in attributes.items())


def _encode_span(span: Span) -> bytes:
    parent = b"\x22\x08" + bytes.fromhex(span.parent_id) if span.parent_id else b""
    return b"".join(
        (
            b"\x0a\x10",
            bytes.fromhex(span.trace_id),
            b"\x12\x08",
            bytes.fromhex(span.span_id),
            parent,
            _head(span.name, span.kind),
            _TIMES.pack(_START_TAG, span.start_ns, _END_TAG, max(span.end_ns, span.start_ns)),
            encode_attributes(span.attributes),
            span.shared,
            _encode_links(span.links),
            _STATUS_ERROR if span.is_error else b"",
        )
    )


def _encode_links(links: Sequence[TraceContext]) -> bytes:
    return b"".join(
        _block(
            0x6A,
            b"\x0a\x10" + bytes.fromhex(link.trace_id) + b"\x12\x08" + bytes.fromhex(link.span_id),
        )
        for link in links
    )


@lru_cache(maxsize=1024)
def _head(name: str, kind: int) -> bytes:
    """Name and kind, which many spans share."""
    return _block(0x2A, name.encode()) + b"\x30" + _varint(kind)


@lru_cache(maxsize=4096, typed=True)
def _attribute(name: str, value: Value) -> bytes:
    return _block(0x4A, _pair(name, value))


def _pair(name: str, value: Value) -> bytes:
    """A `KeyValue`."""
    return _block(0x0A, name.encode()) + _block(0x12, _any_value(value))


def _any_value(value: Value) -> bytes:
    if isinstance(value, str):
        return _block(0x0A, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10" + _varint(value)
    if isinstance(value, int):
        return b"\x18" + _varint(value & _INT64)
    return _DOUBLE.pack(_DOUBLE_TAG, value)


def _block(tag: int, content: bytes) -> bytes:
    """A field with a length; all tags here take one byte."""
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number <= _VARINT_MAX:
        return bytes((number,))
    out = bytearray()
    while number > _VARINT_MAX:
        out.append(number & _VARINT_MAX | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
