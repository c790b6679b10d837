"""A collector of OTLP over HTTP that keeps the spans it gets, and behaves well or badly."""

import contextlib
import gzip
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH = "/v1/traces"


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as the collector decoded it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    """Trace id and span id of each."""
    is_error: bool


@dataclass
class Collector:
    """A running collector."""

    url: str
    status: int = 200
    """What it answers."""
    hangs: bool = False
    """Whether it answers only once it is stopped."""
    hangs_up: bool = False
    """Whether it closes the connection after each answer, without saying so."""
    spans: list[ReceivedSpan] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, in lower case."""
    stopped: threading.Event = field(default_factory=threading.Event)

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of a trace, by their start."""
        own = [each for each in list(self.spans) if each.trace_id == trace_id]
        return sorted(own, key=lambda each: each.start_ns)

    def names(self, trace_id: str) -> set[str]:
        """The names of the spans of a trace."""
        return {each.name for each in self.trace(trace_id)}

    def is_connected(self, trace_id: str, caller: str) -> bool:
        """Whether every span of a trace has its parent in it, from that of the caller on."""
        spans = self.trace(trace_id)
        known = {each.span_id for each in spans} | {caller}
        return bool(spans) and all(each.parent_id in known for each in spans)


@contextlib.contextmanager
def running_collector() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        """Answers one connection."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.requests.append({**headers, "path": self.path})
            if collector.hangs:
                collector.stopped.wait(60)
            if collector.status == 200:
                if headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.spans += decode(body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = collector.hangs_up

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        collector.stopped.set()
        server.shutdown()
        server.server_close()


def decode(body: bytes) -> list[ReceivedSpan]:
    """The spans of a request, by the published message classes."""
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            found += [_span(service, span) for span in scope.spans]
    return found


def by_trace(spans: list[ReceivedSpan]) -> dict[str, list[ReceivedSpan]]:
    """Spans by the ids of their traces."""
    found = defaultdict(list)
    for span in spans:
        found[span.trace_id].append(span)
    return dict(found)


def _span(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
