"""The hot path answers as Flask does, and leaves to Flask what is not plain.

The same request with `charset=utf-8` in its content type means the same and is Flask's.
"""

import contextlib
import io
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from api.app import create_app
from api.auth import Scope, new_key
from api.keys_cli import _write
from api.slots import BodySlots, Slots
from shared.adapters.redis_cache import RedisValuationCache
from shared.connections import with_connections
from shared.domain.errors import QueueFull
from shared.domain.valuation import Estimate
from shared.metrics import HTTP_REQUESTS
from shared.schemas.car_requests import load_car_request
from shared.settings import Settings

PLAIN, FLASK = "application/json", "application/json; charset=utf-8"
VERSION = "2026-11-22T101112-abcdef"
ESTIMATE = Estimate(
    price_mad=150_000.0,
    quantiles_mad=tuple(100_000.0 + 10_000 * n for n in range(9)),
    model_version=VERSION,
    model_known=False,
)
CAR = {
    "company": "Toyota", "model": "Corolla", "year": 2020, "fuel": "Petrol",
    "transmission": "Manual", "km_driven": 25000,
}  # fmt: skip


@pytest.fixture
def app_settings(tmp_path, session_servers):
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "ACTIVE").write_text(f"{VERSION}\n")
    return with_connections(
        Settings(
            home=tmp_path,
            models_path=versions,
            redis_url=session_servers.settings.redis_url,
            cache_url=session_servers.settings.cache_url,
        )
    )


@pytest.fixture
def app(app_settings, servers):
    """With the estimate of one car in the cache; no worker answers for others."""
    RedisValuationCache(servers.cache, 3600, time.time).put(
        [(load_car_request(CAR).car, (), ESTIMATE)]
    )
    return create_app(app_settings)


@pytest.fixture
def seen_by_flask(app):
    """Paths of the requests that have reached Flask."""
    paths = []
    app.before_request_funcs.setdefault(None, []).insert(0, lambda: paths.append(1))
    return paths


def ask(app, body, content_type, headers=None, **options):
    """Status, headers and body of an answer; the id apart, which is another each time."""
    answer = app.test_client().post(
        "/predict", data=body, content_type=content_type, headers=headers or {}, **options
    )
    shown = answer.get_json()
    given_id = shown.pop("id", None)
    fields = dict(answer.headers)
    fields.pop("Content-Length")
    return answer.status_code, fields, shown, given_id is not None


def test_a_cached_car_is_answered_without_flask(app, seen_by_flask):
    status, headers, shown, has_id = ask(app, json.dumps(CAR), PLAIN)
    assert (status, shown["price_mad"], shown["cached"], has_id) == (200, 150_000.0, True, True)
    assert headers["Cache-Status"].startswith("carprice; hit; ttl=")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert seen_by_flask == []


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({"Origin": "https://elsewhere.example"}, {}),
        ({}, {"query_string": {"coverage": "0.5"}}),
        ({"Host": "elsewhere.example"}, {}),
    ],
)
def test_what_is_not_plain_is_flasks(app, seen_by_flask, headers, options):
    ask(app, json.dumps(CAR), PLAIN, headers, **options)
    assert seen_by_flask == [1]


