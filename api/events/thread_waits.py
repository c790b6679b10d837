"""Waits and streams of Flask's threads, which the event loop carries out."""

import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from api.events.departures import ClientLeftError, Receive
from api.events.streams import HEARTBEAT_S
from api.events.waits import Client, Waits
from api.loops.event_loops import EventLoops
from shared.domain.errors import TooManyTransfers

if TYPE_CHECKING:
    from api.limits import ConcurrencyLimiter

T = TypeVar("T")
_OVER = object()


class ThreadWaits:
    """Lets threads wait, and send streams, as far as there are threads for it.

    Args:
        waits: the waits of the process.
        loops: the loop that waits.
        long_waits: bounds the waiting threads.
        streams: bounds the threads that send streams.
        disconnects: `receive` of the request of the current thread, if there is one.
    """

    def __init__(
        self,
        waits: Waits,
        loops: EventLoops,
        *,
        long_waits: threading.Semaphore,
        streams: "ConcurrencyLimiter",
        disconnects: Callable[[], Receive | None] = lambda: None,
    ) -> None:
        self._waits = waits
        self._loops = loops
        self._long_waits = long_waits
        self._streams = streams
        self._disconnects = disconnects

    def client(self) -> Client:
        """Who waits in this thread: when the client of its request leaves, the wait ends."""
        return Client(receive=self._disconnects())

    @contextmanager
    def slot(self, timeout_s: float) -> Iterator[float]:
        """How long this thread may wait: not at all if too many threads wait."""
        has_slot = timeout_s > 0 and self._long_waits.acquire(blocking=False)
        try:
            yield timeout_s if has_slot else 0.0
        finally:
            if has_slot:
                self._long_waits.release()

    def poll(
        self,
        state_id: str,
        read: Callable[[], T],
        is_done: Callable[[T], bool],
        timeout_s: float,
        *,
        progress: bool = False,
    ) -> T:
        """Read a state until it is done or the time is over; once if too many threads wait."""
        state = read()
        if is_done(state):
            return state
        with self.slot(timeout_s) as waited_s:
            if not waited_s:
                return state
            polled = self._waits.poll(
                state_id,
                lambda: self._loops.run_in_thread(read),
                is_done,
                waited_s,
                self.client(),
                progress=progress,
            )
            try:
                return self.run(polled, waited_s)
            except ClientLeftError:  # nobody reads what is answered
                return state

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run a coroutine on the loop; see `EventLoops.call`."""
        return self._loops.call(coroutine, timeout_s)

    def acquire_stream(self, caller: str) -> Callable[[], None]:
        """Take a slot for a stream; returns the function that releases it, to be called once.

        Args:
            caller: see `ConcurrencyLimiter.acquire`.

        Raises:
            TooManyTransfers: no slot is free.
        """
        self._streams.acquire(caller, timeout_s=0.0)
        if not self._long_waits.acquire(blocking=False):
            self._streams.release(caller)
            raise TooManyTransfers

        def release() -> None:
            self._long_waits.release()
            self._streams.release(caller)

        return release

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """What a generator yields on the loop, one after the other."""

        async def step() -> T | object:
            return await anext(items, _OVER)

        try:
            while (item := self.run(step(), HEARTBEAT_S)) is not _OVER:
                yield item  # type: ignore[misc] # it is not `_OVER`
        finally:
            self.run(items.aclose(), HEARTBEAT_S)
