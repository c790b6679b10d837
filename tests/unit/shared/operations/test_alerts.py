"""Firing alerts, from Prometheus, from Alertmanager, or from nobody."""

import json
import threading
import time

import pytest

from shared.operations.alerts import MAX_BYTES, AlertSource, AlertWatch, read_alerts
from tests.unit.client.servers import answer, running, trickle

LABELS = {"alertname": "WorkerDown", "severity": "critical"}
ALERTMANAGER = [
    {"labels": LABELS, "annotations": {"summary": "No worker"}, "startsAt": "2026-11-30T10:00:00Z"}
]
PROMETHEUS = {
    "status": "success",
    "data": {
        "alerts": [
            {"labels": LABELS, "annotations": {}, "state": "firing", "activeAt": "2026-11-30"},
            {"labels": LABELS, "annotations": {}, "state": "pending", "activeAt": "2026-11-30"},
        ]
    },
}
NOT_FOUND = answer(b"404 page not found", "404 Not Found", "text/plain")


def test_without_an_address_nobody_is_asked() -> None:
    assert read_alerts("").source is AlertSource.OFF
    assert AlertWatch("", time.monotonic).latest().source is AlertSource.OFF


def test_alertmanager_is_understood() -> None:
    with running(answer(json.dumps(ALERTMANAGER).encode())) as (url, heads):
        found = read_alerts(url)
    assert (found.source, [alert.summary for alert in found.firing]) == ("read", ["No worker"])
    assert heads[0].startswith(b"GET /api/v2/alerts")


def test_prometheus_is_understood_and_pending_alerts_do_not_count() -> None:
    with running(NOT_FOUND, answer(json.dumps(PROMETHEUS).encode())) as (url, _):
        found = read_alerts(url)
    assert (found.source, [alert.name for alert in found.firing]) == ("read", ["WorkerDown"])


def test_an_alert_without_a_name_hides_no_other_one() -> None:
    nameless = ALERTMANAGER[0] | {"labels": {"severity": "critical"}}
    with running(answer(json.dumps([nameless, *ALERTMANAGER]).encode()), NOT_FOUND) as (url, _):
        found = read_alerts(url)
    assert [alert.name for alert in found.firing] == ["", "WorkerDown"]


def test_an_answer_that_is_too_large_is_told_as_such() -> None:
    with running(answer(b" " * (MAX_BYTES + 1))) as (url, heads):
        found = read_alerts(url)
    assert (found.source, len(heads)) == (AlertSource.SILENT, 1)
    assert "larger than" in found.reason


def test_an_answer_that_never_ends_is_given_up() -> None:
    begin = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    with running(trickle(b" ", begin)) as (url, _):
        found = read_alerts(url)
    assert (found.source, found.reason) == (AlertSource.SILENT, "timed out")


NESTED = b"[" * 200_000
ANSWERS = [b"<html>", b"[1]", b"{}", b'{"data": {"alerts": 3}}', b"\xff", NESTED]


@pytest.mark.parametrize("body", ANSWERS, ids=range(len(ANSWERS)))
def test_another_server_is_no_source(body: bytes) -> None:
    with running(answer(body), answer(body)) as (url, _):
        found = read_alerts(url)
    assert found.source is AlertSource.SILENT
    assert "neither Prometheus nor Alertmanager" in found.reason


def test_a_source_that_is_away_or_silent_is_told() -> None:
    away = read_alerts("http://127.0.0.1:1")
    assert (away.source, away.firing) == (AlertSource.SILENT, ())
    assert away.reason


def test_a_slow_source_delays_only_the_first_look() -> None:
    asked = threading.Event()

    def slow(*_: object) -> None:
        asked.set()
        time.sleep(3)

    with running(slow) as (url, _):
        now = [0.0]
        watch = AlertWatch(url, lambda: now[0])
        watch.latest()
        assert asked.wait(5)
        assert watch.latest().source is AlertSource.SILENT
