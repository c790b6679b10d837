"""`FAST_PATH=off` changes nothing but the speed: both ways give the same answers and counts.

The whole ASGI application runs in this process on a real broker and cache; a thread plays the
worker. Each sequence of requests is sent with the fast path on and off, in both orders.
"""

import asyncio
import base64
import dataclasses
import json
import re
import threading
import time
from types import SimpleNamespace

import msgpack
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from api.app import create_app, create_asgi_app
from api.transport import fast_path
from api.transport.admission import MIN_EFFORT
from shared.domain.errors import InvalidInput, ModelNotLoaded, ValuationFailed
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.keys.entries import KeyLimits, Scope, new_key
from shared.keys.store import write_keys
from shared.queue.names import QueueName, TaskName
from shared.queue.sender import push_reply
from shared.redis.cache import EstimateCache
from shared.redis.connections import ConnectionCache, connect
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
LATER_EVENTS = {"group_lost", "replies_interrupted", "audit_inventory_begun"}
"""Logged at a time of their own by threads, also those of an application that was called before."""
COUNTED = ("http_requests", "predictions", "cache_hits", "cache_misses", "audit_records")


class Worker:
    """Takes micro-batches off the queue, writes the estimates to the cache and replies."""

    def __init__(self, servers):
        self._broker = connect(servers.settings.redis_url, reply_timeout_s=5.0)
        self._cache = EstimateCache(connect(servers.settings.cache_url), 3600, time.time)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._is_stopped = True
        self._thread.join()

    def _run(self):
        while not self._is_stopped:
            popped = self._broker.brpop([str(QueueName.INTERACTIVE)], timeout=0.1)
            message = popped and json.loads(popped[1])
            if message and message["headers"]["task"] == TaskName.VALUE_CARS:
                self._answer(msgpack.unpackb(base64.b64decode(message["body"]))[1])

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


async def call(app, body, headers, *, is_cut=False, method="POST", query=b""):
    """Status, headers and body of a response, without what differs between any two."""
    raw = [(b"host", b"127.0.0.1"), (b"content-length", b"%d" % (len(body) + is_cut))]
    given = [(name.encode(), value.encode()) for name, value in headers]
    raw = [each for each in raw if each[0] not in dict(given)] + given
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": "/predict",
        "raw_path": b"/predict",
        "client": ("127.0.0.1", "1"),
        "query_string": query,
        "headers": raw,
    }
    to_come = [{"type": "http.request", "body": body, "more_body": is_cut}]
    sent = []

    async def receive():
        return to_come.pop() if to_come else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    shown = b"".join(message.get("body", b"") for message in sent[1:]).decode()
    named = sorted((name.decode(), value.decode()) for name, value in start["headers"])
    return start["status"], masked(repr(named)), masked(shown)


def masked(text):
    """A text without ids, times and the rest of a time to live."""
    text = re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "<id>", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", "<time>", text)
    text = re.sub(r"'retry-after', '\d{3,}'", "'retry-after', '<s>'", text)
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
            calls = [call(front, raw, headers, **options) for raw, headers, options in requests]
            return await asyncio.gather(*calls) if at_once else [await each for each in calls]

        with capture_logs() as events, Worker(servers):
            responses = asyncio.run(ask())
        moved = {name: value - before.get(name, 0.0) for name, value in counts().items()}
        return (
            responses,
            {name: value for name, value in moved.items() if value},
            [event["event"] for event in events if event["event"] not in LATER_EVENTS],
        )

    return send


def sent(changes=(), headers=(), **options):
    """A request for the reference car."""
    return body(json.dumps(CAR | dict(changes)).encode(), headers, **options)


def body(raw, headers=(), **options):
    """A request with another body."""
    return raw, [*(JSON | dict(headers)).items()], options


