"""A body or a reader that hardly moves is given up; who is slow but moves is not."""

import asyncio
import threading

import pytest
from werkzeug.exceptions import ClientDisconnected

from api.transport import wsgi_bridge
from api.transport.wsgi_bridge import (
    MIN_STALL_BYTES,
    ClientDisconnectedError,
    RequestBody,
    ResponseSender,
)


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def body_of(loop, *parts, pause_s):
    """A body whose parts come one after the other, and then nothing."""
    left = list(parts)

    async def receive():
        if not left:
            await asyncio.Event().wait()
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    return RequestBody(loop, receive)


def test_a_body_that_does_not_come_is_given_up(loop, monkeypatch):
    monkeypatch.setattr(wsgi_bridge, "STALL_TIMEOUT_S", 0.05)
    body = body_of(loop, b"{", pause_s=0.0)
    with pytest.raises(ClientDisconnected):
        body.read(10)
    with pytest.raises(ClientDisconnected):
        body.read(10)


def test_a_body_that_comes_slowly_is_read_to_its_end(loop, monkeypatch):
    monkeypatch.setattr(wsgi_bridge, "STALL_TIMEOUT_S", 0.3)
    part = b"x" * MIN_STALL_BYTES
    body = body_of(loop, *[part] * 10, pause_s=0.1)
    assert body.read(10 * MIN_STALL_BYTES) == part * 10


def test_an_answer_that_nobody_takes_is_given_up(loop, monkeypatch):
    monkeypatch.setattr(wsgi_bridge, "SEND_TIMEOUT_S", 0.05)

    async def never(*_):
        await asyncio.Event().wait()

    answer = ResponseSender(loop, never, never)
    closed = []

    def application(_, start_response):
        start_response("200 OK", [])
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    with pytest.raises(ClientDisconnectedError):
        answer.write(application, {})
    assert closed
