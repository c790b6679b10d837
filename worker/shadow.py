"""The shadow model version: values a sample of the answered cars, after they were answered.

Its prices are compared with the answers by metrics only. Nothing here can fail or delay an answer.
"""

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from data.vehicles.columns import Column, values_at
from model_store.registry.pointer_files import Shadow
from model_store.registry.registry import ModelRegistry, ShadowPointer
from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.errors import DomainError
from shared.domain.valuation import QUANTILE_LEVELS, Estimate
from shared.logging import get_logger
from shared.metrics import SHADOW_OVERLAP, SHADOW_RATIO, SHADOW_SECONDS, SHADOW_VALUATIONS

if TYPE_CHECKING:
    from model_store.pricing.inference import LoadedModel

CHECK_INTERVAL_S = 1.0
RETRY_AFTER_S = 30.0
"""A version that failed to load is tried again after this time, or when another is named."""

PAUSE_S = 0.1
"""Time before a sample is valued, so that its answers are sent first, and between two samples, so
that a batch does not take the processor from waiting requests."""
MAX_QUEUED_SAMPLES = 1000
"""Cars that may wait to be valued; more are dropped."""
MAX_SAMPLES_PER_BATCH = 64
_MEDIAN = QUANTILE_LEVELS.index(0.5)

log = get_logger("shadow")

ShadowSample: TypeAlias = tuple[CarFeatures, Estimate]
"""A car and the estimate that it was answered with."""


class ShadowRuntime:
    """The shadow version of a worker process, loaded when it is first needed.

    The pointers to the active version and to the shadow are read at most once a second.

    Args:
        versions_path: the registry's folder.
        clock: monotonic time in seconds.
    """

    def __init__(self, versions_path: Path, clock: Callable[[], float]) -> None:
        self._path = versions_path
        self._pointer = ShadowPointer(versions_path)
        self._registry = ModelRegistry(versions_path)
        self._clock = clock
        self._checked_at = float("-inf")
        self._shadow, self._active = self._read()
        self._model: LoadedModel | None = None
        self._failed: tuple[str | None, float] = (None, 0.0)

    def share(self) -> float:
        """Share of the cars to value (0 to 1); 0 without a shadow or a readable pointer."""
        now = self._clock()
        if now - self._checked_at >= CHECK_INTERVAL_S:
            self._checked_at = now
            self._shadow, self._active = self._read()
        return self._shadow.share if self._shadow else 0.0

    def version(self) -> str | None:
        """The shadow version when the pointer was last read."""
        return self._shadow.version if self._shadow else None

    def baseline(self) -> str | None:
        """The active version, with which the shadow is compared, when the pointer was last read."""
        return self._active

    def model(self) -> "LoadedModel | None":
        """The loaded shadow; None if there is none or it cannot be loaded. May take a second."""
        version = self.version()
        if version is None:
            self._model = None
        elif (self._model is None or self._model.version.id != version) and self._may_load(version):
            self._model = self._load(version)
        return self._model

    def _read(self) -> tuple[Shadow | None, str | None]:
        """Read both pointers; unreadable files must not stop the answers."""
        try:
            return self._pointer.read(), self._registry.active_version()
        except OSError as error:
            log.warning("shadow_pointer_unreadable", error=str(error))
            return None, None

    def _may_load(self, version: str) -> bool:
        """Whether loading this version has not failed within `RETRY_AFTER_S`."""
        failed_version, at = self._failed
        return failed_version != version or self._clock() - at >= RETRY_AFTER_S

    def _load(self, version: str) -> "LoadedModel | None":
        # Importing the bundle loads the compiled kernels: only after `fill_kernel_cache` has run.
        from model_store.registry.bundle import load_model  # noqa: PLC0415

        try:
            model = load_model(self._path, version)
        except Exception as error:  # noqa: BLE001 - no error may stop the answers
            reason = error.params.get("reason") if isinstance(error, DomainError) else str(error)
            log.error("shadow_not_loaded", version=version, reason=reason)  # noqa: TRY400
            self._failed = (version, self._clock())
            return None
        log.info("shadow_loaded", version=version)
        self._failed = (None, 0.0)
        return model


