"""The heartbeat of the API: its event loop turns, and its threads take work."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from shared.heartbeat import BEAT_INTERVAL_S, Heartbeat

if TYPE_CHECKING:
    from concurrent.futures import Future

Submit: TypeAlias = Callable[[Callable[[], None]], "Future[None]"]
"""`submit` of a thread pool."""


class LoopHeartbeat:
    """Writes the heartbeat of the process while its event loop and its thread pools work.

    Each pool is given an empty piece of work at an interval. A pool that does not take it in time
    is deadlocked: its requests will not end either.

    Args:
        pools: the pools, with the longest time in seconds that work may wait there.
        heartbeat: of this process.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pools: Mapping[Submit, float],
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools = pools
        self._heartbeat = heartbeat
        self._clock = clock
        self._given: dict[Submit, tuple[float, Future[None]]] = {}
        self._is_started = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start in an event loop, once."""
        if not self._is_started:
            self._is_started = True
            loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self.beat()
        loop.call_later(BEAT_INTERVAL_S, self._turn, loop)

    def beat(self) -> None:
        """Write the heartbeat unless a pool is deadlocked."""
        now = self._clock()
        is_working = True
        for submit, limit_s in self._pools.items():
            at, work = self._given.get(submit, (now, None))
            if work is None or work.done():
                self._given[submit] = now, submit(_do_nothing)
            elif now - at > limit_s:
                is_working = False
        if is_working:
            self._heartbeat.beat()


def _do_nothing() -> None:
    """Work that shows that a thread takes it."""
