"""Work that one turn of an event loop gathers."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TickFuture(asyncio.Future[None]):
    """The end of a turn, for all who take part: none of them can cancel it for the others."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature of a future
        """Refuse; a task that is cancelled while it waits here ends with the turn."""
        return False


class TickBatcher(Generic[T]):
    """Does something once for all that come during one turn of the loop: a write, a hand-over.

    The more come at once, the less each of them costs; one alone waits for nobody.

    Args:
        do: takes what came; must not block.
    """

    def __init__(self, do: Callable[[list[T]], None]) -> None:
        self._do = do
        self._items: list[T] = []
        self._done: TickFuture | None = None

    def add(self, item: T) -> asyncio.Future[None]:
        """Take part in this turn; the future has the end of it, and is everybody's."""
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
            self._do(items)
        except Exception as error:  # noqa: BLE001 - each who takes part raises it
            done.set_exception(error)
        else:
            done.set_result(None)
