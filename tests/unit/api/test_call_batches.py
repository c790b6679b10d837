"""Calls of many requests share a round trip, and what an outage means for each of them."""

import asyncio
import threading

import pytest

from api.loops.call_batches import CallBatcher
from shared.domain.errors import AcceptanceUnknown, BrokerUnavailable


def test_what_was_not_sent_before_an_outage_is_known_not_to_be_accepted() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def break_off(_: object) -> list[int]:
        begun.set()
        go_on.wait()
        raise AcceptanceUnknown(reason="reset")

    async def both() -> tuple[object, object]:
        batcher: CallBatcher[int, int] = CallBatcher("test", break_off)
        sent = batcher.call(1)
        await asyncio.to_thread(begun.wait)
        late = batcher.call(2)
        await asyncio.sleep(0)  # the end of the iteration hands it over
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        one, other = await asyncio.gather(sent, late, return_exceptions=True)
        return one, other

    one, other = asyncio.run(both())
    assert type(one) is AcceptanceUnknown
    if not isinstance(other, BrokerUnavailable):
        pytest.fail(f"not an outage: {other}")
    assert (type(other), other.params) == (BrokerUnavailable, {"reason": "reset"})
