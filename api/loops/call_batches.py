"""Combines the calls of many requests to a server: one round trip for all that wait for it."""

import asyncio
import os
import queue
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from api.loops.event_loops import PerLoop
from shared.domain.errors import AcceptanceUnknown, BrokerUnavailable, DomainError

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

MAX_ITEMS = 200
"""Most items of one call: the loop must get the interpreter lock in between."""


class _Call(NamedTuple, Generic[I, R]):
    item: I
    future: "asyncio.Future[R]"


class CallBatcher(Generic[I, R]):
    """Processes what requests on event loops ask of a server, from one thread.

    What comes in one iteration of a loop is handed over at once. All that has come by the time the
    thread is back shares its next call.

    Args:
        name: of the thread.
        process: takes items and returns the result or the error of each; may block. What it raises
            is the error of all.
    """

    def __init__(
        self, name: str, process: Callable[[Sequence[I]], Sequence[R | DomainError]]
    ) -> None:
        self._name = name
        self._process = process
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := reset()) and own())

    def _reset(self) -> None:
        """Start without a thread, as a forked child has to."""
        self._queue: queue.SimpleQueue[list[_Call[I, R]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_running = False
        self._ticks: PerLoop[_Tick[I, R]] = PerLoop(lambda loop: _Tick(loop, self._submit))

    def call(self, item: I) -> "asyncio.Future[R]":
        """Return the future of an item's result; to be called on an event loop."""
        return self._ticks.current().add(item)

    def _submit(self, calls: list[_Call[I, R]]) -> None:
        if not self._is_running:
            self._start()
        self._queue.put(calls)

    def _start(self) -> None:
        with self._lock:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._carry_out([*self._queue.get(), *self._drain_queue()])

    def _drain_queue(self) -> list[_Call[I, R]]:
        """Take what else has arrived by now."""
        more: list[_Call[I, R]] = []
        while not self._queue.empty():
            more += self._queue.get()
        return more

    def _carry_out(self, calls: list[_Call[I, R]]) -> None:
        while calls:
            now, calls = calls[:MAX_ITEMS], calls[MAX_ITEMS:]
            results: Sequence[R | Exception]
            try:
                results = self._process([each.item for each in now])
            except BrokerUnavailable as error:
                # It takes up to two seconds to notice an outage: what arrived meanwhile shares the
                # result instead of waiting for the same again.
                rest = [*calls, *self._drain_queue()]
                results = [error] * len(now) + [_of_unsent(error)] * len(rest)
                now, calls = [*now, *rest], []
            except Exception as error:  # noqa: BLE001 - raised by all that wait
                results = [error] * len(now)
            _announce(now, results)


def _of_unsent(error: BrokerUnavailable) -> BrokerUnavailable:
    """What an outage means for a call that was not sent."""
    return BrokerUnavailable(**error.params) if isinstance(error, AcceptanceUnknown) else error


def _announce(calls: "Sequence[_Call[I, R]]", results: Sequence[R | Exception]) -> None:
    """Set the results of calls, by one wake-up of each loop."""
    ended = defaultdict(list)
    for call, result in zip(calls, results, strict=True):
        ended[call.future.get_loop()].append((call.future, result))
    for loop, pairs in ended.items():
        with suppress(RuntimeError):  # the loop has closed: nobody waits
            loop.call_soon_threadsafe(_resolve, pairs)


class _Tick(Generic[I, R]):
    """What comes in one iteration of a loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, submit: Callable[[list[_Call[I, R]]], None]
    ) -> None:
        self._loop = loop
        self._submit = submit
        self._calls: list[_Call[I, R]] = []

    def add(self, item: I) -> "asyncio.Future[R]":
        future: asyncio.Future[R] = self._loop.create_future()
        if not self._calls:
            self._loop.call_soon(self._flush)
        self._calls.append(_Call(item, future))
        return future

    def _flush(self) -> None:
        calls, self._calls = self._calls, []
        self._submit(calls)


def _resolve(ended: "Sequence[tuple[asyncio.Future[R], R | Exception]]") -> None:
    for future, result in ended:
        if future.done():  # the request was cancelled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
