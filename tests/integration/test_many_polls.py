"""Thousands of polls for one job, and clients that leave: the API keeps nothing of them."""

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psutil
import pytest

from api.transport.connections import allow_descriptors
from shared.domain.ids import JobId
from shared.domain.job import JobEnd, JobState
from shared.redis.job_store.store import JobStore
from tests.conftest import wait_until
from tests.integration.test_fast_path_http import CAR, ESTIMATE, Api, running_api

pytestmark = pytest.mark.integration
T = TypeVar("T")

POLLS, CONNECTIONS, WAITING = 10_000, 50, 300
API_CONNECTIONS = 600
"""Three quarters of them may wait."""

MORE = 100
"""Further polls, if some of the first ones got no place: perhaps because clients of the test before
had not yet given theirs back."""

PIPELINED = 20
"""Polls that a connection sends at once."""

KEPT_DESCRIPTORS, KEPT_MB = 20, 30.0
"""What may differ afterwards: connections to the broker, and pages of memory."""


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_descriptors(2 * WAITING)
    with running_api(api_connections=API_CONNECTIONS) as running:
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def job_id(api: Api) -> JobId:
    accepted = api.client.post("/jobs", json=CAR)
    assert accepted.status_code == 202
    return JobId(accepted.json()["id"])


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a thread: tests with a browser leave a loop on the main thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def process_of(api: Api) -> psutil.Process:
    """The process that serves."""
    children = psutil.Process(api.processes["api"].pid).children()
    return max(children, key=lambda process: process.memory_info().rss)


def end(api: Api, job_id: JobId) -> None:
    """End the job as a worker does."""
    jobs = JobStore(api.servers.broker, time.time, retention_s=3600, lease_s=30)
    assert jobs.finish_all([JobEnd(job_id, JobState.SUCCEEDED, (ESTIMATE,))]) == [True]


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    return int(head.split()[1]), await reader.readexactly(length)


@contextlib.asynccontextmanager
async def connected(api: Api, path: str) -> Any:
    """A connection on which a request was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.settings.port)
    writer.write(request(path))
    try:
        yield reader
    finally:
        writer.transport.abort()


async def polls(api: Api, job_id: JobId, number: int) -> Counter[tuple[int, bool]]:
    """Poll without waiting; the answers by status, and whether the job is queued."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.settings.port)
    found: Counter[tuple[int, bool]] = Counter()
    for _ in range(number // PIPELINED):
        writer.write(request(f"/jobs/{job_id}") * PIPELINED)
        for _ in range(PIPELINED):
            status, body = await answer(reader)
            found[status, b'"QUEUED"' in body] += 1
    writer.close()
    return found


def test_ten_thousand_polls_and_hundreds_that_wait_for_one_job_are_answered(
    api: Api, job_id: JobId
) -> None:
    async def call() -> tuple[Counter[tuple[int, bool]], list[tuple[int, bytes]]]:
        async with contextlib.AsyncExitStack() as stack:
            path = f"/jobs/{job_id}?wait=30"
            waiting = [
                await stack.enter_async_context(connected(api, path)) for _ in range(WAITING)
            ]
            each = POLLS // CONNECTIONS
            found = await asyncio.gather(*(polls(api, job_id, each) for _ in range(CONNECTIONS)))
            await asyncio.to_thread(end, api, job_id)
            return sum(found, Counter()), await asyncio.gather(*map(answer, waiting))

    process = process_of(api)
    before, memory = process.num_fds(), process.memory_info().rss
    polled, waited = run(call())
    assert polled == {(200, True): POLLS}
    assert {status for status, _ in waited} == {200}
    assert all(b'"SUCCEEDED"' in body for _, body in waited)
    assert len({body for _, body in waited}) == 1
    wait_until(lambda: process.num_fds() < before + KEPT_DESCRIPTORS, what="closed connections")
    assert process.memory_info().rss < memory + 1e6 * KEPT_MB


@pytest.mark.parametrize("path", ["/jobs/{}?wait=30", "/jobs/{}/events"])
def test_nothing_is_kept_of_clients_that_leave(api: Api, job_id: JobId, path: str) -> None:
    """More of them leave than may wait at once."""

    async def call() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(WAITING):
                await stack.enter_async_context(connected(api, path.format(job_id)))
            await asyncio.to_thread(wait_until, lambda: process.num_fds() >= before + WAITING)
            assert api.client.get("/livez").status_code == 200

    process = process_of(api)
    before, threads = process.num_fds(), process.num_threads()
    for _ in range(API_CONNECTIONS // WAITING + 1):
        run(call())
        wait_until(lambda: process.num_fds() < before + KEPT_DESCRIPTORS, what="no connection")
    assert process.num_threads() <= threads + 2
    wait_until(lambda: api.client.get(f"/jobs/{job_id}?wait=0.1").status_code == 200, 10.0)
    end(api, job_id)
    assert api.client.get(f"/jobs/{job_id}?wait=5").json()["state"] == "SUCCEEDED"


def test_a_submission_is_accepted_although_too_many_wait(api: Api, job_id: JobId) -> None:
    """A client that is refused sends again, and would make a second job."""
    poll = f"/jobs/{job_id}?wait=1"

    def is_accepted_without_a_place() -> bool:
        if api.client.get(poll).status_code != 503:
            return False
        accepted = api.client.post("/jobs", json=CAR, headers={"Prefer": "wait=1"})
        assert accepted.status_code == 202
        assert api.client.get(accepted.headers["Location"]).json()["state"] == "QUEUED"
        return api.client.get(poll).status_code == 503

    async def call() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for count in (API_CONNECTIONS * 3 // 4, *[MORE] * 5):
                for _ in range(count):
                    await stack.enter_async_context(connected(api, f"/jobs/{job_id}?wait=30"))
                if await asyncio.to_thread(is_accepted_without_a_place):
                    return
            raise AssertionError("there is always a place")

    run(call())
