"""Traces of the real service: from the request through the queue to the worker, and its webhook."""

import json
import os
import re
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ROOT, running_service, short_folder, wait_until
from tests.trace_collector import by_trace, running_collector
from tests.webhook_receiver import running_receiver

CALLER = "b7ad6b7169203331"
CAR = {"company": "Dacia", "model": "Logan", "year": 2018}
CARS = b"ref,company,model,year\n1,Dacia,Logan,2018\n2,Renault,Clio,1018\n"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.3"}


@pytest.fixture(scope="module")
def collector():
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def traced(models_path, collector):
    settings = {
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with short_folder() as home, running_service(home, models_path, **settings) as running:
        made = [sys.executable, "-m", "cli.main", "webhooks", "secret", "create"]
        subprocess.run(made, cwd=ROOT, env={**os.environ, "CARPRICE_HOME": str(home)}, check=True)
        yield running


@pytest.fixture
def trace_id():
    return secrets.token_hex(16)


@pytest.fixture
def http(traced, trace_id):
    """A client whose requests belong to one trace."""
    with traced.client() as client:
        client.headers["traceparent"] = f"00-{trace_id}-{CALLER}-01"
        yield client


def spans_of(collector, trace_id, *names):
    """The spans of a trace once those with these names are there; all belong together."""
    wait_until(lambda: set(names) <= collector.names(trace_id), what=f"spans {names}")
    wait_until(lambda: collector.is_connected(trace_id, CALLER), what="a connected trace")
    return {each.name: each for each in collector.trace(trace_id)}


def records(home):
    files = (home / "audit").glob("predictions_*.jsonl")
    return [json.loads(line) for each in files for line in each.read_text().splitlines()]


def test_a_miss_is_one_trace_and_its_record_names_it(traced, http, collector, trace_id, car):
    car["km_driven"] = 61_234
    answered = http.post("/predict", json=car, headers={"X-Request-ID": "shop-17"}).json()
    spans = spans_of(collector, trace_id, "POST /predict", "queue", "value", "record")
    request, value = spans["POST /predict"], spans["value"]
    assert request.parent_id == CALLER
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.response.header.cache-status"] == "carprice; fwd=miss; stored"
    assert request.attributes["http.request.header.x-request-id"] == "shop-17"
    assert (request.service, value.service) == ("carprice-api", "carprice-worker")
    assert {spans["queue"].parent_id, value.parent_id} == {request.span_id}
    assert value.attributes["carprice.id"] == answered["id"]
    assert {spans[name].parent_id for name in ("estimate", "record", "answer")} == {value.span_id}
    assert request.start_ns < value.start_ns < spans["answer"].end_ns < request.end_ns
    (record,) = (each for each in records(traced.home) if each["id"] == answered["id"])
    assert (record["trace_id"], record["request_id"]) == (trace_id, request.span_id)

    http.post("/predict", json=car)
    hit = wait_until(lambda: [s for s in collector.trace(trace_id) if s.name == request.name][1:])
    assert "; hit" in hit[0].attributes["http.response.header.cache-status"]
    same = [each for each in records(traced.home) if each.get("trace_id") == trace_id]
    assert {each["request_id"] for each in same} == {request.span_id, hit[0].span_id}


def test_a_micro_batch_links_to_the_traces_of_its_requests(traced, collector, car):
    """Requests that arrive together share messages."""

    def groups():
        return [each for each in collector.spans if each.name == "valuation.value_cars"]

    def load():
        cars = [{**car, "km_driven": car["km_driven"] + 100 * number} for number in range(64)]
        with traced.client() as http, ThreadPoolExecutor(32) as threads:
            list(threads.map(lambda each: http.post("/predict", json=each), cars))
            car["km_driven"] += 1
            return groups()

    wait_until(load, what="a message with several requests")
    group = groups()[0]
    wait_until(lambda: all(each in by_trace(collector.spans) for each, _ in group.links))
    assert group.parent_id == ""
    assert group.attributes["messaging.batch.message_count"] == len(group.links) > 1
    for trace, span_id in group.links:
        spans = {each.name: each for each in collector.trace(trace)}
        assert spans["POST /predict"].span_id == span_id
        assert spans["value"].links == [(group.trace_id, group.span_id)]
        assert spans["value"].parent_id == spans["queue"].parent_id == span_id
        assert spans["value"].attributes["carprice.estimate_ms"] > 0
    names = {each.name for each in collector.trace(group.trace_id)}
    assert names == {"valuation.value_cars", "estimate", "record", "answer"}


def test_a_job_and_its_webhook_are_one_trace(http, collector, receiver, trace_id, car):
    sent = http.post("/jobs", json=[car], params={"callback_url": f"{receiver.url}/ok"}).json()
    spans = spans_of(collector, trace_id, "POST /jobs", "queue", "value", "webhook")
    (webhook,) = wait_until(lambda: [r for r in receiver.at("/ok") if sent["id"] in r.id])
    assert webhook.headers["traceparent"] == f"00-{trace_id}-{spans['webhook'].span_id}-01"
    assert spans["value"].attributes["carprice.id"] == sent["id"]
    assert spans["webhook"].service == "carprice-webhooks"
    assert spans["webhook"].attributes["http.response.status_code"] == 204


def test_a_failed_webhook_is_logged_with_its_trace(traced, http, collector, receiver, trace_id):
    http.post("/jobs", json=CAR, params={"callback_url": f"{receiver.url}/fail"})
    spans = spans_of(collector, trace_id, "POST /jobs", "webhook")
    assert spans["webhook"].is_error

    def logged():
        lines = (traced.home / "logs" / "webhooks.log").read_text().splitlines()
        return [json.loads(line) for line in lines if trace_id in line]

    (line,) = wait_until(logged)
    assert line["event"] == "webhook_attempt_failed"
    assert line["request_id"] == spans["POST /jobs"].span_id


def test_a_batch_is_one_trace_from_the_upload_to_its_webhook(http, collector, receiver, trace_id):
    url = {"callback_url": f"{receiver.url}/ok"}
    sent = http.post("/batches", content=CARS, params=url, headers={"Content-Type": "text/csv"})
    steps = ("batch.split", "queue", "batch.value_chunk", "batch.assemble", "webhook")
    spans = spans_of(collector, trace_id, "POST /batches", *steps)
    assert {spans[step].parent_id for step in steps} == {spans["POST /batches"].span_id}
    assert spans["batch.value_chunk"].attributes["carprice.id"] == sent.json()["id"]
    assert not any(each.is_error for each in spans.values())


def test_a_problem_names_its_trace(http, collector, trace_id):
    for path, body in (("/predict", {}), ("/jobs", {}), ("/valuations/none/outcome", {})):
        problem = http.post(path, json=body).json()
        assert problem["trace_id"] == trace_id
        wait_until(
            lambda: problem["request_id"] in {s.span_id for s in collector.trace(trace_id)}  # noqa: B023 - called here
        )


def test_a_request_that_is_sampled_out_leaves_nothing(http, collector, trace_id):
    unsampled = {"traceparent": f"00-{trace_id}-{CALLER}-00"}
    problem = http.post("/predict", json={}, headers=unsampled).json()
    assert "trace_id" not in problem
    assert http.get("/jobs/none").json()["trace_id"] == trace_id
    spans_of(collector, trace_id, "GET /jobs/<job_id>")
    assert collector.names(trace_id) == {"GET /jobs/<job_id>"}


def test_latencies_name_traces_of_api_and_workers(traced, http, collector, trace_id, car):
    http.post("/jobs", json={**car, "km_driven": 77_777})
    spans_of(collector, trace_id, "value")

    def named():
        with traced.client() as plain:
            text = plain.get("/metrics", headers=OPENMETRICS).text
        found = re.findall(r'^(\w+)_bucket{.*# {trace_id="(\w+)"}', text, re.MULTILINE)
        return {name for name, _ in found} if text.endswith("# EOF\n") else set()

    wanted = {"http_request_duration_seconds", "queue_wait_seconds", "inference_seconds"}
    wait_until(lambda: wanted <= named(), what="exemplars of all processes")
    with traced.client() as plain:
        assert "# EOF" not in plain.get("/metrics").text