class ShadowEvaluator:
    """Samples answered cars and values them with the shadow, on a thread of its own.

    Errors are counted by a metric.

    Args:
        runtime: the shadow version and its share.
        draw: returns a random number from 0 to 1.
        pause_s: seconds before a sample is valued, and between two.
        sleep: waits the given seconds.
    """

    def __init__(
        self,
        runtime: ShadowRuntime,
        *,
        draw: Callable[[], float] = random.random,
        pause_s: float = PAUSE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._runtime = runtime
        self._draw = draw
        self._pause_s = pause_s
        self._sleep = sleep
        self._queue: deque[ShadowSample] = deque()
        self._wakeup = threading.Event()
        self._lock = threading.Lock()
        self._thread_pid: int | None = None

    def submit_sample(self, answered: Sequence[ShadowSample]) -> None:
        """Sample the answered cars; returns at once."""
        self.enqueue([answered[index] for index in self.drawn(len(answered))])

    def drawn(self, count: int) -> list[int]:
        """Draw the indexes of a sample of `count` answers, as many as the queue has room for."""
        share = self._runtime.share()
        if not share:
            return []
        drawn = [index for index in range(count) if self._draw() < share]
        room = max(0, MAX_QUEUED_SAMPLES - len(self._queue))
        if len(drawn) <= room:
            return drawn
        self._count("dropped", len(drawn) - room)
        # Spread over all rows, because a file may be sorted by brand or price.
        return [drawn[nth * len(drawn) // room] for nth in range(room)]

    def is_baseline(self, version: str) -> bool:
        """Whether there is a shadow, and `version` is the active version it is compared with."""
        return self._runtime.share() > 0 and self._runtime.baseline() == version

    def enqueue(self, samples: Sequence[ShadowSample]) -> None:
        """Queue samples; they are valued after `pause_s`."""
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
                count = min(len(self._queue), MAX_SAMPLES_PER_BATCH)
                samples = [self._queue.popleft() for _ in range(count)]
                try:
                    self._evaluate(samples)
                except Exception as error:
                    log.exception("shadow_failed", error=str(error))
                    self._count("failure", len(samples))
                self._sleep(self._pause_s)

    def _evaluate(self, samples: Sequence[ShadowSample]) -> None:
        model = self._runtime.model()
        if model is None:
            self._count("failure", len(samples))
            return
        version = model.version.id
        started = time.perf_counter()
        found = model.estimate([car for car, _ in samples])
        SHADOW_SECONDS.labels(version=version).observe(time.perf_counter() - started)
        compared = 0
        for (_, answer), trial in zip(samples, found, strict=True):
            if answer.model_version != version:  # the shadow has become the active version
                compared += 1
                SHADOW_RATIO.labels(version=version).observe(trial.price_mad / answer.price_mad)
                SHADOW_OVERLAP.labels(version=version).observe(interval_overlap(answer, trial))
        SHADOW_VALUATIONS.labels(version=version, outcome="success").inc(compared)

    def _count(self, outcome: str, samples: int) -> None:
        version = self._runtime.version()
        if version is not None:
            SHADOW_VALUATIONS.labels(version=version, outcome=outcome).inc(samples)


def interval_overlap(one: Estimate, other: Estimate) -> float:
    """Shared length of two 90 % intervals over the length that they cover together, 0 to 1."""
    first, second = one.interval(), other.interval()
    shared = min(first.high_mad, second.high_mad) - max(first.low_mad, second.low_mad)
    covered = max(first.high_mad, second.high_mad) - min(first.low_mad, second.low_mad)
    return max(0.0, shared) / covered if covered > 0 else 1.0


class ChunkShadowSampler:
    """Samples the rows of a chunk; they are valued once the chunk's results are stored.

    Errors are logged and never fail a chunk.

    Args:
        shadow_evaluator: values samples; None: nothing is sampled.
    """

    def __init__(self, shadow_evaluator: ShadowEvaluator | None) -> None:
        self._shadow_evaluator = shadow_evaluator
        self._pending_samples: list[ShadowSample] = []

    def forget(self) -> None:
        """Drop the sample of a chunk that failed: its rows will be valued and sampled again."""
        self._pending_samples = []

    def draw(self, columns: Mapping[str, Column], quantiles: Any, version: str) -> None:
        """Sample rows, given as for `shadow_samples`.

        Only answers of the active version are sampled, for the shadow is compared with that.
        """
        if self._shadow_evaluator is None:
            return
        try:
            if self._shadow_evaluator.is_baseline(version):
                rows = self._shadow_evaluator.drawn(len(quantiles))
                self._pending_samples = shadow_samples(columns, quantiles, rows, version)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            log.exception("shadow_rows_not_drawn", error=str(error))

    def submit_sample(self) -> None:
        """Queue the sample."""
        if self._shadow_evaluator is not None:
            self._shadow_evaluator.enqueue(self._pending_samples)
        self.forget()


def shadow_samples(
    columns: Mapping[str, Column], quantiles: Any, rows: Sequence[int], version: str
) -> list[ShadowSample]:
    """The cars and answers of some rows.

    Args:
        columns: of n cars, by field name; an absent one is missing in every car.
        quantiles: (n, levels) prices in MAD that were answered.
        rows: indexes of the rows.
        version: that answered.
    """
    missing = [None] * len(rows)
    by_field = [
        values_at(columns[name], rows) if name in columns else missing for name in FIELD_NAMES
    ]
    cars = [CarFeatures.from_wire(list(values)) for values in zip(*by_field, strict=True)]
    answers = [
        Estimate(
            price_mad=prices[_MEDIAN],
            quantiles_mad=tuple(prices),
            model_version=version,
            model_known=True,  # not compared
        )
        for prices in quantiles[list(rows)].tolist()
    ]
    return list(zip(cars, answers, strict=True))
