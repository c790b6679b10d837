"""Event loops of the process: the loop through which threads call, and state per loop.

The server runs one loop. Under a WSGI server, and for Flask's test client, there is none: then a
loop runs on a thread of its own.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, TypeVar

from shared.domain.errors import BrokerUnavailable
from shared.tracing.current import is_tracing

T = TypeVar("T")
S = TypeVar("S")

BROKER_THREADS = 32
"""Threads that call the broker and the blob store, and compress, for requests on the loop."""

RESULT_TIMEOUT_S = 10.0
"""How long a thread waits for the loop beyond the wait of its caller. Calls to the servers end by
their own timeouts long before: this only bounds the wait for a loop that has stopped."""


class LoopStoppedError(BrokerUnavailable, code=BrokerUnavailable.code):
    """The event loop does not answer."""


class LoopThreads:
    """Threads for what must not block a loop; they start when they are needed.

    Args:
        name: of the threads.
        size: how many.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := reset()) and own())

    def _reset(self) -> None:
        """Start without threads, as a forked child has to."""
        self._threads = ThreadPoolExecutor(self._size, thread_name_prefix=self._name)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call on a thread."""
        if is_tracing():  # what the call logs and stores belongs to the trace of the request
            call = partial(copy_context().run, call)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class EventLoops:
    """The loop through which threads call, and threads for what must not block a loop."""

    def __init__(self) -> None:
        self.threads = LoopThreads("broker", BROKER_THREADS)
        self.run_in_thread = self.threads.run
        """Run a call to a server or a disk on a thread, outside of the loop."""
        self._reset()
        reset = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := reset()) and own())

    def _reset(self) -> None:
        """Start without a loop, as a forked child has to."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let threads call through this loop: the server's."""
        self._loop = loop

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run a coroutine on the loop, from a thread that is not the loop's.

        Args:
            coroutine: what to run.
            timeout_s: how long it may take by its own rules, seconds.

        Raises:
            LoopStoppedError: there is no result `RESULT_TIMEOUT_S` after that time.
        """
        called = asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())
        try:
            return called.result(timeout_s + RESULT_TIMEOUT_S)
        except TimeoutError:
            called.cancel()
            raise LoopStoppedError(reason="the event loop does not answer") from None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or not self._loop.is_running():
                self._loop = _start_loop()
            return self._loop


def _start_loop() -> asyncio.AbstractEventLoop:
    """Run a loop on a thread of its own, for as long as the process lives."""
    loop = asyncio.new_event_loop()
    is_running = threading.Event()
    loop.call_soon(is_running.set)
    threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()
    is_running.wait()
    return loop


class PerLoop(Generic[S]):
    """One state per event loop, created at its first use.

    Args:
        make: creates the state of a loop.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], S]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._states: dict[asyncio.AbstractEventLoop, S] = {}

    def current(self) -> S:
        """The state of the running loop."""
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        return state if state is not None else self._create(loop)

    def all(self) -> list[S]:
        """The states of all loops; for other threads."""
        return list(self._states.values())

    def _create(self, loop: asyncio.AbstractEventLoop) -> S:
        with self._lock:
            state = self._make(loop)
            kept = {one: state for one, state in self._states.items() if one.is_running()}
            self._states = kept | {loop: state}
            return state
