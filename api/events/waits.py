"""Requests that wait for a job or batch on an event loop: how many there may be, what ends them.

A wait holds no thread. Besides a change of the state it is ended by its time, by a client that
leaves, by the revocation of its key, and by the end of the process.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Self, TypeVar

from api.events.changes import Listener, StateChanges
from api.events.departures import ClientLeftError, Departures, Receive
from api.events.subscriptions import POLL_S
from api.loops.event_loops import PerLoop
from api.valuations.waiting import has_space
from shared.domain.errors import DomainError, TooManyWaits
from shared.domain.job import Job

RECHECK_S = 15.0
"""A waiting request reads the state after this time anyway. While the subscription is interrupted,
it does after `POLL_S`."""

KEY_CHECK_S = 1.0
"""Interval of the checks whether keys are still valid. A shorter wait ends before anybody looks."""

T = TypeVar("T")


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

    __slots__ = ("_listener", "_places", "client", "error", "is_draining")

    def __init__(self, listener: Listener, client: Client, places: "_LoopWaits") -> None:
        self._listener = listener
        self._places: _LoopWaits = places
        self.client = client
        self.error: Exception | None = None
        """What ends the wait without an answer."""

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
        self._by_caller: Counter[str] = Counter()
        self._departures = Departures(loop)
        self._is_key_check_scheduled = False

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
            self._departures.watch(wait, wait.client.receive, lambda: wait.end(ClientLeftError()))
        if not self._is_key_check_scheduled:
            self._schedule_key_check()

    def release(self, wait: Wait) -> None:
        """Return a place, if one was taken."""
        if wait not in self._waits:
            return
        del self._waits[wait]
        self._departures.forget(wait)
        self._by_caller[wait.client.caller] -= 1
        if not self._by_caller[wait.client.caller]:
            del self._by_caller[wait.client.caller]

    def wake_all(self) -> None:
        for wait in list(self._waits):
            wait.wake()

    def _schedule_key_check(self) -> None:
        self._is_key_check_scheduled = True
        self.loop.call_later(KEY_CHECK_S, self._check_keys)

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
        self._is_key_check_scheduled = False
        if self._waits:
            self._schedule_key_check()


def _key_error(client: Client) -> DomainError | None:
    if client.check_key is None:
        return None
    try:
        client.check_key()
    except DomainError as error:
        return error
    return None
