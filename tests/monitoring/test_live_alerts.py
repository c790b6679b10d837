"""Every alert fires in a real Prometheus that starts without data, and none before its cause."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT, wait_until
from tests.monitoring.scaled_rules import scaled_rules
from tests.prometheus_server import running_prometheus

pytestmark = [pytest.mark.prometheus]

RULES = (ROOT / "monitoring" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
ALERTS = {
    rule["alert"] for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]
    if "alert" in rule
}  # fmt: skip

HEALTHY = """
readiness_check_ok{check="audit",required="yes"} 1
readiness_check_ok{check="cache",required="no"} 1
model_loaded 1
queue_messages{queue="interactive"} 0
queue_oldest_message_age_seconds{queue="interactive"} 0
workers_up{queue="interactive"} 2
webhooks_intake_delay_seconds 0
carprice_callers_waiting 0
carprice_backlog_rows 0
carprice_oldest_open_batch_seconds 0
drift_given_psi{field="year"} 0.1
model_data_age_months 3
carprice_home_free_bytes{host="h",disk="d"} 50
carprice_home_size_bytes{host="h",disk="d"} 100
carprice_memory_available_bytes{host="h"} 50
carprice_memory_total_bytes{host="h"} 100
process_open_fds_ratio{host="h",process="api",role="api"} 0.1
redis_up 1
redis_memory_used_bytes 10
redis_memory_max_bytes 100
"""

FAILING = """
readiness_check_ok{check="audit",required="yes"} 0
readiness_check_ok{check="cache",required="no"} 0
model_loaded 0
queue_oldest_message_age_seconds{queue="interactive"} 60
workers_up{queue="interactive"} 0
webhooks_intake_delay_seconds 300
carprice_callers_waiting 500
carprice_backlog_rows 1000
carprice_oldest_open_batch_seconds 30000
drift_given_psi{field="year"} 0.5
model_data_age_months 18
carprice_home_free_bytes{host="h",disk="d"} 1
carprice_home_size_bytes{host="h",disk="d"} 100
carprice_memory_available_bytes{host="h"} 1
carprice_memory_total_bytes{host="h"} 100
process_open_fds_ratio{host="h",process="api",role="api"} 0.95
redis_up 0
redis_memory_used_bytes 95
redis_memory_max_bytes 100
"""

EVENTS = {
    'model_reloads_total{outcome="failure"}': 1,
    "audit_write_failures_total": 1,
    "audit_checkpoint_failures_total": 1,
    'dead_letters_total{kind="job"}': 1,
    'webhooks_total{result="given-up"}': 1,
    'webhooks_total{result="dropped"}': 1,
    "owners_lost_total": 4,
    'batch_chunks_total{outcome="dead"}': 1,
    "model_automatic_rollbacks_total": 1,
    "model_worse_on_sales_total": 1,
    'retrainings_total{decision="failed"}': 1,
    'model_watch_failures_total{part="drift"}': 3,
}
"""Counters that a process exposes from its start, and how often the event has to happen."""

GROWING = {
    'http_requests_total{endpoint="/predict",status="503"}': 1000,
    'http_request_duration_seconds_bucket{endpoint="/predict",le="1.0"}': 10,
    'http_request_duration_seconds_bucket{endpoint="/predict",le="2.5"}': 1000,
    'http_request_duration_seconds_bucket{endpoint="/predict",le="+Inf"}': 1000,
    'queue_messages{queue="bulk"}': 5000,
    "batch_steps_paused_total": 10,
    "jobs_postponed_total": 10,
    'records_unreadable_total{record="job"}': 10,
    "broker_full_total": 10,
    'shadow_valuations_total{version="v",outcome="failure"}': 10,
    "cache_hits_total": 1,
    "cache_misses_total": 1000,
    'outcome_absolute_error_ratio_bucket{model_version="v",le="0.2"}': 10,
    'outcome_absolute_error_ratio_bucket{model_version="v",le="0.5"}': 1000,
    'outcome_absolute_error_ratio_bucket{model_version="v",le="+Inf"}': 1000,
    'outcome_absolute_error_ratio_count{model_version="v"}': 1000,
    'outcome_inside_interval_total{model_version="v",inside="no"}': 1000,
    'outcome_inside_interval_total{model_version="v",inside="yes"}': 10,
}
"""What grows, while the cause lasts, by this much in a second."""

START = f'process_start_time_seconds{{role="api",process="api",host="h"}} {time.time()}\n'


class Exporter:
    """Answers every scrape with the series of its phase; an empty text: it does not answer."""

    def __init__(self) -> None:
        self.text: Callable[[], str] = lambda: ""
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.text().encode()
                self.send_response(200 if body else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


@contextlib.contextmanager
def scraping_prometheus(folder: Path, exporter: Exporter) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes the exporter several times a second, and has begun to."""
    target = {"targets": [exporter.target], "labels": {"server": "broker"}}
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "carprice-api", "static_configs": [target]}],
    }
    (folder / "rules.yml").write_text(scaled_rules(RULES))
    with running_prometheus(folder, config) as client:
        wait_until(lambda: samples(client) >= 10, 120.0, "scrapes")
        yield client


