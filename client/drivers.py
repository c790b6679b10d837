"""How the two clients carry out the steps of the protocol: blocking, or in an event loop."""

import contextlib
import dataclasses
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from functools import partial
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from .connections import Settings
from .deadlines import deadline_of_thread
from .protocol.steps import (
    Deadline,
    Done,
    Give,
    Head,
    Open,
    Pause,
    Read,
    Step,
    Steps,
    Upload,
    Work,
    advance,
)
from .proxies import without_password

Answer = TypeVar("Answer")


def _request(
    http: "httpx.Client | httpx.AsyncClient", settings: Settings, step: Open, body: Any
) -> httpx.Request:
    """The request of a step.

    Raises:
        TimeoutError: its time is over.
    """
    request, remaining_s = step.request, step.deadline.remaining_s
    if not remaining_s:
        raise TimeoutError
    return http.build_request(
        request.method,
        request.path,
        params=dict(request.params),
        headers=dict(request.headers),
        content=body or None,
        timeout=settings.timeouts(request.wait_s, remaining_s),
    )


def _head(response: httpx.Response) -> Head:
    return Head(
        status=response.status_code,
        reason=response.reason_phrase,
        headers=response.headers,
        url=without_password(str(response.url)),
    )


# Blocking


def run(steps: Steps[Answer], http: httpx.Client, settings: Settings) -> Answer:
    """Carry out the steps of a call and return its answer."""
    answer: Answer
    for event in _events(steps, http, settings):
        if isinstance(event, Done):
            answer = event.answer
    return answer


def items(steps: Steps[None], http: httpx.Client, settings: Settings) -> Generator[Any, None, None]:
    """Carry out the steps of an iteration, as far as its items are read."""
    with contextlib.closing(_events(steps, http, settings)) as events:
        for event in events:
            if isinstance(event, Give):
                yield event.item


def _events(
    steps: Steps[Any], http: httpx.Client, settings: Settings
) -> Generator[Give | Done, None, None]:
    with contextlib.closing(steps), _Connection(http, settings) as connection:
        result: Any = None
        failure: Exception | None = None
        while True:
            step = advance(steps, result, failure)
            result, failure = None, None
            if isinstance(step, Give | Done):
                yield step
                if isinstance(step, Done):
                    return
                continue
            try:
                result = connection.perform(step)
            except Exception as error:  # noqa: BLE001 - the protocol decides
                failure = error


@dataclasses.dataclass
class _Connection:
    """Carries out the steps of one call, blocking."""

    http: httpx.Client
    settings: Settings
    response: httpx.Response | None = None
    blocks: Iterator[bytes] = dataclasses.field(default_factory=lambda: iter(()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.response is not None:
            self.response.close()

    def perform(self, step: Step) -> Any:
        match step:
            case Open():
                return self._open(step)
            case Read(deadline):
                with deadline_of_thread(deadline.at):
                    return next(self.blocks, b"")
            case Pause(seconds):
                time.sleep(seconds)
            case Work(function):
                return function()
        return None

    def _open(self, step: Open) -> Head:
        self.__exit__()
        body = step.request.body
        content = _sent_blocks(body) if isinstance(body, Upload) else body
        request = _request(self.http, self.settings, step, content)
        with deadline_of_thread(step.deadline.at):
            self.response = self.http.send(request, stream=True)
        self.blocks = self.response.iter_bytes()
        return _head(self.response)


def _sent_blocks(upload: Upload) -> Iterator[bytes]:
    upload.on_sent(0)
    for block in upload.blocks():
        yield block
        upload.on_sent(len(block))


# In an event loop


async def run_async(steps: Steps[Answer], http: httpx.AsyncClient, settings: Settings) -> Answer:
    """Carry out the steps of a call and return its answer."""
    answer: Answer
    async with contextlib.aclosing(_events_async(steps, http, settings)) as events:
        async for event in events:
            if isinstance(event, Done):
                answer = event.answer
    return answer


async def items_async(
    steps: Steps[None], http: httpx.AsyncClient, settings: Settings
) -> AsyncGenerator[Any, None]:
    """Carry out the steps of an iteration, as far as its items are read."""
    async with contextlib.aclosing(_events_async(steps, http, settings)) as events:
        async for event in events:
            if isinstance(event, Give):
                yield event.item


async def _events_async(
    steps: Steps[Any], http: httpx.AsyncClient, settings: Settings
) -> AsyncGenerator[Give | Done, None]:
    with contextlib.closing(steps):
        async with _AsyncConnection(http, settings) as connection:
            result: Any = None
            failure: Exception | None = None
            while True:
                step = advance(steps, result, failure)
                result, failure = None, None
                if isinstance(step, Give | Done):
                    yield step
                    if isinstance(step, Done):
                        return
                    continue
                try:
                    result = await connection.perform(step)
                except Exception as error:  # noqa: BLE001 - the protocol decides
                    failure = error


@dataclasses.dataclass
class _AsyncConnection:
    """Carries out the steps of one call in an event loop; files are read and written in threads."""

    http: httpx.AsyncClient
    settings: Settings
    response: httpx.Response | None = None
    blocks: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.response is not None:
            with anyio.CancelScope(shield=True):
                await self.response.aclose()

    async def perform(self, step: Step) -> Any:
        match step:
            case Open():
                return await self._open(step)
            case Read(deadline):
                with _time_limit(deadline):
                    return b"" if self.blocks is None else await anext(self.blocks, b"")
            case Pause(seconds):
                await anyio.sleep(seconds)
            case Work(function):
                return await anyio.to_thread.run_sync(function)
        return None

    async def _open(self, step: Open) -> Head:
        await self.__aexit__()
        body = step.request.body
        content = _sent_blocks_async(body) if isinstance(body, Upload) else body
        request = _request(self.http, self.settings, step, content)
        with _time_limit(step.deadline):
            self.response = await self.http.send(request, stream=True)
        self.blocks = self.response.aiter_bytes()
        return _head(self.response)


def _time_limit(deadline: Deadline) -> contextlib.AbstractContextManager[Any]:
    remaining_s = deadline.remaining_s
    return anyio.fail_after(None if remaining_s == math.inf else remaining_s)


async def _sent_blocks_async(upload: Upload) -> AsyncIterator[bytes]:
    upload.on_sent(0)
    blocks = upload.blocks()
    while block := await anyio.to_thread.run_sync(partial(next, blocks, b"")):
        yield block
        upload.on_sent(len(block))
