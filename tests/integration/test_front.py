"""What is answered on the event loop is what Flask would answer; what is not plain is Flask's.

The same request with `charset=utf-8` in its content type means the same and is Flask's. The server
is the one that ships, without workers: what is not cached becomes a job.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.middleware.authentication import Scope, new_key
from cli.keys import _write
from launcher.environment import child_environment
from launcher.procfile import read_procfile
from scripts.ports import reserve_port
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.redis.cache import ValuationCache
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.conftest import (
    ROOT,
    Servers,
    answers,
    running_server,
    short_folder,
    stop,
    wait_until,
)

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
PROMPT_S = 4.0
"""A broker that is silent is reported within two seconds; this leaves room for a loaded machine."""


@dataclass(frozen=True)
class Api:
    """The API alone, with servers of its own."""

    client: httpx.Client
    settings: Settings
    cache: ValuationCache
    servers: Servers
    processes: "dict[str, subprocess.Popen[bytes]]"

    def keep(self, *cars):
        """Put cars into the cache."""
        self.cache.put([(load_car_request(car).car, (), ESTIMATE) for car in cars])

    def ask(self, body, content_type=PLAIN, headers=None):
        """Status, headers and body of an answer; the id apart, which is another each time."""
        answer = self.client.post(
            "/predict", content=body, headers={"Content-Type": content_type, **(headers or {})}
        )
        shown = answer.json()
        given_id = shown.pop("id", None)
        fields = dict(answer.headers)
        for name in ("content-length", "date", "connection"):
            fields.pop(name, None)
        return answer.status_code, fields, shown, given_id is not None

    @contextlib.contextmanager
    def frozen(self, name):
        """One of the servers hangs."""
        os.kill(self.processes[name].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.processes[name].pid, signal.SIGCONT)

    def counted(self, line):
        """A sample of the metrics."""
        text = self.client.get("/metrics").text
        found = [each for each in text.splitlines() if each.startswith(line + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@contextlib.contextmanager
def running_api():
    """As `make up` starts it."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(short_folder())
        versions = home / "models"
        (versions / "versions").mkdir(parents=True)
        made = with_server_urls(
            Settings(home=home, models_path=versions, port=reserve_port(), cache_near_entries=4)
        )
        made.versions_path.mkdir(parents=True, exist_ok=True)
        (made.versions_path / "ACTIVE").write_text(f"{VERSION}\n")
        processes = {
            name: stack.enter_context(running_server(home, name)) for name in ("broker", "cache")
        }
        servers = Servers(made, connect(made.redis_url), connect(made.cache_url))
        wait_until(lambda: answers(servers.broker) and answers(servers.cache))
        (home / "metrics").mkdir()
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {read_procfile(ROOT / 'Procfile')['api']}"],
            cwd=ROOT,
            env=child_environment(made, os.environ),
        )
        stack.callback(stop, process)
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{made.port}", timeout=30, verify=False)
        )
        client.headers.clear()
        wait_until(lambda: is_alive(client), 60)
        cache = ValuationCache(servers.cache, 3600, time.time)
        yield Api(client, made, cache, servers, {**processes, "api": process})


def is_alive(client):
    """Whether the API answers."""
    try:
        return client.get("/livez").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def module_api():
    with running_api() as running:
        yield running


@pytest.fixture
def api(module_api):
    """With the estimate of one car in the cache; no worker answers for others."""
    module_api.keep(CAR)
    return module_api


BODIES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"", b" ", b"[]", b"{}", b"null", b'{"a":', b"\xff", b'"x"', b" " * 20_000]),
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
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES, headers=HEADERS)
def test_whatever_is_sent_the_answer_is_flasks(api, body, headers):
    headers = {"Prefer": "wait=0"} | headers
    if "respond-async" in headers["Prefer"]:
        headers["Prefer"] = "respond-async, wait=0"
    quick, slow = (api.ask(body, kind, headers) for kind in (PLAIN, FLASK))
    for answer in (quick, slow):  # a miss is a job: another each time
        answer[1].pop("location", None)
        for member in ("created_at", "links", "queue_position"):
            answer[2].pop(member, None)
    quick_ttl, slow_ttl = (answer[1].pop("cache-status", "") for answer in (quick, slow))
    assert quick_ttl.rpartition("=")[0] == slow_ttl.rpartition("=")[0]
    assert quick == slow


@pytest.mark.parametrize("scopes", [{Scope.PREDICT}, {Scope.BULK}])
def test_a_key_counts_as_in_flask(api, scopes):
    secret, entry = new_key("shop", frozenset(scopes))
    _write(api.settings.keys_file, [entry])
    try:
        wait_until(lambda: api.ask(json.dumps(CAR))[0] == 401)
        for headers in ({"Authorization": f"Bearer {secret}"}, {"Authorization": "Bearer no"}, {}):
            quick, slow = (api.ask(json.dumps(CAR), kind, headers) for kind in (PLAIN, FLASK))
            assert (quick[0], quick[2]) == (slow[0], slow[2])
    finally:
        api.settings.keys_file.unlink()
        wait_until(lambda: api.ask(json.dumps(CAR))[0] == 200)


