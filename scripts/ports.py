"""Reserves TCP ports for the servers that tests and benchmarks start."""

import errno
import random
import socket

PORTS = range(20_000, 30_000)
"""Below the ports that Linux assigns to clients (32768 and above), so that no outgoing connection
takes a port between its reservation and the start of its server."""

_reservations: list[socket.socket] = []


def reserve_port() -> int:
    """Return a port of 127.0.0.1 that no server uses, reserved until this process ends.

    granian binds with SO_REUSEPORT: two servers on one port start without an error and share the
    connections. A port is therefore given to one caller only, across all processes that call this
    function. The reservation is an abstract Unix socket named after the port; the kernel removes it
    with the process.

    Raises:
        RuntimeError: every port is reserved or in use.
    """
    for port in random.sample(PORTS, len(PORTS)):
        if _is_reserved_now(port) and _is_unused(port):
            return port
    raise RuntimeError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


def _is_reserved_now(port: int) -> bool:
    """Try to reserve a port; False if a process, this one included, has reserved it before."""
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0carprice-port-{port}")
    except OSError as error:
        reservation.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    _reservations.append(reservation)
    return True


def _is_unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
