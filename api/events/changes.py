"""Ends and progress of jobs and batches: what the messages of the workers say, and who is woken.

Requests wait on an event loop (`api.events.waits`). One message wakes all that wait for its job or
batch, by one call of each loop.
"""

import asyncio
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import NamedTuple

from api.events.kept_ends import KeptEnds, ended_job
from api.events.subscriptions import Subscription
from api.loops.event_loops import PerLoop
from shared.domain.errors import UnreadableRecord
from shared.domain.job import Job
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient
from shared.redis.job_store.endings import read_ends

MAX_WATCHED, WATCHED_MAX_CARS = 4096, 4
"""Open jobs that are kept in memory, and their size: the message of their end completes them."""

MAX_ENDED = 16_384
"""Ids of jobs whose messages came last: a read that began before the message is older than it."""

WAKE_SLICE = 64
"""Requests that one iteration of the loop wakes: thousands must not delay all others."""

END_CHANNELS = (keys.ENDED_CHANNEL, keys.ENDED_JOBS_CHANNEL)

log = get_logger("events")


class Change(NamedTuple):
    """What a message says of one job or batch."""

    id: str
    is_progress: bool = False
    """It has made progress, and not ended."""
    final: Job | None = None
    """The ended job, if it was kept; otherwise the state has to be read."""


class Listener:
    """A request that waits on a loop for changes of one job or batch.

    Args:
        state_id: of the job or batch.
        progress: whether it also waits for progress.
        others: all listeners of its loop.
    """

    __slots__ = ("_is_woken", "_loop", "_others", "_sleeper", "final", "id", "progress")

    def __init__(self, state_id: str, others: "_LoopListeners", *, progress: bool) -> None:
        self.id = state_id
        self.progress = progress
        self.final: Job | None = None
        """The ended job, if a message brought it."""
        self._others = others
        self._loop = others.loop
        self._is_woken = False
        self._sleeper: asyncio.Future[None] | None = None

    async def sleep(self, timeout_s: float) -> bool:
        """Return at the next wake-up, at once if one came since the last call, or in time.

        Returns:
            Whether it was woken.
        """
        if not self._is_woken:
            sleeper = self._sleeper = self._loop.create_future()
            timer = self._loop.call_later(timeout_s, _end, sleeper)
            try:
                await sleeper
            finally:
                timer.cancel()
                self._sleeper = None
        is_woken, self._is_woken = self._is_woken, False
        return is_woken

    def close(self) -> None:
        """Listen no more."""
        self._others.remove(self)

    def wake(self) -> None:
        """Let `sleep` return."""
        self._is_woken = True
        if self._sleeper is not None:
            _end(self._sleeper)


