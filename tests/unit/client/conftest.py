"""Both clients behind one call."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from client.aio import AsyncCarPriceClient
from client.protocol import repetition
from client.sync import CarPriceClient

Call = Callable[..., Any]


def call_blocking(url: str, use: Callable[[Any], Any], **options: Any) -> Any:
    """Use a client; an iteration gives a list."""
    with CarPriceClient(url, **options) as client:
        answer = use(client)
        return list(answer) if inspect.isgenerator(answer) else answer


def call_in_loop(url: str, use: Callable[[Any], Any], **options: Any) -> Any:
    """Use an asynchronous client in an event loop of its own."""

    async def run() -> Any:
        async with AsyncCarPriceClient(url, **options) as client:
            answer = use(client)
            if inspect.isasyncgen(answer):
                return [item async for item in answer]
            return await answer

    return asyncio.run(run())


@pytest.fixture(params=[call_blocking, call_in_loop], ids=["blocking", "in a loop"])
def call(request: pytest.FixtureRequest) -> Call:
    """Uses either client: `call(url, lambda client: client.value(car))`."""
    return request.param


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "RETRY_DELAY_S", 0.0)
    monkeypatch.setattr(repetition, "MAX_RETRY_DELAY_S", 0.0)
