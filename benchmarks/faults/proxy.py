"""A TCP proxy between the service and its broker that misbehaves on request."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Self

BLOCK_BYTES = 65_536
POLL_S = 0.05


class Mode(Enum):
    """What the proxy does with the bytes of its connections."""

    PASS = "pass"
    DROP_REPLIES = "drop replies"
    """Commands arrive at the broker, replies are thrown away."""
    BLACKHOLE = "blackhole"
    """Nothing arrives anywhere; connections stay open, new ones are accepted."""
    HALF_OPEN = "half-open"
    """The broker's side is closed; the service's side stays open without a word."""


class Proxy:
    """Forwards connections from a TCP port of this machine to a Unix socket.

    Args:
        port: port to listen on.
        target: socket of the broker.
    """

    def __init__(self, port: int, target: Path) -> None:
        self.mode = Mode.PASS
        self._target = target
        self._is_closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)

    def __enter__(self) -> Self:
        """Start to listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self._is_closed.set()
        self._listener.close()

    @contextlib.contextmanager
    def misbehaving(self, mode: Mode) -> Iterator[None]:
        """Misbehave; afterwards all connections of that time are closed."""
        self.mode = mode
        try:
            yield
        finally:
            self.mode = Mode.PASS

    def _accept(self) -> None:
        while not self._is_closed.is_set():
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Forward one connection until it ends, or until misbehaviour ends."""
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            if not self._misbehaves():
                server.connect(str(self._target))
                while not self._misbehaves() and self._forward(client, server):
                    pass
            mode: Mode = self.mode
            if mode is Mode.HALF_OPEN:
                server.close()
            while self._misbehaves_as(mode) and not self._is_closed.is_set():
                if mode is Mode.DROP_REPLIES:
                    self._drop_replies(client, server)
                else:
                    self._is_closed.wait(POLL_S)

    def _misbehaves(self) -> bool:
        return self.mode is not Mode.PASS

    def _misbehaves_as(self, mode: Mode) -> bool:
        return self.mode is mode and mode is not Mode.PASS

    @staticmethod
    def _forward(client: socket.socket, server: socket.socket) -> bool:
        for one in _readable(client, server):
            block = one.recv(BLOCK_BYTES)
            if not block:
                return False
            (server if one is client else client).sendall(block)
        return True

    def _drop_replies(self, client: socket.socket, server: socket.socket) -> None:
        for one in _readable(client, server):
            block = one.recv(BLOCK_BYTES)
            if not block:
                self._is_closed.wait(POLL_S)
            elif one is client:
                server.sendall(block)


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    """Those with something to read, after `POLL_S` at most."""
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ, one)
        return [key.data for key, _ in selector.select(POLL_S)]
