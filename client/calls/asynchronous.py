"""What the asynchronous client carries its calls out with."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import anyio.lowlevel
import httpx

from ..connections import Settings
from ..drivers import items_async, run_async
from ..errors import CarPriceError
from ..protocol.steps import Steps

Answer = TypeVar("Answer")


class AsyncCalls:
    """As `blocking.BlockingCalls`, in the event loop of the first call."""

    _settings: Settings
    _http: httpx.AsyncClient
    _timeout: float
    _loop: object = None

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    async def _run(self, steps: Steps[Answer]) -> Answer:
        self._check_loop()
        return await run_async(steps, self._http, self._settings)

    async def _iterate(self, steps: Steps[None]) -> AsyncGenerator[Any, None]:
        self._check_loop()
        async with contextlib.aclosing(items_async(steps, self._http, self._settings)) as items:
            async for item in items:
                yield item

    def _check_loop(self) -> None:
        """Refuse another event loop: the kept connections belong to that of the first call.

        Raises:
            CarPriceError: the first call was in another one, like that of an earlier `asyncio.run`.
        """
        token = anyio.lowlevel.current_token()
        if self._loop is None:
            self._loop = token
        if self._loop != token:
            raise CarPriceError("the client belongs to another event loop: open it inside this one")