ENGLISH = {"accept-language": "en"}
ODD = [
    {"accept-language": "de, en;q=0.5"},
    {"accept-language": ""},
    {"accept-language": ";;"},
    {"accept-language": "en;q=0"},
    {"prefer": "respond-async, wait=0"},
    {"prefer": "wait=x"},
    {"cookie": "a=b", "user-agent": "x" * 300},
    {"sec-fetch-site": "cross-site"},
    {"origin": "https://elsewhere.example"},
    {"authorization": "Basic eDp5"},
    {"authorization": "Bearer x"},
    {"host": "localhost:8000"},
    {"host": "evil.example"},
    {"host": "["},
    {"content-type": "application/json; charset=utf-8"},
    {"content-type": "text/plain"},
    {"content-encoding": "gzip"},
    {"content-length": "x"},
    {"x-forwarded-host": "evil.example", "accept": "text/html"},
]
REQUESTS = [
    # Misses, then hits; what depends on the request only; languages.
    sent(),
    sent(),
    sent({"asking_price_mad": 99_000}, ENGLISH),
    sent({"colour": "red", "year": 2023, "km_driven": 5}),
    sent({"fuel": "Essence", "transmission": "Manuelle", "km_driven": "25 000 km"}),
    *(sent({}, headers) for headers in ODD),
    *(sent({"km_driven": 31_000 + n}, headers) for n, headers in enumerate(ODD)),
    # What Flask alone answers.
    sent({}, query=b"include=depreciation"),
    sent({}, query=b"coverage=0.5"),
    sent({}, query=b"coverage=7"),
    sent({}, method="GET"),
    sent({}, method="OPTIONS"),
    # Errors of the request.
    body(b""),
    body(b" ", ENGLISH),
    body(b"[]"),
    body(b"null", ENGLISH),
    body(b'{"a":'),
    body(b"\xff"),
    body(b"{}", ENGLISH),
    body(b" " * 20_000),
    body(b"{" * 3_000_000),
    body(json.dumps(CAR).encode(), is_cut=True),
    sent({"year": 1800}),
    sent({"year": 1800, "fuel": "banana", "km_driven": None}, ENGLISH),
    # Errors of the worker, and requests that become jobs.
    sent({"km_driven": NO_MODEL_KM}),
    sent({"km_driven": BROKEN_KM}, ENGLISH),
    sent({"km_driven": SILENT_KM}, {"prefer": "wait=0.2"}),
    sent({"km_driven": SILENT_KM}, {"prefer": "wait=0", **ENGLISH}),
]


def assert_same(told):
    """All four runs gave the same; what they gave."""
    first, *others = told.values()
    for other in others:
        for mine, theirs in zip(first[0], other[0], strict=True):
            assert mine == theirs
        assert first[1:] == other[1:]
    return first[0]


def test_the_answers_are_the_same_both_ways(both_ways):
    responses = assert_same(both_ways(REQUESTS))
    statuses = {status for status, _, _ in responses}
    assert statuses >= {200, 202, 405, 413, 415, 421, 422, 500, 503}
    assert "fwd=miss" in responses[0][1]
    assert "; hit" in responses[1][1]


def test_a_header_that_comes_twice_is_read_alike(both_ways):
    raw = json.dumps(CAR | {"colour": "red"}).encode()
    twice = [*JSON.items(), ("accept-language", "de"), ("accept-language", "en")]
    assert assert_same(both_ways([(raw, twice, {}), (raw, twice[::-1], {})]))[0][0] == 200


@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.BULK])
def test_keys_are_checked_alike(both_ways, scope):
    key, entry = new_key("shop", frozenset({scope}))

    def prepare(app):
        write_keys(app.extensions["carprice"].settings.keys_file, [entry])
        refresh_keys(app)

    given = [{"authorization": f"Bearer {each}"} for each in (key, "no")]
    requests = [sent({}, headers) for headers in (*given, {}, {"host": "evil.example"})]
    allowed, *refused = [status for status, *_ in assert_same(both_ways(requests, prepare))]
    assert allowed == (200 if scope is Scope.PREDICT else 403)
    assert refused == [401] * 3


def refresh_keys(app):
    app.extensions["carprice-authenticator"]._keys._refreshed_at = 0.0


def test_limits_of_keys_are_enforced_alike(both_ways):
    limits = KeyLimits(requests_per_s=0.001, burst=6, cars_per_day=3)
    key, entry = new_key("shop", frozenset({Scope.PREDICT}), limits=limits)

    def prepare(app):
        write_keys(app.extensions["carprice"].settings.keys_file, [entry])
        refresh_keys(app)

    mine = {"authorization": f"Bearer {key}"}
    cars = [{}, {"year": 1800}, {}, {"km_driven": BROKEN_KM}, {"km_driven": 3}, {}, {}, {}]
    told = assert_same(both_ways([sent(car, mine) for car in cars], prepare))
    # Invalid cars and failures count as requests, not as cars.
    assert [status for status, *_ in told] == [200, 422, 200, 500, 200, 429, 429, 429]
    types = [json.loads(shown).get("type", "").rpartition("#")[2] for _, _, shown in told[5:]]
    assert types == ["car-limit-reached"] * 3
    for status, headers, _ in told:
        assert "ratelimit-policy" in headers, status
        assert ("retry-after" in headers) == (status == 429)
    policy = '"requests";q=6;w=6000, "cars";q=3;qu="cars";w=86400'
    assert policy in told[0][1]
    assert '"requests";r=5;t=<s>, "cars";r=2;t=<s>' in told[0][1]


