"""Sends the same requests to the fast path and to Flask, in one process on a real broker and cache.

A thread plays the worker.
"""

import asyncio
import base64
import dataclasses
import gzip
import json
import re
import threading
import time
from typing import NamedTuple

import msgpack
import pytest
import zstandard
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from api.app import create_app, create_asgi_app
from shared.domain.errors import ModelNotLoaded, ValuationFailed
from shared.domain.job import JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.queue.names import QueueName, TaskName
from shared.queue.sender import push_reply
from shared.redis import keys
from shared.redis.cache import EstimateCache
from shared.redis.connections import ConnectionCache, connect
from shared.redis.job_store.store import JobStore
from tests.conftest import REFERENCE_CAR as CAR

VERSION = "2026-11-22T101112-abcdef"
ESTIMATE = Estimate(
    price_mad=150_000.0,
    quantiles_mad=tuple(100_000.0 + 10_000 * n for n in range(9)),
    model_version=VERSION,
    model_known=False,
)
NO_MODEL_KM, BROKEN_KM, SILENT_KM = 800_001, 800_002, 800_003
"""Cars that the worker answers with an error, or not at all."""
JSON = {"content-type": "application/json"}
LATER_EVENTS = {
    "group_lost",
    "replies_interrupted",
    "audit_inventory_begun",
    "weights_not_written",
}
"""Logged at a time of their own by threads, also those of an application that was called before."""
COUNTED = ("http_requests", "predictions", "cache_hits", "cache_misses", "audit_records")


class Worker:
    """Takes micro-batches off the queue, writes the estimates to the cache and replies."""

    def __init__(self, servers):
        self._broker = connect(servers.settings.redis_url, reply_timeout_s=5.0)
        self._cache = EstimateCache(connect(servers.settings.cache_url), 3600, time.time)
        self._jobs = JobStore(self._broker, time.time, retention_s=100, lease_s=30)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._is_stopped = True
        self._thread.join()

    def _run(self):
        while not self._is_stopped:
            popped = self._broker.brpop([str(QueueName.INTERACTIVE)], timeout=0.05)
            message = popped and json.loads(popped[1])
            if message and message["headers"]["task"] == TaskName.VALUE_CARS:
                self._answer(msgpack.unpackb(base64.b64decode(message["body"]))[1])

            self._end_jobs()

    def _end_jobs(self):
        """End all open jobs, whatever their messages look like."""
        for job_id in self._broker.zrange(keys.OPEN_JOBS, 0, -1):
            job = self._jobs.load(job_id.decode())
            if job is not None and job.origin is not None:  # of `/predict`, whose answer shows it
                continue
            results = [self._result(each.car.km_driven) for each in job.requests] if job else []
            if not results or SILENT_KM in {each.car.km_driven for each in job.requests}:
                continue
            self._jobs.start(job.id)
            if all(isinstance(each, Estimate) for each in results):
                self._jobs.finish(job.id, JobState.SUCCEEDED, results)
            else:
                self._jobs.finish(job.id, JobState.FAILED, error="valuation-failed")

    def _answer(self, kwargs):
        items = [msgpack.unpackb(item) for item in kwargs["items"]]
        items = [item for item in items if item[3] >= time.time()]  # deadlines
        answered = [(item[0], self._result(item[1][0][5])) for item in items]
        self._cache.put(
            [
                (load_car_request(CAR | {"km_driven": item[1][0][5]}).car, (), result)
                for item, (_, result) in zip(items, answered, strict=True)
                if isinstance(result, Estimate)
            ]
        )
        if all(item[1][0][5] != SILENT_KM for item in items):
            connections = ConnectionCache(self._broker)
            push_reply(connections, kwargs["reply_to"], kwargs["group_id"], answered)

    def _result(self, km):
        if km in {BROKEN_KM, SILENT_KM}:
            return ValuationFailed(reason="x")
        if km == NO_MODEL_KM:
            return ModelNotLoaded()
        return dataclasses.replace(ESTIMATE, price_mad=ESTIMATE.price_mad + km)


async def call(app, request, told=()):
    """Status, headers and body of a response.

    Args:
        app: the ASGI application.
        request: of this module.
        told: earlier responses, whose ids and ETags fill the gaps of the request.
    """
    named = {f"id{n}": one.id for n, one in enumerate(told)}
    named |= {f"etag{n}": one.etag for n, one in enumerate(told)}
    named |= {f"strong{n}": one.etag.removeprefix("W/") for n, one in enumerate(told)}
    path, query = request.path.format(**named), request.query.encode()
    raw = [(b"host", b"127.0.0.1")]
    if request.method == "POST":
        raw.append((b"content-length", b"%d" % (len(request.body) + request.is_cut)))
    given = [(name.encode(), value.format(**named).encode()) for name, value in request.headers]
    raw = [each for each in raw if each[0] not in dict(given)] + given
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": path,
        "raw_path": path.encode(),
        "client": ("127.0.0.1", "1"),
        "query_string": query,
        "headers": raw,
    }
    to_come = [{"type": "http.request", "body": request.body, "more_body": request.is_cut}]
    sent = []

    async def receive():
        if to_come:
            return to_come.pop()
        if not request.is_cut:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    answer = b"".join(message.get("body", b"") for message in sent[1:])
    shown = decoded(answer, dict(start["headers"]).get(b"content-encoding")).decode()
    # The server adds the date where it is missing.
    headers = sorted(
        (name.decode(), value.decode()) for name, value in start["headers"] if name != b"date"
    )
    return Response(start["status"], dict(headers), repr(headers), shown)


