"""Reading bodies on the event loop, without waiting for ever for one that does not come."""

import asyncio
import time
from typing import Any

from api.wsgi_bridge import LEFT, Receive

BODY_TIMEOUT_S = 10.0
"""Within which a body must have come: who holds connections open keeps others out."""
LOOK_EVERY_S = 1.0


class Bodies:
    """The bodies that are being read.

    One look a second finds those that are late: a timer for each request cost a cached answer some
    eight microseconds.
    """

    def __init__(self) -> None:
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._is_looking = False

    async def read(self, receive: Receive, length: int) -> bytes:
        """A body; shorter than announced if the client left, or did not send it in time."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever awaits this is one
        self._begun[task] = time.monotonic()
        if not self._is_looking:
            self._look_later()
        data = b""
        try:
            while len(data) < length:
                message = await receive()
                if message["type"] == LEFT:
                    break
                data += message["body"]
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
        finally:
            del self._begun[task]
            self._late.discard(task)
        return data

    def _look_later(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Give up what is late; look again as long as anybody sends."""
        latest = time.monotonic() - BODY_TIMEOUT_S
        for task, begun in self._begun.items():
            if begun < latest and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._is_looking = False
        if self._begun:
            self._look_later()
