"""Reads the bodies of requests on the event loop, and gives up those that are late."""

import asyncio
import time
from typing import Any

from api.transport.admission import AdmissionControl, AdmittedRequest
from api.transport.wsgi_bridge import HTTP_DISCONNECT, HTTP_REQUEST, Message, Receive
from shared.domain.errors import QueueFull

BODY_TIMEOUT_S = 10.0
"""Time in which a body must arrive: an open connection without a body holds memory."""
SLOW_BODY_S = 0.1
"""From this time on, a body that is still being sent does not count as in progress."""
SWEEP_INTERVAL_S = 0.1


class BodyReader:
    """Reads request bodies and gives up those that are late.

    A sweep finds the late ones: a timer per request costs a cache hit 8 us.

    Args:
        admission: a client that is slow to send its body is not in progress meanwhile.
    """

    def __init__(self, admission: AdmissionControl) -> None:
        self._admission = admission
        self._reads: dict[asyncio.Task[Any], tuple[float, AdmittedRequest | None]] = {}
        """When the read of each task began, monotonic seconds, and its request."""
        self._timed_out: set[asyncio.Task[Any]] = set()
        self._is_sweep_scheduled = False

    async def read(
        self, receive: Receive, length: int, request: AdmittedRequest | None = None
    ) -> bytes:
        """Read a body; it is shorter than `length` if the client left or was too slow.

        Args:
            receive: of ASGI.
            length: bytes of the body.
            request: whose body it is; None if it does not count as in progress.

        Raises:
            QueueFull: the body came slowly, and the service has become busy.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._reads[task] = time.monotonic(), request
        if not self._is_sweep_scheduled:
            self._schedule_sweep()
        data = b""
        try:
            while len(data) < length:
                message = await receive()
                if message["type"] == HTTP_DISCONNECT:
                    break
                data += message["body"]
        except asyncio.CancelledError:
            if task not in self._timed_out:
                raise
            task.uncancel()
        finally:
            del self._reads[task]
            self._timed_out.discard(task)
        if request is not None and not self._admission.resume(request):
            raise QueueFull
        return data

    def _schedule_sweep(self) -> None:
        self._is_sweep_scheduled = True
        asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._sweep)

    def _sweep(self) -> None:
        """Cancel late reads; sweep again while any read is under way."""
        now = time.monotonic()
        for task, (started_at, request) in self._reads.items():
            if request is not None and started_at < now - SLOW_BODY_S:
                self._admission.leave(request, is_done=False)
            if started_at < now - BODY_TIMEOUT_S and task not in self._timed_out:
                self._timed_out.add(task)
                task.cancel()
        self._is_sweep_scheduled = False
        if self._reads:
            self._schedule_sweep()


def replay(body: bytes, receive: Receive, *, is_complete: bool) -> Receive:
    """Make a `receive` that returns what was read of a body, then what `receive` returns."""
    read: list[Message] = [{"type": HTTP_REQUEST, "body": body, "more_body": not is_complete}]

    async def receive_again() -> Message:
        return read.pop() if read else await receive()

    return receive_again
