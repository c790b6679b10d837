"""Servers that answer what a test says, byte by byte, over a real socket."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket, bytes], None]
"""What a server does with a connection and the head of a request; then it is closed."""


@contextlib.contextmanager
def running(*behaviours: Behaviour) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server; gives its address and the heads of the requests that came.

    Args:
        behaviours: of the first request, the second …; the last one is repeated.
    """
    heads: list[bytes] = []
    stopped = threading.Event()

    def serve(server: socket.socket) -> None:
        while not stopped.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                head = _head(connection)
                heads.append(head)
                behaviours[min(len(heads), len(behaviours)) - 1](connection, head)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", heads
        finally:
            stopped.set()
            server.shutdown(socket.SHUT_RDWR)


def _head(connection: socket.socket) -> bytes:
    """Read the head of a request and its body, if its length is given."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (block := connection.recv(65_536)):
            return data
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    missing = int(fields.get(b"content-length", b"0")) - len(rest)
    while missing > 0 and (block := connection.recv(65_536)):
        missing -= len(block)
    return head


def answer(
    body: bytes, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> Behaviour:
    """Answer with a body and its length."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    content = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda connection, _: connection.sendall(content)


def say(content: bytes) -> Behaviour:
    """Send bytes and close the connection."""
    return lambda connection, _: connection.sendall(content)


def trickle(content: bytes, begin: bytes = b"", pause_s: float = 0.05) -> Behaviour:
    """Send bytes one by one until the other side leaves."""

    def send(connection: socket.socket, _: bytes) -> None:
        connection.sendall(begin)
        waiting = threading.Event()
        while True:
            connection.sendall(content)
            waiting.wait(pause_s)

    return send


def hang(connection: socket.socket, _: bytes) -> None:
    """Answer nothing until the other side leaves."""
    connection.recv(1)
