"""`FAST_PATH=off` changes nothing but the speed: both ways give the same answers and counts.

The whole ASGI application runs in this process on a real broker and cache; a thread plays the
worker. Each sequence of requests is sent with the fast path on and off, in both orders.
"""

import json
from types import SimpleNamespace

import pytest

from api.transport import predictions
from api.transport.admission import MIN_EFFORT
from shared.domain.errors import InvalidInput
from shared.fields.requests import load_car_request
from shared.keys.entries import KeyLimits, Scope, new_key
from shared.keys.store import write_keys
from tests.conftest import REFERENCE_CAR as CAR
from tests.unit.api.both_paths import (
    BROKEN_KM,
    ENGLISH,
    JSON,
    NO_MODEL_KM,
    SILENT_KM,
    Request,
    assert_same,
    body,
    refresh_keys,
    sent,
)

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
    sent({}, query="include=depreciation"),
    sent({}, query="coverage=0.5"),
    sent({}, query="coverage=7"),
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


def test_the_answers_are_the_same_both_ways(both_ways):
    responses = assert_same(both_ways(REQUESTS))
    statuses = {status for status, _, _ in responses}
    assert statuses >= {200, 202, 405, 413, 415, 421, 422, 500, 503}
    assert "fwd=miss" in responses[0][1]
    assert "; hit" in responses[1][1]


def test_a_header_that_comes_twice_is_read_alike(both_ways):
    raw = json.dumps(CAR | {"colour": "red"}).encode()
    twice = [*JSON.items(), ("accept-language", "de"), ("accept-language", "en")]
    assert assert_same(both_ways([Request(raw, twice), Request(raw, twice[::-1])]))[0][0] == 200


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

    monkeypatch.setattr(predictions, "load_car_request", load)
    clock = SimpleNamespace(gmtime=lambda: SimpleNamespace(tm_year=year[0]))
    monkeypatch.setattr(predictions, "time", clock)
    raw = json.dumps(CAR | {"km_driven": 77_001}).encode()
    first = predictions._load_request(raw, len(raw))
    assert first.car.km_driven == 77_001
    again = predictions._load_request(raw, len(raw))
    assert again == first
    assert predictions._load_request(raw, len(raw)) is again
    assert len(read) == 2
    year[0] = 2027
    assert predictions._load_request(raw, len(raw)) == first
    assert len(read) == 3
    with pytest.raises(InvalidInput) as cut:
        predictions._load_request(raw, len(raw) + 1)
    assert [each.code for each in cut.value.problems] == ["truncated-body"]
    wrong = json.dumps(CAR | {"year": 1700}).encode()
    for _ in range(2):
        with pytest.raises(InvalidInput) as refused:
            predictions._load_request(wrong, len(wrong))
        assert [each.pointer for each in refused.value.problems] == ["/year"]
