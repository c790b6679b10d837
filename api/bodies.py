"""Reading bodies on the event loop, without waiting for ever for one that does not come."""

import asyncio
import time
from typing import Any

from api.wsgi_bridge import HTTP_DISCONNECT, Receive

BODY_TIMEOUT_S = 10.0
"""Within which a body must have come: who holds connections open keeps others out."""
SWEEP_INTERVAL_S = 1.0


class BodyReader:
    """The bodies that are being read.

    One look a second finds those that are late: a timer for each request cost a cached answer some
    eight microseconds.
    """

    def __init__(self) -> None:
        self._started_at: dict[asyncio.Task[Any], float] = {}
        self._timed_out: set[asyncio.Task[Any]] = set()
        self._is_sweep_scheduled = False

    async def read(self, receive: Receive, length: int) -> bytes:
        """A body; shorter than announced if the client left, or did not send it in time."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever awaits this is one
        self._started_at[task] = time.monotonic()
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
            del self._started_at[task]
            self._timed_out.discard(task)
        return data

    def _schedule_sweep(self) -> None:
        self._is_sweep_scheduled = True
        asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._sweep)

    def _sweep(self) -> None:
        """Give up what is late; look again as long as anybody sends."""
        cutoff = time.monotonic() - BODY_TIMEOUT_S
        for task, started_at in self._started_at.items():
            if started_at < cutoff and task not in self._timed_out:
                self._timed_out.add(task)
                task.cancel()
        self._is_sweep_scheduled = False
        if self._started_at:
            self._schedule_sweep()
