"""Many idle connections do not keep the API from answering others."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from api.transport.connections import KEEP_SHARE, allow_descriptors
from launcher.procfile import read_procfile
from shared.settings import Settings
from tests.conftest import ROOT, wait_until
from tests.integration.test_fast_path_http import Api, running_api

CONNECTIONS = Settings().api_connections
FLOOD = CONNECTIONS + 1500
ANSWER_TIMEOUT_S = 12.0
"""An idle connection would otherwise be kept for 30 seconds."""
HALF_A_HEAD = b"GET /livez HTTP/1.1\r\nHost: 127"
WHOLE_REQUEST = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF_A_BODY = (
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{"
)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with running_api() as running:
        yield running


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Enough descriptors for the connections of the tests."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allow_descriptors(FLOOD + 200) < FLOOD + 200:
        pytest.skip("the system allows too few open files")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connections_of(api: Api) -> int:
    """Open descriptors of the process that serves."""
    leader = api.processes["api"].pid
    return max(process.num_fds() for process in psutil.Process(leader).children())


@contextlib.contextmanager
def flood(api: Api, first_bytes: bytes) -> Iterator[list[socket.socket]]:
    """Open more connections than the server keeps, and send these bytes on each."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(FLOOD):
            client = stack.enter_context(socket.socket())
            client.settimeout(0.0)
            client.connect_ex(("127.0.0.1", api.settings.port))
            with contextlib.suppress(OSError):
                client.send(first_bytes)
            opened.append(client)
        yield opened


def answer(api: Api, request: bytes) -> bytes:
    """The answer to a request on a new connection."""
    address = ("127.0.0.1", api.settings.port)
    with socket.create_connection(address, ANSWER_TIMEOUT_S) as client:
        client.sendall(request)
        return client.recv(65_536)


@pytest.mark.parametrize("first_bytes", [b"", HALF_A_HEAD, WHOLE_REQUEST, HALF_A_BODY])
def test_new_connections_are_answered_while_too_many_are_idle(api: Api, first_bytes: bytes) -> None:
    with flood(api, first_bytes):
        assert b" 200 " in answer(api, WHOLE_REQUEST).splitlines()[0]
        wait_until(lambda: connections_of(api) < KEEP_SHARE * CONNECTIONS + 700, 60.0)
        assert b" 200 " in answer(api, WHOLE_REQUEST).splitlines()[0]


def test_connections_with_a_request_stay(api: Api) -> None:
    """A poll that waits for the end of a job sends and receives nothing."""
    job = api.client.post("/jobs", json=[{"company": "Kia", "model": "Rio", "year": 2018}]).json()
    states = []
    poll = threading.Thread(
        target=lambda: states.append(api.client.get(f"/jobs/{job['id']}?wait=10").json()["state"])
    )
    poll.start()
    time.sleep(3.0)  # older than any connection that is opened now
    with flood(api, b""):
        poll.join()
    assert states == ["QUEUED"]


def test_few_connections_stay_open(api: Api) -> None:
    address = ("127.0.0.1", api.settings.port)
    with socket.create_connection(address, ANSWER_TIMEOUT_S) as client:
        client.sendall(WHOLE_REQUEST)
        client.recv(65_536)
        time.sleep(4.0)
        client.sendall(WHOLE_REQUEST)
        assert b" 200 " in client.recv(65_536).splitlines()[0]


def test_the_server_keeps_as_many_connections_as_the_closer_assumes() -> None:
    assert (
        f'--backpressure "${{API_CONNECTIONS:-{CONNECTIONS}}}"'
        in read_procfile(ROOT / "Procfile")["api"]
    )
