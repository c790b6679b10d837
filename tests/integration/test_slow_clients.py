"""Clients that send slowly do not stop the service from answering others."""

import contextlib
import socket
from urllib.parse import urlsplit

import pytest

from tests.conftest import running_service, short_folder, wait_until

INCOMPLETE_REQUEST = (
    b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


@pytest.fixture(scope="module")
def small_service(models_path):
    """A service with few threads."""
    with (
        short_folder() as home,
        running_service(home, models_path, API_THREADS="8") as service,
    ):
        yield service


@pytest.mark.parametrize("path", [b"/predict", b"/jobs", b"/batches"])
def test_incomplete_bodies_do_not_stop_the_service(small_service, car, path):
    port = urlsplit(small_service.url).port
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(INCOMPLETE_REQUEST % path)
        with small_service.client() as http:
            for _ in range(3):
                assert http.get("/livez").status_code == 200
            refused = http.post("/predict", json=car)
            assert refused.status_code in {200, 503}
    with small_service.client() as http:
        wait_until(lambda: http.post("/predict", json=car).status_code == 200)


def test_health_and_metrics_answer_while_all_threads_wait_for_bodies(small_service):
    """Some requests hold the threads and others wait for one."""
    port = urlsplit(small_service.url).port
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(INCOMPLETE_REQUEST % b"/jobs")
        with small_service.client() as http:
            for path in ("/livez", "/readyz", "/metrics"):
                assert http.get(path, timeout=5.0).status_code == 200
            # Flask answers the error in a reserved thread.
            assert http.post("/predict", json={}, timeout=5.0).status_code == 422


def test_a_body_that_does_not_arrive_is_422_after_a_timeout(small_service):
    port = urlsplit(small_service.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(INCOMPLETE_REQUEST % b"/predict")
        answer = client.recv(65536)
    assert b" 422 " in answer.splitlines()[0]
    assert b"truncated-body" in answer


def test_a_body_shorter_than_announced_is_refused(small_service):
    port = urlsplit(small_service.url).port
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b'Content-Length: 1000\r\n\r\n{"company": "Dacia"}'
        )
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65536)
    assert b" 422 " in answer.splitlines()[0]
    assert b"truncated-body" in answer


def test_an_encoding_of_nul_characters_is_refused(small_service):
    with small_service.client() as http:
        odd = http.post("/batches?encoding=%00", content=b"x", headers={"Content-Type": "text/csv"})
    assert odd.status_code == 422


def test_an_upload_of_unknown_length_that_breaks_off_after_a_line_leaves_no_batch(small_service):
    port = urlsplit(small_service.url).port
    with small_service.client() as http:
        before = http.get("/batches").json()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /batches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n7\r\nMarque\n\r\n6\r\nDacia\n\r\n"
            )
        refused = 'http_requests_total{endpoint="/batches",method="POST",status="422"}'
        wait_until(lambda: refused in http.get("/metrics").text)
        assert http.get("/batches").json() == before
