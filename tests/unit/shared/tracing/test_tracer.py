"""Spans of requests: parents, sampling, encoding; and that nothing is loaded while it is off."""

import asyncio
import subprocess
import sys
from contextvars import copy_context

import pytest
from structlog.testing import capture_logs

from api.transport.traced import TracedApplication
from shared.tracing.configuration import read_configuration
from shared.tracing.context import Span, SpanKind, TraceContext
from shared.tracing.current import (
    as_current,
    child_span,
    current_members,
    current_traceparent,
    is_tracing,
    note_route,
    set_tracer,
    start_tracing,
)
from shared.tracing.encoding import encode_request
from shared.tracing.tracer import Tracer
from tests.conftest import ROOT
from tests.trace_collector import decode

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def tracer():
    made = Tracer(read_configuration("api", ENDPOINT))
    set_tracer(made)
    yield made
    set_tracer(None)


def sampled_by(sampler, argument="1"):
    env = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    return Tracer(read_configuration("api", {**ENDPOINT, **env}))


def test_what_is_encoded_is_what_the_published_classes_read():
    span = Span("POST /predict", SpanKind.SERVER, TraceContext(TRACE, SPAN), start_ns=10)
    span.end_ns = 25
    span.attributes = {"text": "é" * 200, "count": -3, "big": 1 << 40, "share": 0.25, "yes": True}
    span.links = [TraceContext("1" * 32, "2" * 16)]
    span.is_error = True
    (read,) = decode(encode_request({"service.name": "prices"}, [span]))
    assert read.service == "prices"
    assert (read.name, read.kind, read.start_ns, read.end_ns) == ("POST /predict", 2, 10, 25)
    assert (read.trace_id, read.span_id, read.parent_id) == (TRACE, span.span_id, SPAN)
    assert read.attributes == span.attributes
    assert read.attributes["yes"] is True
    assert read.links == [("1" * 32, "2" * 16)]
    assert read.is_error


def test_the_trace_of_the_caller_is_continued(tracer):
    span = tracer.request_span("POST", SAMPLED)
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
    assert tracer.request_span("POST", UNSAMPLED) is None


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        SAMPLED.upper(),
        SAMPLED + "-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "\u00e9" * 55,
    ],
)
def test_a_damaged_parent_is_none(tracer, traceparent):
    span = tracer.request_span("POST", traceparent)
    assert span.parent_id == ""
    assert span.trace_id != TRACE


@pytest.mark.parametrize(("count", "is_continued"), [(1, True), (2, False), (3, False)])
def test_several_parents_are_none(tracer, count, is_continued):
    seen = []

    async def answer(*_):
        seen.append(current_members()["trace_id"])

    headers = [(b"traceparent", SAMPLED.encode())] * count
    scope = {"path": "/jobs", "method": "GET", "headers": headers}
    asyncio.run(TracedApplication(answer, tracer)(scope, None, None))
    assert (seen == [TRACE]) is is_continued


def test_a_later_version_of_the_header_is_read(tracer):
    assert tracer.request_span("POST", f"cc-{TRACE}-{SPAN}-01-more").trace_id == TRACE


def test_samplers():
    assert sampled_by("always_off").request_span("GET", SAMPLED) is None
    assert sampled_by("always_on").request_span("GET", UNSAMPLED).trace_id == TRACE
    assert sampled_by("parentbased_always_off").request_span("GET", "") is None
    assert sampled_by("parentbased_always_off").request_span("GET", SAMPLED).trace_id == TRACE
    kept = [sampled_by("traceidratio", "0.25").request_span("GET", "") for _ in range(2000)]
    assert 350 < len([each for each in kept if each is not None]) < 650
    assert sampled_by("traceidratio", "0").request_span("GET", SAMPLED) is None


def test_the_work_at_hand_has_a_trace(tracer):
    assert current_members() == {}
    span = tracer.request_span("POST", SAMPLED)
    with as_current(span):
        note_route("POST", "/jobs")
        assert current_members() == {"trace_id": TRACE, "request_id": span.span_id}
        assert current_traceparent() == f"00-{TRACE}-{span.span_id}-01"
        child = child_span("value", SpanKind.CONSUMER, current_traceparent())
    assert (child.trace_id, child.parent_id) == (TRACE, span.span_id)
    assert child.request_id == span.span_id
    assert (span.name, span.attributes["http.route"]) == ("POST /jobs", "/jobs")
    assert current_traceparent() == ""


def test_what_outlives_a_request_has_no_trace_after_its_end(tracer):
    span = tracer.request_span("POST", SAMPLED)
    with as_current(span):
        inherited = copy_context()
    assert inherited.run(current_members)["trace_id"] == TRACE
    tracer.end(span)
    assert inherited.run(current_members) == {}
    assert inherited.run(current_traceparent) == ""


def test_nothing_of_it_is_loaded_or_done_while_it_is_off():
    code = """
import sys
from shared.tracing.current import as_current, child_span, current_traceparent, start_tracing
from shared.logging import configure_logging
start_tracing("api")
configure_logging("info", "api")
import api.app, api.transport.traced, api.webhooks.main, worker.tasks
from shared.tracing.context import SpanKind
assert current_traceparent() == ""
assert child_span("x", SpanKind.CLIENT, "00-" + "1" * 32 + "-" + "2" * 16 + "-01") is None
application = object()
assert api.transport.traced.with_spans(application) is application
loaded = {"shared.tracing.tracer", "shared.tracing.exporter"} & set(sys.modules)
loaded |= {name for name in sys.modules if name.startswith("opentelemetry.")}
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_variable_that_cannot_be_followed_leaves_tracing_off(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with capture_logs() as logs:
        start_tracing("api")
    assert not is_tracing()
    (line,) = logs
    assert line["event"] == "tracing_is_off"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in line["error"]
