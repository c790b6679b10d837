"""Requests that wait for a job or batch on an event loop: how many there may be, what ends them.

A wait holds no thread. Besides a change of the state it is ended by its time, by a client that
leaves, by the revocation of its key, and by the end of the process.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from typing import Any, Self, TypeAlias, TypeVar

from api.events.changes import Listener, StateChanges
from api.events.subscriptions import POLL_S
from api.loops.event_loops import PerLoop
from api.valuations.waiting import has_space
from shared.domain.errors import DomainError, TooManyWaits
from shared.domain.job import Job

RECHECK_S = 15.0
"""A waiting request reads the state after this time anyway. While the subscription is interrupted,
it does after `POLL_S`."""

SWEEP_S, KEY_CHECK_S = 0.2, 1.0
"""Intervals of the checks whether clients have left, and whether their keys are still valid. A
shorter wait ends before anybody looks."""

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
T = TypeVar("T")


class ClientLeftError(Exception):
    """The client has disconnected: nobody waits for the answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """Who waits."""

    caller: str = ""
    """Callers share the places; empty while all callers are one."""
    key: Hashable = None
    """What `check_key` depends on: clients with the same one are checked once."""
    check_key: Callable[[], object] | None = None
    """Raises the `DomainError` that applies when the client's key is not valid any more."""
    receive: Receive | None = None
    """Of ASGI; returns `http.disconnect` when the client leaves. None: nobody would notice."""


