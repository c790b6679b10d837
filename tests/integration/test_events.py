"""Server-sent events over real HTTP, and the limit of open streams."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from tests.batch_parts import cars_csv
from tests.conftest import running_service, short_folder, wait_until
from tests.faults.conftest import FaultInjector

pytestmark = pytest.mark.integration
CSV = {"Content-Type": "text/csv"}
CONNECTIONS, THREADS = 64, 8
WAITS = CONNECTIONS * 3 // 4
"""Streams that may be open on the event loop."""
THREAD_STREAMS = THREADS // 4
"""Streams of pages, which hold threads."""


@pytest.fixture(scope="module")
def small(models_path) -> Iterator[FaultInjector]:
    """A service with few threads and connections, which allow few streams."""
    with (
        short_folder() as home,
        running_service(
            home,
            models_path,
            API_THREADS=str(THREADS),
            API_CONNECTIONS=str(CONNECTIONS),
            BATCH_CHUNK_ROWS="100",
            RESTART_HUNG="off",  # a test suspends a worker for as long as it needs
        ) as service,
    ):
        yield FaultInjector(service)


@pytest.fixture
def http(small: FaultInjector) -> Iterator[httpx.Client]:
    with small.service.client() as client:
        yield client


def events(http: httpx.Client, url: str, **headers: str) -> list[dict[str, Any]]:
    """Read all events of a stream to its end."""
    with http.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        text = answer.read().decode()
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines())
        for block in text.split("\n\n")
        if block.startswith("id: ")
    ]
    return [block | {"data": orjson.loads(block["data"])} for block in blocks]


def test_a_batch_stream_ends_with_the_batch_and_sends_the_end_once(http: httpx.Client) -> None:
    batch = http.post("/batches", content=cars_csv(5_000), headers=CSV).json()
    url = f"/batches/{batch['id']}/events"
    sent = events(http, url)
    assert [one["event"] for one in sent] == ["progress"] * (len(sent) - 1) + ["end"]
    done = [one["data"]["counts"]["done"] for one in sent]
    assert done == sorted(done)
    last = sent[-1]
    assert (last["data"]["state"], done[-1]) == ("SUCCEEDED", 5_000)
    assert last["data"] == http.get(f"/batches/{batch['id']}").json()
    again = events(http, url, **{"Last-Event-ID": "RUNNING.100.0"})
    assert [one["id"] for one in again] == [last["id"]]
    assert http.get(url, headers={"Last-Event-ID": last["id"]}).status_code == 204


def test_a_job_stream_ends_with_the_result(http: httpx.Client, car: dict[str, Any]) -> None:
    job = http.post("/jobs", json=[car, car]).json()
    last = events(http, f"/jobs/{job['id']}/events")[-1]
    assert (last["event"], len(last["data"]["result"])) == ("end", 2)


def test_streams_of_unknown_jobs_and_batches_are_404(http: httpx.Client) -> None:
    for folder in ("jobs", "batches"):
        assert http.get(f"/{folder}/{'0' * 26}/events").status_code == 404
        assert http.get(f"/{folder}/{'0' * 26}/events?x=1").status_code == 422


@pytest.mark.parametrize(
    "limit",
    [
        ("/batches/{}/events", WAITS, "too-many-waits"),
        ("/fichiers/{}/suivi", THREAD_STREAMS, "too-many-transfers"),
    ],
)
def test_open_streams_are_limited_and_closed_ones_free_their_place(
    small: FaultInjector,
    http: httpx.Client,
    car: dict[str, Any],
    limit: tuple[str, int, str],
) -> None:
    path, most, code = limit
    small.suspend("bulk")
    try:
        batch = http.post("/batches", content=cars_csv(300), headers=CSV).json()
        url = path.format(batch["id"])
        with contextlib.ExitStack() as open_streams:
            streams = []
            for _ in range(most):
                client = open_streams.enter_context(small.service.client())
                streams.append(open_stream(client, url, open_streams).iter_lines())
                assert next(line for line in streams[-1] if line.startswith("event: "))
            for lines in streams:  # a keep-alive comment, although nothing happens
                assert next(line for line in lines if line == ":")
            refused = http.get(url)
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            assert http.post("/predict", json=car).status_code == 200
            assert http.get(f"/batches/{batch['id']}").status_code == 200
            if code == "too-many-waits":
                assert refused.json()["type"] == f"/docs/problems#{code}"
                waiting = http.get(f"/batches/{batch['id']}?wait=5")
                assert (waiting.status_code, waiting.json()["title"]) == (
                    503,
                    "Attentes trop nombreuses",
                )
        with contextlib.ExitStack() as open_again:
            for _ in range(most):
                open_stream(http, url, open_again)
    finally:
        small.resume("bulk")
    wait_until(lambda: http.get(url).status_code == 200, what="the closed streams' places")
    assert events(http, url)[-1]["data"]["state"] == "SUCCEEDED"


def test_polls_of_clients_that_have_left_free_their_places(
    small: FaultInjector, http: httpx.Client
) -> None:
    small.suspend("bulk")
    try:
        batch = http.post("/batches", content=cars_csv(300), headers=CSV).json()
        poll = f"/batches/{batch['id']}?wait={{}}"
        head = f"GET {poll.format(30)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        with contextlib.ExitStack() as clients:

            def is_full() -> bool:
                """Begin another poll; whether there is no place for a further one."""
                address = ("127.0.0.1", httpx.URL(small.service.url).port)
                clients.enter_context(socket.create_connection(address)).sendall(head)
                return http.get(poll.format(0.1)).status_code == 503

            wait_until(is_full, what="no place")
            assert http.get(poll.format(0)).status_code == 200
        wait_until(lambda: http.get(poll.format(0.1)).status_code == 200, what="free places")
    finally:
        small.resume("bulk")
    assert http.get(poll.format(30)).json()["state"] == "SUCCEEDED"


def open_stream(http: httpx.Client, url: str, stack: contextlib.ExitStack) -> httpx.Response:
    """Open a stream until the end of the stack, once there is a place."""

    def attempt() -> httpx.Response | None:
        answer = http.send(http.build_request("GET", url), stream=True)
        if answer.status_code == 200:
            stack.callback(answer.close)
            return answer
        answer.close()
        return None

    opened: httpx.Response = wait_until(attempt, what="a free place")
    return opened


def test_the_list_of_jobs_is_paged_filtered_and_validated(
    http: httpx.Client, car: dict[str, Any]
) -> None:
    for _ in range(3):
        http.post("/jobs", json=car)
    first = http.get("/jobs", params={"limit": 2, "kind": "job", "from": "2020-01-01"}).json()
    assert len(first["items"]) == 2
    second = http.get(first["links"]["next"]).json()
    assert second["items"]
    assert not {one["id"] for one in first["items"]} & {one["id"] for one in second["items"]}
    entry = first["items"][0]
    assert http.get(entry["links"]["self"]).json()["id"] == entry["id"]
    wrong = {"state": "LOST", "kind": "x", "from": "yesterday", "cursor": "!", "limit": "0"}
    refused = http.get("/jobs", params=wrong)
    assert {error["parameter"] for error in refused.json()["errors"]} == set(wrong)
    assert http.get("/jobs", params={"to": "2020-01-01T00:00:00+01:00"}).json()["items"] == []
    assert http.get("/jobs?to=2020-01-01T00:00:00+01:00").json()["next_cursor"] is None
