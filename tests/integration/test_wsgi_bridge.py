"""The WSGI bridge on granian's event loop behaves as granian's own WSGI threads.

In addition it detects that a client has disconnected, which granian's WSGI threads cannot.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from scripts.ports import reserve_port
from tests.conftest import ROOT, stop, wait_until
from tests.wsgi_probe import CHUNK

CLOSE = b"Connection: close\r\n\r\n"
ODD_REQUESTS = {
    "escaped slash": b"GET /a%2Fb/c HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "accents": b"GET /caf%C3%A9?q=%C3%A9+x%20&q=2 HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "not UTF-8": b"GET /%FF%00 HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "double slash": b"GET //a//b HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "absolute": b"GET http://other:8/p?a HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "no host": b"GET /p HTTP/1.0\r\n\r\n",
    "header twice": b"GET /p HTTP/1.1\r\nHost: h\r\nA-B: 1\r\nA-B: 2\r\nCookie: c=1\r\n" + CLOSE,
    "forwarded": b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 8.8.8.8\r\n"
    b"X-Forwarded-Proto: https\r\nX-Script-Name: /p\r\n" + CLOSE,
    "body": b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc",
    "list": b"GET /list HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "HEAD": b"HEAD /p HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "no content": b"GET /nothing HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "odd method": b"BREW /p HTTP/1.1\r\nHost: h\r\n" + CLOSE,
    "upgrade": b"GET /p HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}


@dataclass(frozen=True)
class Probe:
    """A running granian server of the probe application."""

    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    def connect(self):
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, request):
        """Send raw bytes and return everything that the server sends."""
        with self.connect() as client:
            client.sendall(request)
            client.settimeout(1.0)
            return received(client)

    def noted(self, text):
        """Return whether the application has logged a line."""
        return self.log.exists() and text in self.log.read_text().splitlines()


def received(client):
    """Read until the end of the connection, or until the timeout."""
    answer = b""
    with contextlib.suppress(TimeoutError):
        while data := client.recv(65_536):
            answer += data
    return answer


@contextlib.contextmanager
def serving(folder, interface, target):
    port, log = reserve_port(), folder / "log"
    line = [sys.executable, "-m", "granian", "--http", "1", "--no-ws", "--log-level", "critical"]
    line += ["--interface", interface, "--port", str(port), "--workers-kill-timeout", "10"]
    process = subprocess.Popen(
        [*line, f"tests.wsgi_probe:{target}"], cwd=ROOT, env={**os.environ, "PROBE_LOG": str(log)}
    )
    probe = Probe(port, log, process)
    try:
        wait_until(lambda: is_open(probe))
        yield probe
    finally:
        stop(process)


def is_open(probe):
    """Return whether the server accepts connections."""
    with contextlib.suppress(OSError), probe.connect():
        return True
    return False


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """The application behind the bridge, with four threads."""
    with serving(tmp_path_factory.mktemp("bridge"), "asginl", "bridged") as running:
        yield running


@pytest.fixture(scope="module")
def bare_probe(tmp_path_factory):
    """The same application on granian's own WSGI threads."""
    with serving(tmp_path_factory.mktemp("bare"), "wsgi", "plain") as running:
        yield running


@pytest.mark.parametrize("name", ODD_REQUESTS)
def test_the_environ_is_that_of_granian(probe, bare_probe, name):
    bridged, bare = (parts(one.ask(ODD_REQUESTS[name])) for one in (probe, bare_probe))
    assert bridged == bare


def parts(answer):
    """Split an answer into status, headers without the date, and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    with contextlib.suppress(ValueError):
        body = json.loads(body)
    return status, sorted(line for line in headers if not line.startswith(b"date:")), body


def test_headers_are_latin_1(probe):
    answer = httpx.get(f"http://127.0.0.1:{probe.port}/latin", headers={"A": b"\xe9"})
    assert (b"x-given", b"\xe9") in answer.headers.raw


@pytest.mark.parametrize("size", ["1000", "100000", "10000000", ""])
def test_a_body_arrives_whole_however_it_is_sent_and_read(probe, size):
    data = bytes(1_000_003)
    url = f"http://127.0.0.1:{probe.port}/read?{size}"
    assert httpx.post(url, content=data).text == "1000003 whole"
    assert httpx.post(url, content=iter([data[:70_000], data])).text == "1070003 whole"
    assert httpx.post(url, content=b"").text == "0 whole"


def test_the_100_continue_response_is_sent_when_the_body_is_read(probe):
    with probe.connect() as client:
        client.sendall(
            b"POST /read HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert client.recv(1000).endswith(b"3 whole")


@pytest.mark.parametrize(
    ("head", "length"),
    [(b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", 4), (b"Content-Length: 9\r\n\r\nabc", 3)],
)
def test_a_body_that_breaks_off_never_looks_complete(probe, head, length):
    with probe.connect() as client:
        client.sendall(b"POST /read?1 HTTP/1.1\r\nHost: h\r\n" + head)
    wait_until(lambda: probe.noted(f"broken after {length}"))


def test_pipelined_requests_are_answered_in_order(probe):
    answers = probe.ask(ODD_REQUESTS["body"] + ODD_REQUESTS["list"])
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.index(b'"/p"') < answers.index(b'"/list"')


def test_parts_are_sent_as_they_are_produced_and_a_disconnect_closes_the_iterator(probe):
    with probe.connect() as client:
        client.sendall(b"GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n")
        for number in range(3):
            expected = b"%d\n" % number
            answer = b""
            while expected not in answer:
                answer += client.recv(1000)
            assert b"%d\n" % (number + 1) not in answer
            if number < 2:
                probe.log.with_suffix(f".{number}").touch()
    for number in range(2, 30):
        probe.log.with_suffix(f".{number}").touch()
        time.sleep(0.05)
    wait_until(lambda: probe.noted("ticks closed"))
    assert not probe.log.with_suffix(".30").exists()


def test_a_client_that_does_not_read_pauses_the_iterator_and_its_disconnect_closes_it(probe):
    with probe.connect() as client:
        client.sendall(b"GET /flood HTTP/1.1\r\nHost: h\r\n" + CLOSE)
        client.recv(1000)
        time.sleep(1.0)
        assert not probe.noted("flood given 1000")  # 65 MB; socket buffers are much smaller
        assert not probe.noted("flood closed")
    wait_until(lambda: probe.noted("flood closed"))
    assert len(CHUNK) * 1000 > 60_000_000


def test_an_answer_that_breaks_off_never_looks_complete(probe):
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{probe.port}/failing")
    assert probe.noted("failing closed")


def test_an_exception_of_the_application_is_500(probe):
    assert httpx.get(f"http://127.0.0.1:{probe.port}/raise").status_code == 500


def test_requests_beyond_the_number_of_threads_wait(probe):
    statuses = []

    def ask():
        statuses.append(httpx.get(f"http://127.0.0.1:{probe.port}/wait", timeout=30).status_code)

    threads = [threading.Thread(target=ask) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 9


def test_a_client_that_closes_its_sending_half_gets_no_answer(tmp_path):
    """A limit of granian, described in ADR 33: revise it and the runbook when this test fails."""
    with serving(tmp_path, "asginl", "bridged") as probe, probe.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n" + CLOSE)
        wait_until(lambda: probe.noted("waiting"))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""


def test_a_stopping_server_completes_requests_in_progress(tmp_path):
    with serving(tmp_path, "asginl", "bridged") as probe, probe.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n" + CLOSE)
        wait_until(lambda: probe.noted("waiting"))
        probe.process.send_signal(signal.SIGTERM)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        assert probe.process.wait(20) == 0