class Wait:
    """The wait of one request, a context manager: on exit it ends.

    Args:
        listener: woken by changes.
        client: who waits.
    """

    __slots__ = ("_listener", "_places", "client", "error", "is_draining", "watcher")

    def __init__(self, listener: Listener, client: Client, places: "_LoopWaits") -> None:
        self._listener = listener
        self._places: _LoopWaits = places
        self.client = client
        self.error: Exception | None = None
        """What ends the wait without an answer."""
        self.watcher: asyncio.Task[None] | None = None
        """Waits for the client to leave."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._places.release(self)
        self._listener.close()

    @property
    def final(self) -> Job | None:
        """The ended job, if a message brought it."""
        return self._listener.final

    def hold(self) -> None:
        """Take a place, which the request holds until its wait ends; raises `TooManyWaits`."""
        self._places.take(self)

    async def change(self, timeout_s: float) -> bool:
        """Return when the state may have changed, or in time; the first call takes a place.

        Returns:
            Whether it may have changed.

        Raises:
            TooManyWaits: there is no place.
            ClientLeftError: the client has left.
            DomainError: its key is not valid any more.
        """
        self._places.take(self)
        is_woken = await self._listener.sleep(timeout_s)
        if self.error is not None:
            raise self.error
        return is_woken

    def wake(self) -> None:
        """Let `change` return."""
        self._listener.wake()

    def end(self, error: Exception) -> None:
        """End the wait without an answer."""
        self.error = error
        self.wake()


class Waits:
    """The requests of a process that wait for jobs and batches.

    Args:
        changes: wakes them.
        maximum: how many may wait at once.
    """

    def __init__(self, changes: StateChanges, maximum: int) -> None:
        self.changes = changes
        self._maximum = maximum
        self._by_loop = PerLoop(lambda loop: _LoopWaits(loop, maximum))
        self.is_draining = False
        """Whether the process ends: nobody waits any more."""

    def listen(self, state_id: str, client: Client, *, progress: bool = False) -> Wait:
        """Notice the changes of a job or batch from now on.

        Args:
            state_id: of the job or batch.
            client: who waits.
            progress: whether to notice progress, not only the end.
        """
        listener = self.changes.listen(state_id, progress=progress)
        return Wait(listener, client, self._by_loop.current())

    async def poll(
        self,
        state_id: str,
        read: Callable[[], Awaitable[T]],
        is_done: Callable[[T], bool],
        timeout_s: float,
        client: Client,
        *,
        progress: bool = False,
    ) -> T:
        """Long poll: read a state until it is done or the time is over.

        Raises:
            TooManyWaits, ClientLeftError, DomainError: as `Wait.change`.
        """
        if timeout_s <= 0:
            return await read()
        until = self.until(timeout_s)
        with self.listen(state_id, client, progress=progress) as wait:
            state = await read()
            while not is_done(state) and (left_s := self.left_s(until)) > 0:
                await wait.change(min(left_s, self.recheck_s))
                state = await read()
        return state

    def until(self, timeout_s: float) -> float:
        """The time of the loop in so many seconds."""
        return asyncio.get_running_loop().time() + timeout_s

    def left_s(self, until: float) -> float:
        """Seconds until a time of the loop; 0 if the process ends."""
        return 0.0 if self.is_draining else until - asyncio.get_running_loop().time()

    @property
    def recheck_s(self) -> float:
        """After how many seconds a waiting request reads the state anyway."""
        return RECHECK_S if self.changes.is_live else POLL_S

    def drain(self) -> None:
        """End all waits: the requests are answered with the present state."""
        self.is_draining = True
        for waits in self._by_loop.all():
            waits.loop.call_soon_threadsafe(waits.wake_all)


class _LoopWaits:
    """The places of one loop, and the checks of those that have one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, maximum: int) -> None:
        self.loop = loop
        self._maximum = maximum
        self._waits: dict[Wait, None] = {}
        self._unwatched: dict[Wait, None] = {}
        self._by_caller: Counter[str] = Counter()
        self._is_sweep_scheduled = False
        self._keys_checked_at = 0.0

    def take(self, wait: Wait) -> None:
        """Take a place, once."""
        if wait in self._waits:
            return
        caller, total = wait.client.caller, len(self._waits)
        own = self._by_caller[caller] if caller else 0
        if not has_space(own=own, total=total, maximum=self._maximum):
            raise TooManyWaits
        self._waits[wait] = None
        self._by_caller[caller] += 1
        if wait.client.receive is not None:
            self._unwatched[wait] = None
        if not self._is_sweep_scheduled:
            self._schedule_sweep()

    def release(self, wait: Wait) -> None:
        """Return a place, if one was taken."""
        if wait not in self._waits:
            return
        del self._waits[wait]
        self._unwatched.pop(wait, None)
        if wait.watcher is not None:
            wait.watcher.cancel()
        self._by_caller[wait.client.caller] -= 1
        if not self._by_caller[wait.client.caller]:
            del self._by_caller[wait.client.caller]

    def wake_all(self) -> None:
        for wait in list(self._waits):
            wait.wake()

    def _schedule_sweep(self) -> None:
        self._is_sweep_scheduled = True
        self.loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        for wait in self._unwatched:
            wait.watcher = self.loop.create_task(_watch_client(wait))
        self._unwatched = {}
        if self.loop.time() - self._keys_checked_at >= KEY_CHECK_S:
            self._keys_checked_at = self.loop.time()
            self._check_keys()
        self._is_sweep_scheduled = False
        if self._waits:
            self._schedule_sweep()

    def _check_keys(self) -> None:
        """End the waits of clients whose keys are not valid any more."""
        errors: dict[Hashable, DomainError | None] = {}
        for wait in self._waits:
            key = wait.client.key
            if key not in errors:
                errors[key] = _key_error(wait.client)
            error = errors[key]
            if error is not None:
                wait.end(error)


def _key_error(client: Client) -> DomainError | None:
    if client.check_key is None:
        return None
    try:
        client.check_key()
    except DomainError as error:
        return error
    return None


async def _watch_client(wait: Wait) -> None:
    """End a wait when its client leaves."""
    assert wait.client.receive is not None  # noqa: S101 - only such waits are watched
    await departure(wait.client.receive)
    wait.end(ClientLeftError())


async def while_present(work: Callable[[], Coroutine[Any, Any, T]], receive: Receive | None) -> T:
    """The result of what a client waits for; it is cancelled when the client leaves.

    Args:
        work: makes it.
        receive: as in `Client`.

    Raises:
        ClientLeftError: the client has left.
    """
    if receive is None:
        return await work()
    task, leaving = asyncio.ensure_future(work()), None
    try:
        await asyncio.wait([task], timeout=SWEEP_S)
        if not task.done():
            leaving = asyncio.ensure_future(departure(receive))
            await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeftError
    finally:
        task.cancel()
        if leaving is not None:
            leaving.cancel()


async def departure(receive: Receive) -> None:
    """Return when the client leaves; drop what it still sends."""
    while (await receive())["type"] != "http.disconnect":
        pass
