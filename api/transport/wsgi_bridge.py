"""Runs a WSGI application (Flask) behind an ASGI server.

The loop moves bytes, a thread of a pool runs the application. Nothing is buffered in between: the
body is received as the application reads it, and a response is sent as the client accepts it. Both
sides notice when the client disconnects: a body that breaks off raises, and the iterator of a
response is closed, which releases its resources.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from io import RawIOBase
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import ClientDisconnected

from api.http.context import RECEIVE
from shared.tracing.current import is_tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[str, str]]

HTTP_REQUEST, HTTP_DISCONNECT = "http.request", "http.disconnect"

STALL_TIMEOUT_S, MIN_STALL_BYTES = 20.0, 4096
"""A body that brings fewer bytes in this time is given up, so that no client holds a thread, and a
slot for bodies, for ever."""

SEND_TIMEOUT_S = 60.0
"""A client that accepts no part of a response for this long counts as disconnected."""

UNPREFIXED = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class WsgiBridge:
    """An ASGI application that calls a WSGI application on a thread pool.

    Args:
        application: the WSGI application.
        threads: size of the pool; threads start when they are needed.
    """

    def __init__(self, application: "WSGIApplication", threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")
        self.submit = self._threads.submit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request.

        Args:
            scope: of an `http` request.
            receive: returns parts of the body, then `http.disconnect`.
            send: takes the response.
        """
        loop = asyncio.get_running_loop()
        environ = make_environ(scope, RequestBody(loop, receive))
        environ[RECEIVE] = receive
        answer = ResponseSender(loop, receive, send)
        write = partial(answer.write, self._application, environ)
        if is_tracing():
            write = partial(copy_context().run, write)
        try:
            end = await loop.run_in_executor(self._threads, write)
        except ClientDisconnectedError:
            return
        await answer.finish(end)


class ClientDisconnectedError(Exception):
    """The client does not accept the response any more."""


class RequestBody(RawIOBase):
    """`wsgi.input`: the body, received from the loop by the thread that reads it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive) -> None:
        super().__init__()
        self._loop = loop
        self._receive = receive
        self._buffer = bytearray()
        self._is_complete = False
        self._is_disconnected = False

    def readable(self) -> bool:
        """Say that the stream can be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, fewer at the end; -1: all.

        Raises:
            ClientDisconnected: the client disconnected before the end, or stalls.
        """
        wanted = sys.maxsize if size is None or size < 0 else size
        if len(self._buffer) < wanted and not self._is_complete:
            self._await(asyncio.run_coroutine_threadsafe(self._receive_until(wanted), self._loop))
        data = bytes(self._buffer[:wanted])
        del self._buffer[:wanted]
        if not data and wanted and self._is_disconnected:
            raise ClientDisconnected
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, as `read`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _await(self, pulling: Future[None]) -> None:
        """Wait for a part of the body while enough bytes arrive."""
        while True:
            before = len(self._buffer)
            try:
                pulling.result(STALL_TIMEOUT_S)
            except TimeoutError:
                if len(self._buffer) - before >= MIN_STALL_BYTES:
                    continue
                pulling.cancel()
                self._buffer.clear()
                self._is_complete = self._is_disconnected = True
            return

    async def _receive_until(self, wanted: int) -> None:
        while len(self._buffer) < wanted and not self._is_complete:
            message = await self._receive()
            self._is_disconnected = message["type"] == HTTP_DISCONNECT
            self._is_complete = self._is_disconnected or not message["more_body"]
            self._buffer += message.get("body", b"")


class ResponseSender:
    """Sends one response from a thread to the client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self._loop = loop
        self._receive = receive
        self._send = send
        self._start_message: Message | None = None
        self._content_length: int | None = None
        self._disconnect_watcher: asyncio.Task[None] | None = None
        self._is_disconnected = False

    def write(self, application: "WSGIApplication", environ: "WSGIEnvironment") -> bytes:
        """Call the application and send all but the last part; to be called by a thread.

        Raises:
            ClientDisconnectedError: the client does not accept it.
        """
        chunks = application(environ, self._start)
        try:
            return self._write(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    async def finish(self, end: bytes) -> None:
        """Send the last part."""
        if self._disconnect_watcher is not None:
            self._disconnect_watcher.cancel()
        await self._send_part(end, more=False)

    def _start(self, status: str, headers: Headers, _: Any = None, /) -> Callable[[bytes], object]:
        """`start_response`; another call before the first byte replaces status and headers."""
        self._content_length = next(
            (int(value) for name, value in headers if name.lower() == "content-length"), None
        )
        self._start_message = {
            "type": "http.response.start",
            "status": int(status[:3]),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ],
        }
        return self._write_part

    def _write(self, chunks: Iterable[bytes]) -> bytes:
        """Send chunks as they come; return the last one if the length tells which it is."""
        written = 0
        for chunk in chunks:
            written += len(chunk)
            if self._content_length is not None and written >= self._content_length:
                return chunk
            if chunk:
                self._write_part(chunk)
        return b""

    def _write_part(self, chunk: bytes) -> None:
        """Send a chunk that is not the last; returns when the client can take more."""
        if self._is_disconnected:
            raise ClientDisconnectedError
        sending = asyncio.run_coroutine_threadsafe(self._send_part(chunk, more=True), self._loop)
        try:
            sending.result(SEND_TIMEOUT_S)
        except TimeoutError as error:
            sending.cancel()
            raise ClientDisconnectedError from error

    async def _send_part(self, chunk: bytes, *, more: bool) -> None:
        if self._start_message is not None:
            await self._send(self._start_message)
            self._start_message = None
            if more:
                self._disconnect_watcher = self._loop.create_task(self._watch_disconnect())
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _watch_disconnect(self) -> None:
        """Note when the client disconnects; drop what it still sends."""
        while (await self._receive())["type"] != HTTP_DISCONNECT:
            pass
        self._is_disconnected = True


def make_environ(scope: Scope, body: RequestBody) -> "WSGIEnvironment":
    """Make the WSGI environment of a request (PEP 3333)."""
    server, client = scope.get("server") or ("", 0), scope.get("client") or ("", 0)
    prefix = scope.get("root_path", "")
    path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": prefix,
        "PATH_INFO": path.removeprefix(prefix),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        # werkzeug reads a body of unknown length only from servers that signal its end.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        key = UNPREFIXED.get(name) or "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
