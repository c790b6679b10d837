"""Ports that tests and benchmarks reserve for their servers."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import ports

ROOT = Path(__file__).parents[2]
FEW = range(18_700, 18_720)
RESERVE_ALL = f"""
from scripts import ports
ports.PORTS = {FEW!r}
try:
    while True:
        print(ports.reserve_port())
except RuntimeError:
    pass
"""


def test_no_two_processes_get_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", FEW)
    own = {ports.reserve_port() for _ in range(5)}
    printed = subprocess.run(
        [sys.executable, "-c", RESERVE_ALL], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    others = [int(port) for port in printed.split()]
    assert len(own) == 5
    assert others
    assert len(own | set(others)) == len(own) + len(others)


def test_a_port_that_a_server_uses_is_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        monkeypatch.setattr(ports, "PORTS", range(port, port + 1))
        with pytest.raises(RuntimeError, match="no free port"):
            ports.reserve_port()
