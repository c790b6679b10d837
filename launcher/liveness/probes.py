"""Probes: whether a server answers."""

import socket
import threading
import time
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 5.0
REDIS_PORT = 6379
SENTINEL_PORT = 26_379

Probe: TypeAlias = Callable[[], bool]
"""Whether a server answers; it may take as long as `PROBE_TIMEOUT_S`."""


class Prober:
    """Probes a server on a thread of its own.

    Args:
        probe: called at an interval.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.answers = 0
        """Number of answers so far."""
        self.is_answering = True
        self.is_needed = True
        """Whether to probe now."""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def _run(self) -> None:
        while True:
            if self.is_needed:
                self.is_answering = self._probe()
                self.answers += self.is_answering
            time.sleep(PROBE_INTERVAL_S)


def redis_probe(url: str) -> Probe:
    """A probe that sends PING to a Redis server, or to one of the sentinels that know it.

    Any answer counts: a server that loads its data, refuses the command or wants a password first
    is alive. The password of the URL is not sent. Of a service with sentinels one of these has to
    answer: whether the primary works is not known without a password.
    """

    def probe() -> bool:
        return any(_answers_ping(each) for each in _servers(url))

    return probe


def _servers(url: str) -> list[str]:
    """The URLs of the sentinels of a URL, or the URL itself."""
    parts = urlsplit(url)
    if parts.scheme not in {"sentinel", "sentinels"}:
        return [url]
    scheme = "rediss" if parts.scheme == "sentinels" else "redis"
    hosts = [host.strip() for host in parts.netloc.rpartition("@")[2].split(",")]
    return [
        f"{scheme}://{host}" if urlsplit(f"//{host}").port else f"{scheme}://{host}:{SENTINEL_PORT}"
        for host in hosts
    ]


def _answers_ping(url: str) -> bool:
    try:
        with _connected(url) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) != b""
    except (OSError, ValueError):
        return False


def _connected(url: str) -> socket.socket:
    """A connection to the server of a Redis URL; raises `OSError`."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PROBE_TIMEOUT_S)
        try:
            connection.connect(unquote(parts.path))
        except OSError:
            connection.close()
            raise
        return connection
    place = (parts.hostname or "localhost", parts.port or REDIS_PORT)
    connection = socket.create_connection(place, PROBE_TIMEOUT_S)
    if parts.scheme != "rediss":
        return connection
    import ssl  # noqa: PLC0415 - for such URLs only: `foreground` is to stay small

    # Nothing secret is sent, so whose certificate it is does not matter.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connection:  # `wrap_socket` takes the descriptor over
        return context.wrap_socket(connection, server_hostname=parts.hostname)


def http_probe(address: str, path: str) -> Probe:
    """A probe that sends a GET request; any answer counts.

    Written out, because the library's parser takes 6 MB of a process that is to stay small.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()

    def probe() -> bool:
        try:
            place = urlsplit(f"//{address}")
            with socket.create_connection((place.hostname, place.port), PROBE_TIMEOUT_S) as server:
                server.sendall(request)
                return server.recv(1) != b""
        except (OSError, ValueError):
            return False

    return probe