def test_both_ways_are_counted_and_recorded_alike(api):
    names = (
        'http_requests_total{endpoint="/predict",method="POST",status="200"}',
        "cache_hits_total",
        "audit_records_total",
        'predictions_total{status="success"}',
    )
    before = [api.counted(name) for name in names]
    for kind in (PLAIN, FLASK):
        api.ask(json.dumps(CAR), kind)
    assert [api.counted(name) for name in names] == [value + 2 for value in before]


def test_an_error_is_counted_once(api):
    name = 'http_requests_total{endpoint="/predict",method="POST",status="422"}'
    before = api.counted(name)
    api.ask(b"[]")
    assert api.counted(name) == before + 1


def test_what_cannot_be_recorded_is_not_answered():
    with running_api() as other:
        other.keep(CAR)
        other.settings.audit_folder.parent.mkdir(parents=True, exist_ok=True)
        other.settings.audit_folder.write_text("no folder")
        status, headers, shown, _ = other.ask(json.dumps(CAR))
    assert (status, shown["type"]) == (503, "/docs/problems#audit-unavailable")
    assert headers["retry-after"]


@pytest.mark.parametrize("size", [1, 2, 50, 99])
def test_a_body_shorter_than_announced_is_refused(api, size):
    with socket.create_connection(("127.0.0.1", api.settings.port)) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n" + b"{" * size
        )
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"truncated-body" in answer


def test_a_body_that_comes_byte_by_byte_is_read(api):
    body = json.dumps(CAR).encode()
    with socket.create_connection(("127.0.0.1", api.settings.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        for number in range(len(body)):
            client.sendall(body[number : number + 1])
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_header_that_comes_twice_is_read_as_flask_reads_it(api):
    body = json.dumps(CAR).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nAccept-Language: de\r\n"
        b"Accept-Language: en\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    )
    shown = []
    for kind in (PLAIN, FLASK):
        with socket.create_connection(("127.0.0.1", api.settings.port)) as client:
            client.sendall(request % (kind.encode(), len(body)) + body)
            answer = b""
            while data := client.recv(65_536):
                answer += data
        shown.append(json.loads(answer.partition(b"\r\n\r\n")[2])["warnings"])
    assert shown[0] == shown[1]
    assert shown[0]


def ask_many(api, cars, **headers):
    """The answers to many at once, and how long the slowest took, seconds."""

    def ask(car):
        started = time.monotonic()
        answer = api.ask(json.dumps(car), PLAIN, headers)
        return answer, time.monotonic() - started

    with ThreadPoolExecutor(len(cars)) as pool:
        asked = list(pool.map(ask, cars))
    return [answer for answer, _ in asked], max(took_s for _, took_s in asked)


def other_cars(count, first=100_000):
    """Cars that nobody has asked for."""
    return [CAR | {"km_driven": first + number} for number in range(count)]


def test_who_waits_for_a_silent_broker_is_told_so_and_others_are_answered(api):
    api.ask(json.dumps(CAR))  # a copy is near
    with ThreadPoolExecutor(1) as pool, api.frozen("broker"):
        waiting = pool.submit(ask_many, api, other_cars(20))
        hits, hit_s = ask_many(api, [CAR] * 5)
        refused, refused_s = waiting.result()
    assert {status for status, *_ in hits} == {200}
    assert {status for status, *_ in refused} == {503}
    assert max(hit_s, refused_s) < PROMPT_S
    accepted = api.ask(json.dumps(CAR | {"km_driven": 7}), PLAIN, {"Prefer": "wait=0"})
    assert accepted[0] == 202


def test_a_silent_cache_costs_nobody_his_answer(api):
    api.keep(*other_cars(5, 200_000))
    with api.frozen("cache"):
        given, took_s = ask_many(api, other_cars(5, 200_000), Prefer="wait=0")
    assert {status for status, *_ in given} == {202}
    assert took_s < PROMPT_S
    wait_until(lambda: api.ask(json.dumps(other_cars(1, 200_000)[0]))[2].get("cached"))


def test_many_who_are_in_the_cache_or_not_each_get_their_own(api):
    cached = other_cars(30, 300_000)
    api.keep(*cached)
    given, _ = ask_many(api, [*cached, *other_cars(30, 400_000)], Prefer="wait=0")
    assert [status for status, *_ in given] == [200] * 30 + [202] * 30


def test_a_stop_lets_who_waits_end():
    with running_api() as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.ask, json.dumps(CAR), PLAIN, {"Prefer": "wait=3"})
        wait_until(lambda: other.servers.broker.llen("interactive"))
        other.processes["api"].send_signal(signal.SIGTERM)
        assert waiting.result()[0] == 202
        assert other.processes["api"].wait(20) == 0