def decoded(raw, coding):
    """A body without its content coding."""
    if coding == b"gzip":
        return gzip.decompress(raw)
    return zstandard.ZstdDecompressor().decompressobj().decompress(raw) if coding else raw


class Response(NamedTuple):
    """A response; without what differs between any two: `masked`."""

    status: int
    headers: dict[str, str]
    named: str
    shown: str

    @property
    def id(self):
        """The id in the body; empty if there is none."""
        found = re.search(r'"id":"([0-9a-z]{26})"', self.shown)
        return found[1] if found else ""

    @property
    def etag(self):
        """The ETag; empty if there is none."""
        return self.headers.get("etag", "")

    @property
    def masked(self):
        """Status, headers and body, without ids, times and the like."""
        return self.status, masked(self.named), masked(self.shown)


def masked(text):
    """A text without ids, times and the rest of a time to live."""
    text = re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{24}\b", "<digest>", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", "<time>", text)
    text = re.sub(r"'retry-after', '\d{3,}'", "'retry-after', '<s>'", text)
    if "'content-encoding'" in text:  # ids and times may take another length
        text = re.sub(r"'content-length', '\d+'", "'content-length', '<bytes>'", text)
    return re.sub(r"\b(ttl|t)=\d+", r"\1=<s>", text)


def counts():
    """The samples of the metrics that a request moves."""
    return {
        (sample.name, *sample.labels.items()): sample.value
        for metric in REGISTRY.collect()
        if metric.name in COUNTED
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@pytest.fixture
def both_ways(servers, tmp_path):
    """Send requests with the fast path on and off; responses, counts and log events of each."""

    def send(requests, prepare=lambda _: None, *, at_once=False, **changes):
        told = {}
        for switches in (("on", "off"), ("off", "on")):
            for switch in switches:
                way = "-".join(switches), switch
                told[way] = one_way(requests, prepare, switch, changes, at_once=at_once)
        return told

    def one_way(requests, prepare, switch, changes, *, at_once):
        servers.broker.flushall()
        servers.cache.flushall()
        home = tmp_path / str(time.monotonic_ns())
        (home / "versions").mkdir(parents=True)
        (home / "versions" / "ACTIVE").write_text(f"{VERSION}\n")
        settings = dataclasses.replace(
            servers.settings, home=home, models_path=home / "versions", fast_path=switch
        )
        settings = dataclasses.replace(settings, **changes)
        app = create_app(settings)
        prepare(app)
        front = create_asgi_app(app)
        before = counts()

        async def ask():
            if at_once:
                return await asyncio.gather(*(call(front, each) for each in requests))
            told = []
            for each in requests:
                told.append(await call(front, each, told))
            return told

        with capture_logs() as events, Worker(servers):
            responses = [each.masked for each in asyncio.run(ask())]
        moved = {name: value - before.get(name, 0.0) for name, value in counts().items()}
        return (
            responses,
            {name: value for name, value in moved.items() if value},
            [event["event"] for event in events if event["event"] not in LATER_EVENTS],
        )

    return send


ENGLISH = {"accept-language": "en"}


class Request(NamedTuple):
    """A request; `{id0}` and `{etag0}` in path and headers are those of the first response.

    `{strong0}` is that ETag as a strong one.
    """

    body: bytes
    headers: list[tuple[str, str]]
    method: str = "POST"
    path: str = "/predict"
    query: str = ""
    is_cut: bool = False


def sent(changes=(), headers=(), **options):
    """A request for the reference car."""
    return body(json.dumps(CAR | dict(changes)).encode(), headers, **options)


def body(raw, headers=(), **options):
    """A request with another body."""
    return Request(raw, [*(JSON | dict(headers)).items()], **options)


def read(path, query="", headers=(), method="GET"):
    """A request without a body."""
    return Request(b"", [*dict(headers).items()], method=method, path=path, query=query)


def assert_same(told):
    """All four runs gave the same; what they gave."""
    first, *others = told.values()
    for other in others:
        for number, (mine, theirs) in enumerate(zip(first[0], other[0], strict=True)):
            assert mine == theirs, number
        assert first[1:] == other[1:]
    return first[0]


def refresh_keys(app):
    app.extensions["carprice-authenticator"]._keys._refreshed_at = 0.0
