"""Processes what arrives in one iteration of the event loop, a tick, by one call."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TickFuture(asyncio.Future[None]):
    """The end of a tick, shared by all that wait for it: none of them can cancel it."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature of a future
        """Refuse; a task that is cancelled while it waits here ends with the tick."""
        return False


class TickBatcher(Generic[T]):
    """Collects the items of one iteration of the event loop and processes them by one call.

    Args:
        process: takes the items; must not block. The tick ends when it returns, or with the future
            that it returns.
    """

    def __init__(self, process: Callable[[list[T]], asyncio.Future[None] | None]) -> None:
        self._process = process
        self._items: list[T] = []
        self._done: TickFuture | None = None

    def add(self, item: T) -> asyncio.Future[None]:
        """Add an item; the future ends with the call, and raises what the call raised."""
        if self._done is None:
            loop = asyncio.get_running_loop()
            self._done = TickFuture(loop=loop)
            loop.call_soon(self._flush_tick)
        self._items.append(item)
        return self._done

    def _flush_tick(self) -> None:
        items, done = self._items, self._done
        self._items, self._done = [], None
        if done is None:
            return
        try:
            processed = self._process(items)
        except Exception as error:  # noqa: BLE001 - raised by all that wait for the tick
            done.set_exception(error)
            return
        if processed is None:
            done.set_result(None)
        else:
            processed.add_done_callback(lambda ended: _copy_outcome(ended, done))


def _copy_outcome(ended: asyncio.Future[None], done: TickFuture) -> None:
    error = ended.exception()
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
