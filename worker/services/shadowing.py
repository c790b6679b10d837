"""Trying a shadow version on a share of the cars, behind the backs of all who wait."""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from model_store.inference import LoadedModel
from shared.domain.car import CarFeatures
from shared.domain.valuation import Estimate
from shared.logging import get_logger
from shared.metrics import SHADOW_OVERLAP, SHADOW_RATIO, SHADOW_SECONDS, SHADOW_VALUATIONS

PAUSE_S = 0.1
"""Before a car is tried: by then its answer has been sent. And between two groups of cars: a
batch brings more than are worth what they take from those who wait for answers."""
MOST_WAITING = 1000
"""Cars that wait to be tried; more are left out."""
MOST_AT_ONCE = 64

log = get_logger("shadow")

Trial = tuple[CarFeatures, Estimate]


class Shadows(Protocol):
    """Gives the shadow version."""

    def share(self) -> float:
        """Of the cars to be tried."""
        ...

    def version(self) -> str | None:
        """Its id, loaded or not."""
        ...

    def baseline(self) -> str | None:
        """The active version: what the shadow is compared with."""
        ...

    def model(self) -> LoadedModel | None:
        """The loaded version."""
        ...


class Shadowing:
    """Takes a sample of what was answered and values it with the shadow, on a thread of its own.

    Nothing here can fail or delay an answer: the sample is put aside, and whatever goes wrong
    later is a metric.

    Args:
        shadows: the version and its share.
        draw: a random number from 0 to 1.
        pause_s: how long a car is put aside before it is tried, and between groups.
    """

    def __init__(
        self,
        shadows: Shadows,
        *,
        draw: Callable[[], float] = random.random,
        pause_s: float = PAUSE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shadows = shadows
        self._draw = draw
        self._pause_s = pause_s
        self._sleep = sleep
        self._waiting: deque[Trial] = deque()
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._running_in: int | None = None

    def offer(self, answered: Sequence[Trial]) -> None:
        """Put a share of the answered cars aside; returns at once."""
        self.put_aside([answered[place] for place in self.drawn(len(answered))])

    def drawn(self, count: int) -> list[int]:
        """Which of so many answers are to be tried: a share, as far as there is room for it."""
        share = self._shadows.share()
        if not share:
            return []
        drawn = [place for place in range(count) if self._draw() < share]
        room = max(0, MOST_WAITING - len(self._waiting))
        if len(drawn) <= room:
            return drawn
        self._count("dropped", len(drawn) - room)
        # From all over, because rows of a file may be in order of brand or price.
        return [drawn[nth * len(drawn) // room] for nth in range(room)]

    def compares_with(self, version: str) -> bool:
        """Whether there is a shadow that this version's answers are compared with."""
        return self._shadows.share() > 0 and self._shadows.baseline() == version

    def put_aside(self, trials: Sequence[Trial]) -> None:
        """Have these tried a moment later."""
        if not trials:
            return
        self._waiting.extend(trials)
        if self._running_in != os.getpid():
            self._start()
        self._news.set()

    def _start(self) -> None:
        with self._lock:
            if self._running_in != os.getpid():
                self._running_in = os.getpid()
                threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            self._sleep(self._pause_s)
            while self._waiting:
                trials = [
                    self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))
                ]
                try:
                    self._try(trials)
                except Exception as error:
                    log.exception("shadow_failed", error=str(error))
                    self._count("failure", len(trials))
                self._sleep(self._pause_s)

    def _try(self, trials: Sequence[Trial]) -> None:
        model = self._shadows.model()
        if model is None:
            self._count("failure", len(trials))
            return
        version = model.version.id
        started = time.perf_counter()
        found = model.estimate([car for car, _ in trials])
        SHADOW_SECONDS.labels(version=version).observe(time.perf_counter() - started)
        compared = 0
        for (_, answer), trial in zip(trials, found, strict=True):
            if answer.model_version != version:  # it has become the active one
                compared += 1
                SHADOW_RATIO.labels(version=version).observe(trial.price_mad / answer.price_mad)
                SHADOW_OVERLAP.labels(version=version).observe(overlap(answer, trial))
        SHADOW_VALUATIONS.labels(version=version, outcome="success").inc(compared)

    def _count(self, outcome: str, trials: int) -> None:
        version = self._shadows.version()
        if version is not None:
            SHADOW_VALUATIONS.labels(version=version, outcome=outcome).inc(trials)


def overlap(one: Estimate, other: Estimate) -> float:
    """How far two 90 % intervals agree: shared length over covered length, 0 to 1."""
    first, second = one.interval(), other.interval()
    shared = min(first.high_mad, second.high_mad) - max(first.low_mad, second.low_mad)
    covered = max(first.high_mad, second.high_mad) - min(first.low_mad, second.low_mad)
    return max(0.0, shared) / covered if covered > 0 else 1.0
