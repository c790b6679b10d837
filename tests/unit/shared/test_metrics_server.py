"""The port of workers and of the process `webhooks`: metrics, and whether the main loop runs."""

import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from shared.heartbeat import Heartbeat
from shared.metrics_server import SILENT_AFTER_S, LoopLiveness, serve_metrics


@pytest.fixture(autouse=True)
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heartbeat, "last_s", None)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_loop_that_stands_still_is_not_alive_although_a_thread_answers() -> None:
    registry = CollectorRegistry()
    Counter("turns", "Turns.", registry=registry).inc(3)
    now = [1000.0]
    server = serve_metrics(0, registry, LoopLiveness(lambda: True, lambda: now[0]))
    try:
        port = server.server_address[1]
        assert get(port, "/livez") == (200, "alive\n"), "it has not begun"
        Heartbeat.last_s = 1000.0
        now[0] += SILENT_AFTER_S
        assert get(port, "/livez?probe=1")[0] == 200
        now[0] += 1
        assert get(port, "/livez")[0] == 503
        assert "turns_total 3.0" in get(port, "/metrics")[1]
        Heartbeat.last_s = now[0]
        assert get(port, "/livez")[0] == 200
    finally:
        server.shutdown()
        server.server_close()


def test_a_loop_that_waits_for_the_broker_is_alive() -> None:
    """A restart would not help, and all workers would restart at once."""
    Heartbeat.last_s = 0.0
    assert LoopLiveness(lambda: False, lambda: 10 * SILENT_AFTER_S)()


def test_a_heartbeat_is_noticed_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEARTBEAT_FILE", raising=False)
    Heartbeat().beat()
    assert LoopLiveness(lambda: True)()
    assert Heartbeat.last_s is not None
