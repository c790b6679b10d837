"""Notices that clients leave, so that nothing waits on their behalf any longer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from typing import Any, TypeAlias, TypeVar

WATCHED_AFTER_S = 0.2
"""A shorter wait ends before anybody looks whether its client has left."""

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
T = TypeVar("T")


class ClientLeftError(Exception):
    """The client has disconnected: nobody waits for the answer."""


class Departures:
    """Watches the clients of the requests that wait on one event loop.

    Requests that end within `WATCHED_AFTER_S`, as most do, cost no task.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._new: dict[Hashable, tuple[Receive, Callable[[], None]]] = {}
        """Of each request that is not watched yet: its `receive`, and what to call."""
        self._watchers: dict[Hashable, asyncio.Task[None]] = {}
        self._is_scheduled = False

    def watch(self, request: Hashable, receive: Receive, on_left: Callable[[], None]) -> None:
        """Call `on_left` when the client of a request leaves, until `forget`.

        Args:
            request: which one.
            receive: of ASGI; the body was read.
            on_left: what to call, on the loop.
        """
        self._new[request] = receive, on_left
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_later(WATCHED_AFTER_S, self._watch_new)

    def forget(self, request: Hashable) -> None:
        """Watch the client of a request no more; nothing happens if it was not watched."""
        self._new.pop(request, None)
        if (watcher := self._watchers.pop(request, None)) is not None:
            watcher.cancel()

    def _watch_new(self) -> None:
        self._is_scheduled = False
        for request, (receive, on_left) in self._new.items():
            self._watchers[request] = self._loop.create_task(_call_when_left(receive, on_left))
        self._new = {}


async def while_present(work: Callable[[], Coroutine[Any, Any, T]], receive: Receive | None) -> T:
    """The result of what a client waits for; it is cancelled when the client leaves.

    Args:
        work: makes it.
        receive: of ASGI; returns `http.disconnect` when the client leaves. None: nobody looks.

    Raises:
        ClientLeftError: the client has left.
    """
    if receive is None:
        return await work()
    task, leaving = asyncio.ensure_future(work()), None
    try:
        await asyncio.wait([task], timeout=WATCHED_AFTER_S)
        if not task.done():
            leaving = asyncio.ensure_future(_departure(receive))
            await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeftError
    finally:
        task.cancel()
        if leaving is not None:
            leaving.cancel()


async def _call_when_left(receive: Receive, on_left: Callable[[], None]) -> None:
    await _departure(receive)
    on_left()


async def _departure(receive: Receive) -> None:
    """Return when the client leaves; drop what it still sends."""
    while (await receive())["type"] != "http.disconnect":
        pass
