"""What the requests for single cars on one event loop share while they wait."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from api.events.departures import ClientLeftError, Departures, Receive
from api.loops.ticks import TickBatcher
from api.valuations.lookups import CacheLookup
from api.valuations.micro_batches import EstimateFuture
from shared.domain.errors import DomainError
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
        self._departures = Departures(loop)

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
            self._departures.watch(lookup.id, receive, lambda: self._end_wait(lookup.id))
        try:
            await answered
        except (ClientLeftError, asyncio.CancelledError):
            # No worker shall value it, if it is not sent yet.
            with contextlib.suppress(DomainError):
                lookup.future.abandon()
            raise
        finally:
            for timer in timers:
                timer.cancel()
            self._waiting.pop(lookup.id, None)
            self._departures.forget(lookup.id)

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

    def _end_wait(self, lookup_id: str) -> None:
        """End the wait of a request whose client has left."""
        answered = self._waiting.pop(lookup_id, None)
        if answered is not None and not answered.done():
            answered.set_exception(ClientLeftError())
