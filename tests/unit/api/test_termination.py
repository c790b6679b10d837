"""The signal to stop reaches the server after the delay in which a proxy takes the process out."""

import asyncio
import os
import signal
from collections.abc import Callable

from api.transport.termination import delay_termination

FOR_EVER_S = 3600.0


def run_with_signals(delay_s: float, send: Callable[[list[str]], object]) -> list[str]:
    """The events of a loop whose server has a handler, until the server learns of the signal."""
    events: list[str] = []

    async def main() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            events.append("server")
            stopped.set()

        loop.add_signal_handler(signal.SIGTERM, stop)
        delay_termination(
            loop, delay_s, lambda: events.append("unready"), lambda: events.append("drain")
        )
        loop.call_soon(send, events)
        await asyncio.wait_for(stopped.wait(), 60)
        loop.remove_signal_handler(signal.SIGTERM)

    asyncio.run(main())
    return events


def terminate(events: list[str]) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    asyncio.get_running_loop().call_later(0.05, events.append, "served meanwhile")


def test_the_server_goes_on_during_the_delay() -> None:
    assert run_with_signals(0.5, terminate) == ["unready", "served meanwhile", "drain", "server"]


def test_a_second_signal_ends_the_delay() -> None:
    def twice(_: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)

    assert run_with_signals(FOR_EVER_S, twice) == ["unready", "drain", "server"]
