"""Learns that the process is to end, before the server waits for its requests."""

import asyncio
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def on_termination(call: Callable[[], None]) -> None:
    """Call a function when the process is told to end; what is done then is done still.

    To be called on the server's event loop, after the server has installed its own handlers: those
    are called by the loop, which is told of a signal whatever handler Python has. Without a server
    in the main thread nothing is installed.

    Args:
        call: must not raise.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        previous = signal.getsignal(number)
        if not callable(previous) or previous is signal.default_int_handler:
            continue

        def handle(
            number: int,
            frame: FrameType | None,
            previous: Callable[[int, FrameType | None], object] = previous,
        ) -> None:
            call()
            previous(number, frame)

        signal.signal(number, handle)
        signal.siginterrupt(number, False)  # noqa: FBT003 - as asyncio does


def delay_termination(
    loop: asyncio.AbstractEventLoop,
    delay_s: float,
    begin: Callable[[], None],
    end: Callable[[], None],
) -> None:
    """Let the server go on for a while after the signal to stop; a second signal ends that.

    To be called on the server's event loop, after the server has installed its own handlers there.

    Args:
        loop: the server's.
        delay_s: how long the server does not learn of the signal.
        begin: called at once; must not raise.
        end: called before the server learns of it; must not raise.
    """
    # asyncio has no way to read a handler that it would replace.
    installed: dict[int, asyncio.Handle] = getattr(loop, "_signal_handlers", {})
    for number in SIGNALS:
        handler = installed.get(number)
        if handler is not None:
            delayed = _DelayedSignal(loop, delay_s, begin, end, handler)
            loop.add_signal_handler(number, delayed.receive)


class _DelayedSignal:
    """A signal that reaches the server later.

    Args:
        loop: the server's.
        delay_s: how much later.
        begin: called when the signal comes.
        end: called before the server's handler.
        handler: the server's.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        delay_s: float,
        begin: Callable[[], None],
        end: Callable[[], None],
        handler: asyncio.Handle,
    ) -> None:
        self._start = partial(loop.call_later, delay_s)
        self._begin = begin
        self._end = end
        self._handler = handler
        self._timer: asyncio.TimerHandle | None = None

    def receive(self) -> None:
        """Begin the delay, or end it if it has begun."""
        if self._timer is None:
            self._begin()
            self._timer = self._start(self._pass_on)
        else:
            self._timer.cancel()
            self._pass_on()

    def _pass_on(self) -> None:
        self._end()
        self._handler._run()  # noqa: SLF001 - what the loop itself would have called
