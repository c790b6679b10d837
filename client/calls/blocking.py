"""What the blocking client carries its calls out with."""

from collections.abc import Generator
from typing import Any, TypeVar

import httpx

from ..connections import Settings
from ..drivers import items, run
from ..protocol.steps import Steps

Answer = TypeVar("Answer")


class BlockingCalls:
    """Carries out steps of the protocol; the calls of a subject are in a class derived from it."""

    _settings: Settings
    _http: httpx.Client
    _timeout: float

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _run(self, steps: Steps[Answer]) -> Answer:
        return run(steps, self._http, self._settings)

    def _iterate(self, steps: Steps[None]) -> Generator[Any, None, None]:
        return items(steps, self._http, self._settings)
