"""Streams of the states of a job or batch, each of which holds a place among the waits."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from api.events.waits import Client, Waits

HEARTBEAT_S = 5.0
"""Interval of the heartbeats in an idle stream; writing one detects a closed connection."""

INTERVAL_S = 0.25
"""Minimum interval between two events of a stream; the last event is sent at once."""

MAX_STREAM_S = 900.0
"""A stream is closed after this time; the client reconnects with `Last-Event-ID`."""

T = TypeVar("T")


class StateSnapshot(NamedTuple, Generic[T]):
    """The state that one read of a job or batch returned."""

    state: T
    event_id: str
    """Changes with the state."""
    is_last: bool


ReadSnapshot = Callable[[], Awaitable[StateSnapshot[T]]]


async def follow(
    waits: Waits,
    state_id: str,
    read: "ReadSnapshot[T]",
    last_event_id: str | None,
    client: Client,
) -> AsyncGenerator[StateSnapshot[T] | None, None]:
    """None once the stream has its place, then each state once, up to the last one.

    None is yielded again whenever a heartbeat is due.

    Args:
        waits: gives the stream its place.
        state_id: of the job or batch.
        read: reads its state.
        last_event_id: id of the event that the client has received last.
        client: who receives the stream.

    Raises:
        TooManyWaits: there is no place.
        ClientLeftError: the client has left.
        DomainError: its key is not valid any more, or the state cannot be read.
    """
    with waits.listen(state_id, client, progress=True) as wait:
        wait.hold()
        yield None
        now = asyncio.get_running_loop().time
        until, sent_at, read_at, is_woken = waits.until(MAX_STREAM_S), now(), 0.0, True
        while waits.left_s(until) > 0:
            if is_woken or now() - read_at >= waits.recheck_s:
                snapshot, read_at = await read(), now()
                if snapshot.event_id != last_event_id:
                    last_event_id, sent_at = snapshot.event_id, now()
                    yield snapshot
                if snapshot.is_last:
                    return
            if now() - sent_at >= HEARTBEAT_S:
                sent_at = now()
                yield None
            await asyncio.sleep(INTERVAL_S)
            next_at = min(sent_at + HEARTBEAT_S, read_at + waits.recheck_s)
            is_woken = await wait.change(max(0.0, next_at - now()))
