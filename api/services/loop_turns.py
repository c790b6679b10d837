"""Work that one turn of an event loop gathers."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerTurn(Generic[T]):
    """Does something once for all that come during one turn of the loop: a write, a hand-over.

    The more come at once, the less each of them costs; one alone waits for nobody.

    Args:
        do: takes what came; must not block.
    """

    def __init__(self, do: Callable[[list[T]], None]) -> None:
        self._do = do
        self._items: list[T] = []
        self._done: asyncio.Future[None] | None = None

    def add(self, item: T) -> asyncio.Future[None]:
        """Take part in this turn; the future has the end of it, and is everybody's."""
        if self._done is None:
            loop = asyncio.get_running_loop()
            self._done = loop.create_future()
            loop.call_soon(self._end_turn)
        self._items.append(item)
        return self._done

    def _end_turn(self) -> None:
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