def _end(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class StateChanges:
    """Wakes listeners when a job or batch has ended or made progress.

    Open jobs can be kept in memory (`watch`): the message of their end then brings the whole ended
    job. While the subscription is interrupted (`is_live` is false) no message comes: listeners are
    woken when it is back, and no job is kept. Progress has a subscription of its own, because each
    job makes some and few listeners want to know.

    Args:
        client: connection to the broker instance. A subscription starts with its first
            listener, hence after any fork.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := reset()) and own())

    def _reset(self) -> None:
        """Start without listeners and threads, as a forked child has to."""
        self._lock = threading.Lock()
        self._loops: PerLoop[_LoopListeners] = PerLoop(_LoopListeners)
        self._watched: OrderedDict[str, Job] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._kept = KeptEnds()
        self._ends = Subscription(self._client, END_CHANNELS, self._receive_ends, self._set_live)
        self._progress = Subscription(
            self._client, (keys.PROGRESS_CHANNEL,), self._receive_progress, self._wake_all
        )
        self.is_live = False

    def start(self) -> None:
        """Start to receive the ends of jobs and batches, once."""
        self._ends.start()

    def listen(self, state_id: str, *, progress: bool = False) -> Listener:
        """A new listener, woken at the end of a job or batch, and at progress if asked.

        Its caller has to `close` it.
        """
        self.start()
        if progress:
            self._progress.start()
        return self._loops.current().add(state_id, progress=progress)

    def watch(self, job: Job) -> None:
        """Keep an open job, unless it is large or the message of its end has come already."""
        if len(job.requests) > WATCHED_MAX_CARS:
            return
        with self._lock:
            if not self.is_live or job.id in self._ended:
                return
            self._watched[job.id] = job
            if len(self._watched) > MAX_WATCHED:
                self._watched.popitem(last=False)

    def watched(self, job_id: str) -> Job | None:
        """The kept job; it was open a moment ago, and the message of its end will come."""
        return self._watched.get(job_id) if self.is_live else None

    def ended(self, job_id: str) -> Job | None:
        """A job as it ended, if it is kept; it may have been deleted or opened again since."""
        return self._kept.job(job_id)

    def forget(self, job_id: str) -> None:
        """Keep a job no more: it was not stored, or has been deleted."""
        with self._lock:
            self._watched.pop(job_id, None)

    def close(self) -> None:
        """End the subscriptions; returns when their threads have left them."""
        self._ends.close()
        self._progress.close()

    # On the threads of the subscriptions

    def _set_live(self, is_live: bool) -> None:  # noqa: FBT001 - as `Subscription` calls it
        """Note whether ends are told, and have all listeners read the state again."""
        with self._lock:
            self.is_live = is_live
            self._watched.clear()
        self._wake_all()

    def _wake_all(self, _: bool = True) -> None:  # noqa: FBT001, FBT002 - as `_set_live`
        for listeners in self._loops.all():
            listeners.call(listeners.wake_all)

    def _receive_progress(self, _: str, data: bytes) -> None:
        self._announce([Change(each, is_progress=True) for each in _ids(data)])

    def _receive_ends(self, channel: str, data: bytes) -> None:
        if channel == keys.ENDED_JOBS_CHANNEL:
            self._announce(self._ends_of_jobs(data))
            return
        ids = _ids(data)
        self._note_ends(ids)
        self._announce([Change(each) for each in ids])

    def _ends_of_jobs(self, data: bytes) -> list[Change]:
        """The ends of jobs, with those ended jobs that were kept."""
        try:
            ends = read_ends(data)
        except UnreadableRecord as error:
            log.warning("ends_unreadable", error=str(error))
            self._wake_all()
            return []
        kept = self._note_ends([end.id for end in ends])
        pairs = [(job, end) for end, job in zip(ends, kept, strict=True) if job is not None]
        self._kept.add(pairs)
        finals = {job.id: ended_job(job, end) for job, end in pairs if self._is_wanted(job.id)}
        return [Change(end.id, final=finals.get(end.id)) for end in ends]

    def _is_wanted(self, state_id: str) -> bool:
        """Whether somebody listens."""
        return any(listeners.want(state_id) for listeners in self._loops.all())

    def _note_ends(self, ids: Sequence[str]) -> list[Job | None]:
        """The kept jobs of these ids, which are kept no more."""
        with self._lock:
            for each in ids:
                self._ended[each] = None
            for _ in range(len(self._ended) - MAX_ENDED):
                self._ended.popitem(last=False)
            return [self._watched.pop(each, None) for each in ids]

    def _announce(self, changes: Sequence[Change]) -> None:
        for listeners in self._loops.all():
            wanted = [change for change in changes if listeners.want(change.id)]
            if wanted:
                listeners.call(partial(listeners.deliver, wanted))


def _ids(data: bytes) -> list[str]:
    """The ids in a message; data that cannot be decoded are no ids, so no listener matches them."""
    return data.decode(errors="replace").split(",")


class _LoopListeners:
    """The listeners of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._listeners: dict[str, set[Listener]] = {}

    def add(self, state_id: str, *, progress: bool) -> Listener:
        listener = Listener(state_id, self, progress=progress)
        self._listeners.setdefault(state_id, set()).add(listener)
        return listener

    def remove(self, listener: Listener) -> None:
        others = self._listeners[listener.id]
        others.discard(listener)
        if not others:
            del self._listeners[listener.id]

    def want(self, state_id: str) -> bool:
        """Whether somebody listens; for other threads."""
        return state_id in self._listeners

    def call(self, function: Callable[[], None]) -> None:
        """Call a function on the loop; for other threads."""
        with suppress(RuntimeError):  # the loop has closed: nobody waits
            self.loop.call_soon_threadsafe(function)

    def deliver(self, changes: Sequence[Change]) -> None:
        woken: list[Listener] = []
        for change in changes:
            for listener in self._listeners.get(change.id, ()):
                if listener.progress or not change.is_progress:
                    listener.final = change.final or listener.final
                    woken.append(listener)
        self._wake(woken)

    def wake_all(self) -> None:
        self._wake([each for group in self._listeners.values() for each in group])

    def _wake(self, listeners: list[Listener]) -> None:
        """Wake listeners, so many in one iteration that other requests go on."""
        for listener in islice(listeners, WAKE_SLICE):
            listener.wake()
        if len(listeners) > WAKE_SLICE:
            self.loop.call_soon(self._wake, listeners[WAKE_SLICE:])
