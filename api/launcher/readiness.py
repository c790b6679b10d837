"""Asks the running service, and the servers under it, whether they are ready."""

import http.client
import socket
from collections.abc import Sequence
from pathlib import Path

PROBE_TIMEOUT_S = 1.0
UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked about, not bound
"""Where to reach a server that listens on every address."""


def local_address(host: str, port: int) -> str:
    """`host:port` of the API, as this machine reaches it."""
    reachable = UNSPECIFIED.get(host, host)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


def server_answers(path: Path) -> bool:
    """Whether a Redis-protocol server on this socket takes commands (its data is loaded)."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def servers_answer(paths: Sequence[Path]) -> bool:
    """Whether all of these servers take commands."""
    return all(server_answers(path) for path in paths)


def api_state(address: str) -> tuple[bool, str]:
    """Whether `/readyz` is green, and what it (or the connection) says."""
    connection = http.client.HTTPConnection(address, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from http://{address}/readyz ({error})"
    else:
        return answer.status == http.HTTPStatus.OK, text
    finally:
        connection.close()