def test_requests_beyond_the_burst_are_refused_alike(both_ways):
    limits = KeyLimits(requests_per_s=0.001, burst=2)
    key, entry = new_key("shop", frozenset({Scope.PREDICT}), limits=limits)
    _, other = new_key("other", frozenset({Scope.PREDICT}))

    def prepare(app):
        write_keys(app.extensions["carprice"].settings.keys_file, [entry, other])
        refresh_keys(app)

    mine = {"authorization": f"Bearer {key}"}
    told = assert_same(both_ways([sent({}, mine)] * 5, prepare))
    assert [status for status, *_ in told] == [200, 200, 429, 429, 429]
    assert all('"requests";r=0;t=<s>' in headers for _, headers, _ in told[1:])


def without_model(app):
    (app.extensions["carprice"].settings.versions_path / "ACTIVE").unlink()


def without_audit(app):
    folder = app.extensions["carprice"].settings.audit_folder
    folder.write_text("no folder")


def broken(app):
    def fail(*_):
        raise ZeroDivisionError("nobody thought of this")

    app.extensions["carprice"].active_model.version_id = fail


@pytest.mark.parametrize(
    ("prepare", "changes", "status"),
    [
        (without_model, {}, 503),
        (without_audit, {}, 503),
        (broken, {}, 500),
        (lambda _: None, {"queue_max_length": 0}, 503),
        (lambda _: None, {"redis_url": "unix:///nowhere/broker.sock"}, 503),
        (lambda _: None, {"cache_url": "unix:///nowhere/cache.sock"}, 200),
    ],
)
def test_outages_are_told_alike(both_ways, prepare, changes, status):
    requests = [sent(), sent(), sent({}, ENGLISH)]
    assert assert_same(both_ways(requests, prepare, **changes))[-1][0] == status


def test_requests_beyond_what_the_service_can_do_are_refused_alike(both_ways):
    others = [sent({"km_driven": 40_000 + n}) for n in range(MIN_EFFORT)]
    late = [sent({}, ENGLISH), sent({}, {"origin": "https://elsewhere.example"})]
    told = both_ways([*others, *late], at_once=True)
    answered = [responses for responses, _, _ in told.values()]
    assert all(200 in {status for status, _, _ in responses} for responses in answered)
    (english, elsewhere), *same = [responses[-2:] for responses in answered]
    assert all(each == [english, elsewhere] for each in same)
    assert english[0] == elsewhere[0] == 503
    assert json.loads(english[2])["type"] == "/docs/problems#queue-full"
    assert json.loads(english[2])["title"] == "Queue full"
    assert "'retry-after'" in english[1]
    assert "content-security-policy" in english[1]
    assert "access-control-allow-origin" not in english[1]
    assert "('access-control-allow-origin', '*')" in elsewhere[1]


def test_a_repeated_body_is_read_once_a_year(monkeypatch):
    read, year = [], [2026]

    def load(body):
        read.append(body)
        return load_car_request(body)

    monkeypatch.setattr(fast_path, "load_car_request", load)
    clock = SimpleNamespace(gmtime=lambda: SimpleNamespace(tm_year=year[0]))
    monkeypatch.setattr(fast_path, "time", clock)
    raw = json.dumps(CAR | {"km_driven": 77_001}).encode()
    first = fast_path._load_request(raw, len(raw))
    assert first.car.km_driven == 77_001
    again = fast_path._load_request(raw, len(raw))
    assert again == first
    assert fast_path._load_request(raw, len(raw)) is again
    assert len(read) == 2
    year[0] = 2027
    assert fast_path._load_request(raw, len(raw)) == first
    assert len(read) == 3
    with pytest.raises(InvalidInput) as cut:
        fast_path._load_request(raw, len(raw) + 1)
    assert [each.code for each in cut.value.problems] == ["truncated-body"]
    wrong = json.dumps(CAR | {"year": 1700}).encode()
    for _ in range(2):
        with pytest.raises(InvalidInput) as refused:
            fast_path._load_request(wrong, len(wrong))
        assert [each.pointer for each in refused.value.problems] == ["/year"]
