"""The model of a worker process: loaded at the start, reloaded without a restart, called.

After loading, the memory of LLVM's code is released.
"""

import contextlib
import ctypes
import dataclasses
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from model_store.registry.registry import ModelRegistry
from shared.domain.errors import DomainError, ModelNotLoaded, ValuationFailed
from shared.domain.lists.estimates import EstimateList
from shared.domain.lists.requests import RequestList
from shared.domain.valuation import CarRequest, Estimate, Extra
from shared.logging import get_logger
from shared.metrics import INFERENCE
from shared.queue.names import QueueName
from shared.queue.sender import EstimateResult
from worker.shadow import ShadowEvaluator

if TYPE_CHECKING:
    from model_store.pricing.inference import LoadedModel

CHECK_INTERVAL_S = 1.0
RETRY_AFTER_S = 30.0
"""A version that failed to load is tried again after this time, or when another is activated."""

MAX_PINNED_MODELS = 3
"""Loaded versions that are kept: those activated last and those of batches in progress."""

log = get_logger("model_runtime")


class ReloadOutcome(StrEnum):
    """How an attempt to load a version ended; the label of a metric."""

    SUCCESS = "success"
    FAILURE = "failure"


class ModelRuntime:
    """Holds the loaded model of this process.

    A thread of each process reads the registry's pointer once a second. It loads and tests a new
    version while the old one serves, then swaps one reference. A version that cannot be loaded
    changes nothing.

    The object may be created and warmed up in a parent process: the children share the memory of
    the forest, and each starts its own thread at its first use of the model.

    Args:
        versions_path: the registry's folder.
        clock: monotonic time in seconds.
        on_reload: called with the outcome of every attempt to load the active version.
        check_interval_s: time between two reads of the pointer.
        ensure: called before a version is loaded: fetches files that only other hosts have.
    """

    def __init__(
        self,
        versions_path: Path,
        clock: Callable[[], float],
        *,
        on_reload: Callable[[ReloadOutcome], None] = lambda _: None,
        check_interval_s: float = CHECK_INTERVAL_S,
        ensure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = versions_path
        self._registry = ModelRegistry(versions_path)
        self._clock = clock
        self._on_reload = on_reload
        self._check_interval_s = check_interval_s
        self._ensure = ensure
        self._lock = threading.RLock()
        self._current: LoadedModel | None = None
        self._pinned: OrderedDict[str, LoadedModel] = OrderedDict()
        self._failed_version: str | None = None
        self._retry_at = 0.0
        self._watcher_pid: int | None = None

    def current(self) -> "LoadedModel":
        """The active version.

        Raises:
            ModelNotLoaded: none is active, or none could be loaded yet.
        """
        if self._watcher_pid != os.getpid():
            self._start_watching()
        if self._current is None:
            self.refresh()
        if self._current is None:
            raise ModelNotLoaded
        return self._current

    def serving_version(self) -> str | None:
        """The id of the version that this process serves; None: none yet."""
        try:
            return self.current().version.id
        except ModelNotLoaded:
            return None

    def loaded(self) -> set[str]:
        """The versions that are in memory: activating one of them takes no time."""
        current = self._current
        return {*tuple(self._pinned), *([] if current is None else [current.version.id])}

    def load(self, version: str) -> "LoadedModel":
        """A given version, for work that was accepted with it; the last few are kept.

        Raises:
            ModelVersionNotFound: there is no such version.
            ModelRefused: it fails its checks.
            OSError: it has to be fetched, and the state store is unreachable.
        """
        with self._lock:
            if self._current is not None and self._current.version.id == version:
                return self._current
            model = self._pinned.get(version)
            if model is None:
                self._ensure(version)
                model = _load_and_warm_up(self._path, version)
            self._pinned[version] = model
            self._pinned.move_to_end(version)
            if len(self._pinned) > MAX_PINNED_MODELS:
                self._pinned.popitem(last=False)
            return model

    def warm_up(self) -> None:
        """Load the active version and the compiled kernels, before the first request or fork.

        Starts no threads, not even OpenMP's, so that forking afterwards is safe.

        Raises:
            ModelNotLoaded: see `current`.
        """
        self.refresh()
        if self._current is None:
            raise ModelNotLoaded

    def refresh(self) -> None:
        """Load the version that the pointer names, unless it is served already."""
        with self._lock:
            wanted = self._registry.active_version()
            if wanted is None or self._needs_no_reload(wanted):
                return
            try:
                model = self.load(wanted)
            except Exception as error:  # noqa: BLE001 - the old version goes on serving
                self._record_load_failure(wanted, error)
                return
            self._current, self._failed_version = model, None
            log.info("model_loaded", version=wanted, trees=model.forest.tree_count)
            self._on_reload(ReloadOutcome.SUCCESS)

    def _needs_no_reload(self, wanted: str) -> bool:
        """Whether a version serves already, or failed within `RETRY_AFTER_S`."""
        if self._current is not None and self._current.version.id == wanted:
            return True
        return wanted == self._failed_version and self._clock() < self._retry_at

    def _record_load_failure(self, version: str, error: Exception) -> None:
        self._failed_version, self._retry_at = version, self._clock() + RETRY_AFTER_S
        serving = self._current.version.id if self._current else None
        reason = error.params.get("reason", error.code) if isinstance(error, DomainError) else error
        log.error("model_not_loaded", version=version, reason=str(reason), serving=serving)
        self._on_reload(ReloadOutcome.FAILURE)

    def _start_watching(self) -> None:
        with self._lock:
            if self._watcher_pid != os.getpid():
                self._watcher_pid = os.getpid()
                threading.Thread(target=self._watch, name="model-watch", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._check_interval_s):
            try:
                self.refresh()
            except OSError as error:
                log.warning("model_pointer_unreadable", error=str(error))


class Estimation:
    """Estimates the prices of many requests by one call of the forest.

    Args:
        models: gives the loaded model.
        shadow_evaluator: values a sample with the shadow version; None: nothing is sampled.
    """

    def __init__(
        self, models: ModelRuntime, shadow_evaluator: ShadowEvaluator | None = None
    ) -> None:
        self._models = models
        self._shadow_evaluator = shadow_evaluator
        self._calls_s: list[float] = []
        """Durations of calls that no metric has yet."""

    def estimate(self, requests: Sequence[CarRequest]) -> list[EstimateResult]:
        """One result per request; a request that raises does not affect the others."""
        if not requests:
            return []
        try:
            model = self._models.current()
        except DomainError as error:
            return [error] * len(requests)
        started = time.perf_counter()
        try:
            results: list[EstimateResult] = list(_estimate_all(model, requests))
        except Exception as error:
            log.exception("group_failed", error=str(error), cars=len(requests))
            results = [_estimate_alone(model, request) for request in requests]
        self._calls_s.append(time.perf_counter() - started)
        if self._shadow_evaluator is not None:
            pairs = zip(requests, results, strict=True)
            answered = [(one.car, found) for one, found in pairs if isinstance(found, Estimate)]
            self._shadow_evaluator.submit_sample(answered)
        return results

    def estimate_list(self, requests: RequestList) -> EstimateList | None:
        """The prices of a list by columns; None if it has to be estimated car by car.

        It has to be if no model is loaded, or if something is wrong with a car.
        """
        try:
            model = self._models.current()
            started = time.perf_counter()
            estimates = model.estimate_list(requests.cars, len(requests))
        except DomainError:
            return None
        except Exception as error:
            log.exception("list_failed", error=str(error), cars=len(requests))
            return None
        INFERENCE.labels(queue=str(QueueName.INTERACTIVE)).observe(time.perf_counter() - started)
        if (shadow := self._shadow_evaluator) is not None:
            drawn = shadow.drawn(len(requests))
            shadow.enqueue([(requests[index].car, estimates[index]) for index in drawn])
        return estimates

    def update_metrics(self) -> None:
        """Add the calls since the last one to the metrics, when no caller waits."""
        histogram = INFERENCE.labels(queue=str(QueueName.INTERACTIVE))
        while self._calls_s:
            histogram.observe(self._calls_s.pop())


def _estimate_all(model: "LoadedModel", requests: Sequence[CarRequest]) -> list[Estimate]:
    estimates = model.estimate([request.car for request in requests])
    return [
        _with_extras(model, request, estimate) if request.extras else estimate
        for request, estimate in zip(requests, estimates, strict=True)
    ]


def _estimate_alone(model: "LoadedModel", request: CarRequest) -> EstimateResult:
    try:
        return _estimate_all(model, [request])[0]
    except Exception as error:
        log.exception("car_failed", error=str(error))
        return ValuationFailed(reason=type(error).__name__)


def _with_extras(model: "LoadedModel", request: CarRequest, estimate: Estimate) -> Estimate:
    """Add what was asked for on top of the price."""
    car, wanted, price_mad = request.car, request.extras, estimate.price_mad
    return dataclasses.replace(
        estimate,
        explanation=model.explain(car) if Extra.CONTRIBUTIONS in wanted else None,
        depreciation=model.depreciation(car) if Extra.DEPRECIATION in wanted else None,
        comparables=model.comparables(car, price_mad) if Extra.COMPARABLES in wanted else None,
        typical=model.typical(car, estimate) if Extra.TYPICAL in wanted else None,
    )


def _load_and_warm_up(versions_path: Path, version: str) -> "LoadedModel":
    """Load a version and run what its first requests would have to wait for."""
    # Importing the bundle loads the compiled kernels: only after `fill_kernel_cache` has run.
    from model_store.registry.bundle import load_model  # noqa: PLC0415

    model = load_model(versions_path, version)
    case = model.version.self_test[0]
    model.explain(case.car)
    model.comparables(case.car, case.price_mad)
    release_llvm_pages()
    return model


_LIBRARY = "libllvmlite"
_CODE_PERMISSIONS = "r-xp"
_MADV_DONTNEED = 4


def release_llvm_pages() -> None:
    """Release the memory of LLVM's code; the system reads it from the file again when needed.

    Only executable pages that are not writable are released: they equal the file. Does nothing on
    systems without `/proc/self/maps` or `madvise`.
    """
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for start, end in _library_code_ranges():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _library_code_ranges() -> list[tuple[int, int]]:
    """Address ranges of the library's code."""
    found = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        addresses, rights, *_ = line.split()
        if rights == _CODE_PERMISSIONS and _LIBRARY in line:
            start, end = addresses.split("-")
            found.append((int(start, 16), int(end, 16)))
    return found
