"""What the requests for single cars on one event loop share while they wait."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from api.events.waits import SWEEP_S, ClientLeftError, Receive, departure
from api.loops.ticks import TickBatcher
from api.valuations.lookups import CacheLookup
from api.valuations.micro_batches import EstimateFuture
from shared.domain.valuation import AuditRecord
from shared.metrics import observe_valuations

MIN_WAIT_S = 0.5
"""Time that the cache server gets to answer, even for callers who wait for no worker."""


class LoopState:
    """What the requests of one event loop share.

    Args:
        loop: the loop.
        record: records the answers from the cache; called once per tick.
        submit: takes the requests that this process has no estimate for; called once per tick.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        record: Callable[[list[AuditRecord]], asyncio.Future[None] | None],
        submit: Callable[[list[CacheLookup]], None],
    ) -> None:
        self.loop = loop
        self.records: TickBatcher[AuditRecord] = TickBatcher(record)
        self.prices: TickBatcher[float] = TickBatcher(observe_valuations)
        self.lookups: TickBatcher[CacheLookup] = TickBatcher(submit)
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._unwatched: dict[str, Receive] = {}
        """The requests that wait, and of whose client nobody looks yet whether it leaves."""
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._is_sweep_scheduled = False

    async def ask(self, lookup: CacheLookup, wait_s: float, receive: Receive | None = None) -> None:
        """Ask cache server and workers; returns with an answer or when the wait is over.

        Raises:
            ClientLeftError: the client has left.
        """
        answered = self._waiting[lookup.id] = self.loop.create_future()
        self.lookups.add(lookup)
        timers = [self.loop.call_later(max(wait_s, MIN_WAIT_S), self._wake, [lookup.id])]
        if 0 < wait_s < MIN_WAIT_S:
            timers.append(self.loop.call_later(wait_s, self._wake_if_sent, lookup))
        if receive is not None:
            self._unwatched[lookup.id] = receive
            self._schedule_sweep()
        try:
            await answered
        finally:  # a server may cancel the task of a client that has left
            for timer in timers:
                timer.cancel()
            self._waiting.pop(lookup.id, None)
            self._unwatched.pop(lookup.id, None)
            if (watcher := self._watchers.pop(lookup.id, None)) is not None:
                watcher.cancel()

    def on_done(self, futures: Sequence[EstimateFuture]) -> None:
        """Wake the requests of these futures by one call; for other threads."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
            self.loop.call_soon_threadsafe(self._wake, [each.id for each in futures])

    def _wake_if_sent(self, lookup: CacheLookup) -> None:
        if lookup.is_sent:
            self._wake([lookup.id])

    def _wake(self, ids: Sequence[str]) -> None:
        for each in ids:
            answered = self._waiting.pop(each, None)
            if answered is not None and not answered.done():
                answered.set_result(None)

    def _schedule_sweep(self) -> None:
        if not self._is_sweep_scheduled:
            self._is_sweep_scheduled = True
            self.loop.call_later(SWEEP_S, self._watch_clients)

    def _watch_clients(self) -> None:
        """Look from now on whether the clients leave: most requests are answered before."""
        self._is_sweep_scheduled = False
        while self._unwatched:
            lookup_id, receive = self._unwatched.popitem()
            self._watchers[lookup_id] = self.loop.create_task(self._end_wait(lookup_id, receive))

    async def _end_wait(self, lookup_id: str, receive: Receive) -> None:
        """End the wait of a request when its client leaves."""
        await departure(receive)
        answered = self._waiting.pop(lookup_id, None)
        if answered is not None and not answered.done():
            answered.set_exception(ClientLeftError())