BODIES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"", b" ", b"[]", b"{}", b"null", b'{"a":', b"\xff", b'"x"']),
    st.dictionaries(
        st.sampled_from(["colour", "owner", "year", "asking_price_mad", "a/b", "fuel"]),
        st.sampled_from([None, "", "banana", 2020, "2020", 150_000, -1, "Essence", "First"]),
    ).map(lambda changes: json.dumps(CAR | changes).encode()),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept-Language": st.sampled_from(["en", "fr", "de, en;q=0.5", "*", "en;q=0", "", ";;"]),
        "Prefer": st.sampled_from(["wait=0", "wait=0.01", "wait=x, wait=0", "respond-async"]),
        "Host": st.sampled_from(["localhost", "127.0.0.1:8000", "evil.example", "["]),
        "Sec-Fetch-Site": st.sampled_from(["cross-site", "none"]),
        "Authorization": st.sampled_from(["Bearer x", "Basic eDp5"]),
        "Cookie": st.just("a=b"),
    },
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES, headers=HEADERS)
def test_whatever_is_sent_the_answer_is_flasks(app, body, headers):
    headers = {"Prefer": "wait=0"} | headers
    if "respond-async" in headers["Prefer"]:
        headers["Prefer"] = "respond-async, wait=0"
    quick, slow = (ask(app, body, kind, headers) for kind in (PLAIN, FLASK))
    for answer in (quick, slow):  # a miss is a job: another each time
        answer[1].pop("Location", None)
        for member in ("created_at", "links", "queue_position"):
            answer[2].pop(member, None)
    quick_ttl, slow_ttl = (answer[1].pop("Cache-Status", "") for answer in (quick, slow))
    assert quick_ttl.rpartition("=")[0] == slow_ttl.rpartition("=")[0]
    assert quick == slow


@pytest.mark.parametrize("scopes", [{Scope.PREDICT}, {Scope.BULK}])
def test_a_key_counts_as_in_flask(app_settings, servers, scopes):
    secret, entry = new_key("shop", frozenset(scopes))
    _write(app_settings.keys_file, [entry])
    RedisValuationCache(servers.cache, 3600, time.time).put(
        [(load_car_request(CAR).car, (), ESTIMATE)]
    )
    app = create_app(app_settings)
    for headers in ({"Authorization": f"Bearer {secret}"}, {"Authorization": "Bearer no"}, {}):
        quick, slow = (ask(app, json.dumps(CAR), kind, headers) for kind in (PLAIN, FLASK))
        assert (quick[0], quick[2]) == (slow[0], slow[2])


def test_both_ways_are_counted_alike(app):
    def counted():
        labels = {"method": "POST", "endpoint": "/predict", "status": "200"}
        return (
            REGISTRY.get_sample_value("http_requests_total", labels) or 0,
            REGISTRY.get_sample_value("cache_hits_total") or 0,
        )

    HTTP_REQUESTS.labels("POST", "/predict", 200)
    before = counted()
    for kind in (PLAIN, FLASK):
        ask(app, json.dumps(CAR), kind)
    assert counted() == (before[0] + 2, before[1] + 2)


def test_what_cannot_be_recorded_is_not_answered(app, app_settings):
    app_settings.audit_folder.parent.mkdir(parents=True, exist_ok=True)
    app_settings.audit_folder.write_text("no folder")
    status, headers, shown, _ = ask(app, json.dumps(CAR), PLAIN)
    assert (status, shown["type"]) == (503, "/docs/problems#audit-unavailable")
    assert headers["Retry-After"]


def test_a_mistake_of_ours_is_a_problem_document(app, monkeypatch):
    monkeypatch.setattr("api.hot_path.load_car_request", None)
    status, _, shown, _ = ask(app, json.dumps(CAR), PLAIN)
    assert (status, shown["type"]) == (500, "/docs/problems#internal-error")


def test_a_body_shorter_than_announced_is_refused(app):
    status, _, shown, _ = ask(app, b"{", PLAIN, environ_overrides={"CONTENT_LENGTH": "100"})
    assert status == 422
    assert shown["errors"][0]["code"] == "truncated-body"


def test_a_body_that_was_read_to_its_announced_end_holds_no_slot():
    slots = Slots(1)

    def application(environ, start_response):
        environ["wsgi.input"].read(3)
        slots.take()  # free again, although the answer is still under way
        slots.give_back()
        start_response("200 OK", [])
        return [b""]

    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(b"abc"),
        "CONTENT_LENGTH": "3",
    }
    assert BodySlots(application, slots)(environ, lambda *_: None) == [b""]
    with contextlib.suppress(QueueFull):
        slots.take()
