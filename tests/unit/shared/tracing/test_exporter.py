"""Spans reach the collector; one that is absent, slow or broken disturbs nothing."""

import os
import time

import pytest
from structlog.testing import capture_logs

from shared.tracing.configuration import read_configuration
from shared.tracing.context import Span, SpanKind
from shared.tracing.exporter import FIRST_PAUSE_S, FLUSH_S, SpanExporter
from tests.conftest import wait_until
from tests.trace_collector import PATH, running_collector

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_EXPORTER_OTLP_TIMEOUT": "300"}


@pytest.fixture
def collector():
    with running_collector() as running:
        yield running


def exporter_to(url, **env):
    return SpanExporter(
        read_configuration("api", {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **QUICK, **env})
    )


def add(exporter, count=1):
    for number in range(count):
        span = Span(f"s{number}", SpanKind.INTERNAL)
        span.end_ns = span.start_ns + 1
        exporter.add(span)


def events(logs):
    return [each["event"] for each in logs]


def test_spans_are_sent_with_the_headers_and_compression_that_are_set(collector):
    exporter = exporter_to(
        collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="api-key=secret",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    add(exporter, 3)
    wait_until(lambda: len(collector.spans) == 3)
    sent = collector.requests[0]
    assert sent["path"] == PATH
    assert sent["content-type"] == "application/x-protobuf"
    assert sent["api-key"] == "secret"


def test_many_spans_do_not_wait_for_the_delay(collector):
    exporter = exporter_to(
        collector.url, OTEL_BSP_SCHEDULE_DELAY="600000", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10"
    )
    add(exporter, 25)
    wait_until(lambda: len(collector.spans) >= 16)  # the rest may be less than a batch


def test_a_refusal_is_logged_once_and_nothing_is_lost_while_there_is_space(collector):
    collector.status = 503
    exporter = exporter_to(collector.url)
    with capture_logs() as logs:
        add(exporter, 2)
        wait_until(lambda: len(collector.requests) == 2)
        add(exporter)
        collector.status = 200
        wait_until(lambda: len(collector.spans) == 3)
        wait_until(lambda: len(logs) == 2)
    assert events(logs) == ["traces_not_exported", "traces_exported_again"]
    assert logs[0]["error"] == "status 503"
    assert logs[1]["dropped"] == 0


def test_spans_that_are_refused_for_good_are_dropped(collector):
    collector.status = 500
    exporter = exporter_to(collector.url)
    with capture_logs() as logs:
        add(exporter)
        wait_until(lambda: logs)
        collector.status = 200
        add(exporter)
        wait_until(lambda: collector.spans)
        wait_until(lambda: len(logs) == 2)
    assert logs[1]["dropped"] == 1
    assert [each.name for each in collector.spans] == ["s0"]


def test_a_collector_that_hangs_delays_nobody_and_fills_a_bounded_queue(collector):
    collector.hangs = True
    exporter = exporter_to(
        collector.url, OTEL_BSP_MAX_QUEUE_SIZE="50", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10"
    )
    with capture_logs() as logs:
        add(exporter, 500)
        wait_until(lambda: logs)
        assert len(exporter._queue) <= 60
        collector.hangs = False
        collector.stopped.set()
        wait_until(lambda: len(logs) == 2)
    assert "timed out" in logs[0]["error"]
    assert logs[1]["dropped"] >= 430


def test_a_collector_that_closes_idle_connections_is_no_failure(collector):
    collector.hangs_up = True
    exporter = exporter_to(collector.url)
    with capture_logs() as logs:
        for sent in (1, 2, 3):
            add(exporter)
            wait_until(lambda: len(collector.spans) == sent)  # noqa: B023 - called here
            time.sleep(0.05)
    assert logs == []


def test_a_failing_round_and_a_span_that_cannot_be_encoded_end_nothing(collector):
    rounds = []

    def fail():
        rounds.append(1)
        if len(rounds) == 1:
            raise ValueError

    exporter = SpanExporter(
        read_configuration("api", {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **QUICK}), fail
    )
    with capture_logs() as logs:
        broken = Span("broken", SpanKind.INTERNAL)
        broken.trace_id = "no number"
        exporter.add(broken)
        wait_until(lambda: "traces_not_encoded" in events(logs))
        wait_until(lambda: "exemplars_not_written" in events(logs))
        add(exporter)
        wait_until(lambda: collector.spans)
        wait_until(lambda: "traces_dropped" in events(logs))


def test_spans_without_space_are_counted_in_few_lines(collector):
    exporter = exporter_to(
        collector.url, OTEL_BSP_MAX_QUEUE_SIZE="1", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1"
    )
    with capture_logs() as logs:
        for sent in (1, 2, 3):
            add(exporter, 200)
            wait_until(lambda: len(collector.spans) >= sent)  # noqa: B023 - called here
        wait_until(lambda: logs)
    assert events(logs) == ["traces_dropped"]
    assert logs[0]["dropped"] > 0


def test_an_absent_collector_is_logged_once():
    exporter = exporter_to("http://127.0.0.1:9")
    with capture_logs() as logs:
        add(exporter)
        time.sleep(2 * FIRST_PAUSE_S)
    assert events(logs) == ["traces_not_exported"]
    assert "ConnectionRefusedError" in logs[0]["error"]


def test_a_process_that_stops_sends_what_is_left(collector):
    exporter = exporter_to(collector.url, OTEL_BSP_SCHEDULE_DELAY="600000")
    add(exporter)
    exporter.close()
    assert len(collector.spans) == 1


def test_a_collector_that_hangs_does_not_keep_a_process_from_stopping(collector):
    collector.hangs = True
    exporter = exporter_to(collector.url, OTEL_EXPORTER_OTLP_TIMEOUT="60000")
    add(exporter)
    wait_until(lambda: collector.requests)
    started = time.monotonic()
    exporter.close()
    assert time.monotonic() - started < FLUSH_S + 30  # a minute is what the collector would take


def test_a_forked_child_sends_its_own_spans(collector):
    exporter = exporter_to(collector.url)
    add(exporter)
    wait_until(lambda: len(collector.spans) == 1)
    child = os.fork()
    if child == 0:
        add(exporter, 2)
        exporter.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(collector.spans) == 3
