"""Trying a shadow version on a share of the cars, behind the backs of all who wait."""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from shared.domain.car import CarFeatures
from shared.domain.valuation import Estimate
from shared.logging import get_logger
from shared.metrics import SHADOW_OVERLAP, SHADOW_RATIO, SHADOW_SECONDS, SHADOW_VALUATIONS

if TYPE_CHECKING:
    from model_store.pricing.inference import LoadedModel

PAUSE_S = 0.1
"""Before a car is tried: by then its answer has been sent. And between two groups of cars: a
batch brings more than are worth what they take from those who wait for answers."""
MAX_QUEUED_SAMPLES = 1000
"""Cars that wait to be tried; more are left out."""
MAX_SAMPLES_PER_BATCH = 64

log = get_logger("shadow")

ShadowSample = tuple[CarFeatures, Estimate]


class ShadowModelSource(Protocol):
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

    def model(self) -> "LoadedModel | None":
        """The loaded version."""
        ...


class ShadowEvaluator:
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
        shadows: ShadowModelSource,
        *,
        draw: Callable[[], float] = random.random,
        pause_s: float = PAUSE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shadow_source = shadows
        self._draw = draw
        self._pause_s = pause_s
        self._sleep = sleep
        self._queue: deque[ShadowSample] = deque()
        self._wakeup = threading.Event()
        self._lock = threading.Lock()
        self._thread_pid: int | None = None

    def submit_sample(self, answered: Sequence[ShadowSample]) -> None:
        """Put a share of the answered cars aside; returns at once."""
        self.enqueue([answered[place] for place in self.drawn(len(answered))])

    def drawn(self, count: int) -> list[int]:
        """Which of so many answers are to be tried: a share, as far as there is room for it."""
        share = self._shadow_source.share()
        if not share:
            return []
        drawn = [place for place in range(count) if self._draw() < share]
        room = max(0, MAX_QUEUED_SAMPLES - len(self._queue))
        if len(drawn) <= room:
            return drawn
        self._count("dropped", len(drawn) - room)
        # From all over, because rows of a file may be in order of brand or price.
        return [drawn[nth * len(drawn) // room] for nth in range(room)]

    def is_baseline(self, version: str) -> bool:
        """Whether there is a shadow that this version's answers are compared with."""
        return self._shadow_source.share() > 0 and self._shadow_source.baseline() == version

    def enqueue(self, samples: Sequence[ShadowSample]) -> None:
        """Have these tried a moment later."""
        if not samples:
            return
        self._queue.extend(samples)
        if self._thread_pid != os.getpid():
            self._start()
        self._wakeup.set()

    def _start(self) -> None:
        with self._lock:
            if self._thread_pid != os.getpid():
                self._thread_pid = os.getpid()
                threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._wakeup.wait()
            self._wakeup.clear()
            self._sleep(self._pause_s)
            while self._queue:
                samples = [
                    self._queue.popleft()
                    for _ in range(min(len(self._queue), MAX_SAMPLES_PER_BATCH))
                ]
                try:
                    self._evaluate(samples)
                except Exception as error:
                    log.exception("shadow_failed", error=str(error))
                    self._count("failure", len(samples))
                self._sleep(self._pause_s)

    def _evaluate(self, samples: Sequence[ShadowSample]) -> None:
        model = self._shadow_source.model()
        if model is None:
            self._count("failure", len(samples))
            return
        version = model.version.id
        started = time.perf_counter()
        found = model.estimate([car for car, _ in samples])
        SHADOW_SECONDS.labels(version=version).observe(time.perf_counter() - started)
        compared = 0
        for (_, answer), trial in zip(samples, found, strict=True):
            if answer.model_version != version:  # it has become the active one
                compared += 1
                SHADOW_RATIO.labels(version=version).observe(trial.price_mad / answer.price_mad)
                SHADOW_OVERLAP.labels(version=version).observe(interval_overlap(answer, trial))
        SHADOW_VALUATIONS.labels(version=version, outcome="success").inc(compared)

    def _count(self, outcome: str, samples: int) -> None:
        version = self._shadow_source.version()
        if version is not None:
            SHADOW_VALUATIONS.labels(version=version, outcome=outcome).inc(samples)


def interval_overlap(one: Estimate, other: Estimate) -> float:
    """How far two 90 % intervals agree: shared length over covered length, 0 to 1."""
    first, second = one.interval(), other.interval()
    shared = min(first.high_mad, second.high_mad) - max(first.low_mad, second.low_mad)
    covered = max(first.high_mad, second.high_mad) - min(first.low_mad, second.low_mad)
    return max(0.0, shared) / covered if covered > 0 else 1.0
