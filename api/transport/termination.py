"""Learns that the process is to end, before the server waits for its requests."""

import signal
import threading
from collections.abc import Callable
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
