"""The fast path of `POST /predict` answers as Flask does.

Flask answers the same request if its content type has `charset=utf-8`. The API runs as its Procfile
line says, without workers: a car that is not cached becomes a job.
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

from launcher.environment import child_environment
from launcher.procfile import read_procfile
from scripts.ports import reserve_port
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.keys.entries import Scope, new_key
from shared.keys.store import write_keys
from shared.redis.cache import EstimateCache
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

FAST_PATH, FLASK = "application/json", "application/json; charset=utf-8"
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
WAIT_KILL_S = 12.0
"""Less than the server waits for its requests when it is stopped."""
PROMPT_S = 4.0
"""An unresponsive broker is reported within two seconds; this leaves room for a busy machine."""


@dataclass(frozen=True)
class Api:
    """The API with its own broker and cache, without workers."""

    client: httpx.Client
    settings: Settings
    cache: EstimateCache
    servers: Servers
    processes: "dict[str, subprocess.Popen[bytes]]"

    def fill_cache(self, *cars):
        """Put cars into the cache."""
        self.cache.put([(load_car_request(car).car, (), ESTIMATE) for car in cars])

    def ask(self, body, content_type=FAST_PATH, headers=None):
        """Return status, headers and body of an answer, and whether it has an id."""
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
    def suspended(self, name):
        """Suspend one of the servers within the context."""
        os.kill(self.processes[name].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.processes[name].pid, signal.SIGCONT)

    def counted(self, line):
        """Return a sample of the metrics; 0 if it does not exist yet."""
        text = self.client.get("/metrics").text
        found = [each for each in text.splitlines() if each.startswith(line + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@contextlib.contextmanager
def running_api(**options):
    """Start the API as `make up` does; `options` are further settings."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(short_folder())
        versions = home / "models"
        (versions / "versions").mkdir(parents=True)
        made = with_server_urls(
            Settings(
                home=home,
                models_path=versions,
                port=reserve_port(),
                cache_near_entries=4,
                **options,
            )
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
        cache = EstimateCache(servers.cache, 3600, time.time)
        yield Api(client, made, cache, servers, {**processes, "api": process})


def is_alive(client):
    """Return whether the API answers."""
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
    """The API with the estimate of one car in the cache."""
    module_api.fill_cache(CAR)
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
def test_the_fast_path_answers_any_request_as_flask_does(api, body, headers):
    headers = {"Prefer": "wait=0"} | headers
    if "respond-async" in headers["Prefer"]:
        headers["Prefer"] = "respond-async, wait=0"
    quick, slow = (api.ask(body, kind, headers) for kind in (FAST_PATH, FLASK))
    for answer in (quick, slow):  # each miss is another job
        answer[1].pop("location", None)
        for member in ("created_at", "links", "queue_position"):
            answer[2].pop(member, None)
    quick_ttl, slow_ttl = (answer[1].pop("cache-status", "") for answer in (quick, slow))
    assert quick_ttl.rpartition("=")[0] == slow_ttl.rpartition("=")[0]
    assert quick == slow


@pytest.fixture(scope="module")
def keyed_api():
    """An API of its own: one that has had keys never opens again."""
    with running_api() as running:
        running.fill_cache(CAR)
        yield running


@pytest.mark.parametrize("scopes", [{Scope.PREDICT}, {Scope.BULK}])
def test_api_keys_and_scopes_apply_as_in_flask(keyed_api, scopes):
    secret, entry = new_key("shop", frozenset(scopes))
    write_keys(keyed_api.settings.keys_file, [entry])
    headers = {"Authorization": f"Bearer {secret}"}
    expected = 200 if Scope.PREDICT in scopes else 403
    wait_until(lambda: keyed_api.ask(json.dumps(CAR), headers=headers)[0] == expected)
    for sent in (headers, {"Authorization": "Bearer no"}, {}):
        quick, slow = (keyed_api.ask(json.dumps(CAR), kind, sent) for kind in (FAST_PATH, FLASK))
        assert (quick[0], quick[2]) == (slow[0], slow[2])


def test_a_deleted_key_file_refuses_everybody_with_the_reason(keyed_api):
    secret, entry = new_key("shop", frozenset(Scope))
    write_keys(keyed_api.settings.keys_file, [entry])
    headers = {"Authorization": f"Bearer {secret}"}
    wait_until(lambda: keyed_api.ask(json.dumps(CAR), headers=headers)[0] == 200)
    keyed_api.settings.keys_file.unlink()
    wait_until(lambda: keyed_api.ask(json.dumps(CAR), headers=headers)[0] == 503)
    for sent in (headers, {"Authorization": "Bearer no"}, {}):
        for kind in (FAST_PATH, FLASK):
            status, _, shown, _ = keyed_api.ask(json.dumps(CAR), kind, sent)
            assert (status, shown["type"]) == (503, "/docs/problems#keys-unavailable")
        for method, path in (("POST", "/models/rollback"), ("GET", "/fichiers"), ("POST", "/")):
            page = {"Accept": "text/html", **sent}
            assert keyed_api.client.request(method, path, headers=page).status_code == 503, path
    assert keyed_api.client.get("/health").status_code == 200


def test_both_paths_count_and_record_alike(api):
    names = (
        'http_requests_total{endpoint="/predict",method="POST",status="200"}',
        "cache_hits_total",
        "audit_records_total",
        'predictions_total{status="success"}',
    )
    before = [api.counted(name) for name in names]
    for kind in (FAST_PATH, FLASK):
        api.ask(json.dumps(CAR), kind)
    assert [api.counted(name) for name in names] == [value + 2 for value in before]


def test_an_error_is_counted_once(api):
    name = 'http_requests_total{endpoint="/predict",method="POST",status="422"}'
    before = api.counted(name)
    api.ask(b"[]")
    assert api.counted(name) == before + 1


def test_an_answer_that_cannot_be_recorded_is_503():
    with running_api() as other:
        other.fill_cache(CAR)
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


@pytest.mark.parametrize("path", ["/predict", "/jobs"])
@pytest.mark.parametrize(
    "chunks",
    [b"", b'4\r\n{"ye\r\n', b"100\r\n{"],
    ids=["no chunk", "no last chunk", "half a chunk"],
)
def test_a_chunked_body_that_breaks_off_is_a_bad_request(api, path, chunks):
    with socket.create_connection(("127.0.0.1", api.settings.port)) as client:
        client.sendall(
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%b" % (path.encode(), chunks)
        )
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"/docs/problems#bad-request" in answer


def test_a_body_that_arrives_byte_by_byte_is_read(api):
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


def test_a_repeated_header_is_read_as_in_flask(api):
    body = json.dumps(CAR).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nAccept-Language: de\r\n"
        b"Accept-Language: en\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    )
    shown = []
    for kind in (FAST_PATH, FLASK):
        with socket.create_connection(("127.0.0.1", api.settings.port)) as client:
            client.sendall(request % (kind.encode(), len(body)) + body)
            answer = b""
            while data := client.recv(65_536):
                answer += data
        shown.append(json.loads(answer.partition(b"\r\n\r\n")[2])["warnings"])
    assert shown[0] == shown[1]
    assert shown[0]


def ask_many(api, cars, **headers):
    """Request many cars at once; return the answers and the longest duration, seconds."""

    def ask(car):
        started = time.monotonic()
        answer = api.ask(json.dumps(car), FAST_PATH, headers)
        return answer, time.monotonic() - started

    with ThreadPoolExecutor(len(cars)) as pool:
        asked = list(pool.map(ask, cars))
    return [answer for answer, _ in asked], max(took_s for _, took_s in asked)


def other_cars(count, first=100_000):
    """Cars that no other test requests."""
    return [CAR | {"km_driven": first + number} for number in range(count)]


def test_with_an_unresponsive_broker_misses_are_503_and_hits_are_answered(api):
    api.ask(json.dumps(CAR))  # fills the local cache
    with ThreadPoolExecutor(1) as pool, api.suspended("broker"):
        waiting = pool.submit(ask_many, api, other_cars(20))
        hits, hit_s = ask_many(api, [CAR] * 5)
        refused, refused_s = waiting.result()
    assert {status for status, *_ in hits} == {200}
    assert {status for status, *_ in refused} == {503}
    assert max(hit_s, refused_s) < PROMPT_S
    accepted = api.ask(json.dumps(CAR | {"km_driven": 7}), FAST_PATH, {"Prefer": "wait=0"})
    assert accepted[0] == 202


def test_with_an_unresponsive_cache_requests_are_still_answered(api):
    api.fill_cache(*other_cars(5, 200_000))
    with api.suspended("cache"):
        given, took_s = ask_many(api, other_cars(5, 200_000), Prefer="wait=0")
    assert {status for status, *_ in given} == {202}
    assert took_s < PROMPT_S
    wait_until(lambda: api.ask(json.dumps(other_cars(1, 200_000)[0]))[2].get("cached"))


def test_concurrent_hits_and_misses_each_get_their_own_answer(api):
    cached = other_cars(30, 300_000)
    api.fill_cache(*cached)
    given, _ = ask_many(api, [*cached, *other_cars(30, 400_000)], Prefer="wait=0")
    assert [status for status, *_ in given] == [200] * 30 + [202] * 30


def test_a_stopping_api_answers_waiting_requests():
    with running_api() as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.ask, json.dumps(CAR), FAST_PATH, {"Prefer": "wait=3"})
        wait_until(lambda: other.servers.broker.llen("interactive"))
        other.processes["api"].send_signal(signal.SIGTERM)
        assert waiting.result()[0] == 202
        assert other.processes["api"].wait(20) == 0


def test_a_stopping_api_answers_polls_with_the_present_state_and_ends_streams() -> None:
    with running_api() as other, ThreadPoolExecutor(3) as pool:
        job = other.client.post("/jobs", json=CAR).json()
        polls = [
            pool.submit(httpx.get, other.client.base_url.join(path), timeout=40)
            for path in (f"/jobs/{job['id']}?wait=30", f"/jobs/{job['id']}/events")
        ]
        time.sleep(1.0)  # they wait
        started = time.monotonic()
        other.processes["api"].send_signal(signal.SIGTERM)
        poll, stream = (each.result() for each in polls)
        assert (poll.status_code, poll.json()["state"]) == (200, "QUEUED")
        assert "event: progress" in stream.text
        assert other.processes["api"].wait(20) == 0
        assert time.monotonic() - started < WAIT_KILL_S, "it did not wait for its kill"
