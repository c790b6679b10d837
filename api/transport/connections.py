"""Closes idle connections before the server has no room for new ones.

The server keeps a bounded number of connections and accepts no further one until one ends. Clients
keep connections open that they do not use, or open them and send nothing. When most places are
taken, those that have been idle the longest are closed; clients connect again for their next
request.
"""

import contextlib
import os
import resource
import socket
import struct
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from shared.logging import get_logger
from shared.metrics import CONNECTIONS_CLOSED

Peer: TypeAlias = tuple[str, str]
"""Address and port of a client, as granian writes them into the `client` of a scope."""

OTHER_DESCRIPTORS = 640
"""Files, connections to Redis and downloads, besides the connections of clients."""

CLOSE_ABOVE_SHARE, KEEP_SHARE = 0.75, 0.5
"""Above the first share of the places, idle connections are closed until the second one is left."""

MIN_IDLE_S = 2.0
"""Connections that were used within this time are not closed."""

CHECK_INTERVAL_S = 0.5
MAX_CHECK_INTERVAL_S = 4.0
"""Interval while all connections are in use and none can be closed."""

DESCRIPTORS = Path("/proc/self/fd")
# Of `struct tcp_info` of Linux: the state, and milliseconds since data were sent and received.
_TCP_INFO = struct.Struct("=B43xI4xI")
_ESTABLISHED = 1

log = get_logger("connections")


def allow_descriptors(count: int) -> int:
    """Raise the limit of open files of this process to `count`, as far as the system allows.

    Returns:
        The limit from now on.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else count
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class IdleConnectionCloser:
    """Closes idle connections of this process when their number comes near the limit.

    Args:
        port: the port that the server listens on.
        active: peers of the requests that are being answered; their connections stay.
        max_connections: how many connections the server keeps.
    """

    def __init__(self, port: int, active: Collection[Peer], max_connections: int) -> None:
        self._port = port
        self._active = active
        self._close_above = int(CLOSE_ABOVE_SHARE * max_connections)
        self._keep = int(KEEP_SHARE * max_connections)
        self._is_crowded = False

    def start(self) -> None:
        """Start the thread that checks the connections."""
        threading.Thread(target=self._run, name="connections", daemon=True).start()

    def check(self) -> int:
        """Close idle connections if there are too many; return how many were closed."""
        descriptors = [int(path.name) for path in DESCRIPTORS.iterdir()]
        self._is_crowded = len(descriptors) > self._close_above
        if not self._is_crowded:
            return 0
        states = [(self._state(number), number) for number in descriptors]
        count = sum(state.is_open for state, _ in states)
        self._is_crowded = count > self._close_above
        if not self._is_crowded:
            return 0
        idle = sorted((state.idle_s, number) for state, number in states if self._may_close(state))
        closed = sum(self._close(number) for _, number in idle[::-1][: count - self._keep])
        CONNECTIONS_CLOSED.inc(closed)
        if closed:
            log.info("idle_connections_closed", closed=closed, open=count)
        return closed

    def _state(self, descriptor: int) -> "_State":
        with _duplicate(descriptor) as connection:
            return _state(connection, self._port)

    def _may_close(self, state: "_State") -> bool:
        return state.is_open and state.idle_s >= MIN_IDLE_S and state.peer not in self._active

    def _close(self, descriptor: int) -> bool:
        """Close a connection if the descriptor still is one that may be closed."""
        # Of the duplicate: the server may close the descriptor meanwhile and use it again.
        with _duplicate(descriptor) as connection:
            if connection is None or not self._may_close(_state(connection, self._port)):
                return False
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            return True

    def _run(self) -> None:
        interval_s = CHECK_INTERVAL_S
        while not threading.Event().wait(interval_s):
            try:
                is_in_vain = self.check() == 0 and self._is_crowded
            except Exception as error:
                log.exception("connections_not_checked", error=str(error))
                is_in_vain = True
            interval_s = (
                min(2 * interval_s, MAX_CHECK_INTERVAL_S) if is_in_vain else CHECK_INTERVAL_S
            )


class _State(NamedTuple):
    """State of a descriptor."""

    is_open: bool = False
    """Whether it is an established connection of a client."""
    idle_s: float = 0.0
    """Time without any data, seconds."""
    peer: Peer = ("", "")


@contextlib.contextmanager
def _duplicate(descriptor: int) -> Iterator[socket.socket | None]:
    """A duplicate of an open socket; None if the descriptor is closed or something else."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        yield None
        return
    with connection:
        yield connection


def _state(connection: socket.socket | None, port: int) -> _State:
    """State of a connection to a port of this process."""
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return _State()
    try:
        if connection.getsockname()[1] != port:
            return _State()
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, sent_ms, received_ms = _TCP_INFO.unpack(info)
        address, port_of_peer = connection.getpeername()[:2]
    except (OSError, struct.error):
        return _State()
    return _State(
        state == _ESTABLISHED, min(sent_ms, received_ms) / 1000, (address, str(port_of_peer))
    )