def samples(prometheus: httpx.Client) -> int:
    """Number of scrapes that have been answered."""
    with contextlib.suppress(httpx.HTTPError, IndexError, ValueError):
        query = {"query": "count_over_time(up[1h])"}
        answer = prometheus.get("/api/v1/query", params=query).json()
        return int(answer["data"]["result"][0]["value"][1])
    return 0


def firing(prometheus: httpx.Client) -> set[str]:
    groups = prometheus.get("/api/v1/rules", params={"type": "alert"}).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
    return {rule["name"] for rule in rules if rule["state"] == "firing"}


def lines(values: Mapping[str, int]) -> str:
    return "".join(f"{series} {value}\n" for series, value in values.items())


def growth_since(started: float) -> str:
    passed = time.monotonic() - started
    return lines({series: int(per_s * passed) for series, per_s in GROWING.items()})


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    made = Exporter()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_every_alert_fires_when_its_cause_appears(exporter: Exporter, tmp_path: Path) -> None:
    exporter.text = lambda: HEALTHY + START + lines(dict.fromkeys(EVENTS, 0))
    with scraping_prometheus(tmp_path, exporter) as prometheus:
        # A busy machine may answer a scrape too late.
        assert firing(prometheus) <= {"APIDown"}
        started = time.monotonic()
        exporter.text = lambda: FAILING + START + lines(EVENTS) + growth_since(started)
        missing = ALERTS - {"APIDown"}

        def have_all_fired() -> bool:
            missing.difference_update(firing(prometheus))
            return not missing

        with contextlib.suppress(AssertionError):
            wait_until(have_all_fired, 60.0)
        assert missing == set()
        exporter.text = lambda: ""
        wait_until(lambda: "APIDown" in firing(prometheus), 60.0, "an API that does not answer")


def test_events_before_the_first_scrape_raise_their_alerts(
    exporter: Exporter, tmp_path: Path
) -> None:
    """The series of a process that failed as it started begin above 0: nothing increases."""
    exporter.text = lambda: HEALTHY + START + lines(EVENTS)
    with scraping_prometheus(tmp_path, exporter) as prometheus:
        expected = {
            *("ModelReloadFailed", "AuditWriteFailures", "AuditCheckpointFailures", "DeadLetters"),
            *("WebhooksGivenUp", "WebhooksDropped", "WorkersLost", "DeadChunks"),
            *("ModelRolledBack", "ModelWorseOnSales", "RetrainingFails", "ModelWatchFails"),
        }
        wait_until(
            lambda: firing(prometheus) - {"APIDown"} == expected, 60.0, "the alerts of the events"
        )
