"""The model of a worker process: loaded at the start, reloaded without a restart."""

import contextlib
import ctypes
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from model_store.registry.registry import ModelRegistry
from shared.domain.errors import DomainError, ModelNotLoaded
from shared.logging import get_logger

if TYPE_CHECKING:
    from model_store.pricing.inference import LoadedModel

CHECK_INTERVAL_S = 1.0
RETRY_AFTER_S = 30.0
"""A version that failed to load is tried again after this time, or when another is activated."""

MAX_PINNED_MODELS = 3
"""Versions kept for batches that were accepted with them."""

log = get_logger("model_runtime")


class ReloadOutcome(StrEnum):
    """How an attempt to load a version ended; the label of a metric."""

    SUCCESS = "success"
    FAILURE = "failure"


class ModelRuntime:
    """Holds the loaded model of this process.

    A thread of each process looks at the registry's pointer once a second, loads and tests a new
    version while the old one goes on serving, and then swaps one reference. A version that cannot
    be loaded changes nothing.

    The object may be made and warmed up in a parent process: its children share the forest's
    memory, and each starts its own thread when it first asks for the model.

    Args:
        versions_path: the registry's folder.
        clock: monotonic time in seconds.
        on_reload: told of every attempt to load the active version.
        check_interval_s: pause between two looks at the pointer.
    """

    def __init__(
        self,
        versions_path: Path,
        clock: Callable[[], float],
        *,
        on_reload: Callable[[ReloadOutcome], None] = lambda _: None,
        check_interval_s: float = CHECK_INTERVAL_S,
    ) -> None:
        self._path = versions_path
        self._registry = ModelRegistry(versions_path)
        self._clock = clock
        self._on_reload = on_reload
        self._check_interval_s = check_interval_s
        self._lock = threading.RLock()
        self._current: LoadedModel | None = None
        self._pinned: OrderedDict[str, LoadedModel] = OrderedDict()
        self._failed_version: str | None = None
        self._retry_at = 0.0
        self._watcher_pid: int | None = None

    def current(self) -> "LoadedModel":
        """The active version.

        Raises:
            ModelNotLoaded: none is active, or the only one ever activated cannot be loaded.
        """
        if self._watcher_pid != os.getpid():
            self._start_watching()
        if self._current is None:
            self.refresh()
        if self._current is None:
            raise ModelNotLoaded
        return self._current

    def load(self, version: str) -> "LoadedModel":
        """A certain version, for work that was accepted with it; the last few are kept.

        Raises:
            ModelVersionNotFound: there is no such version.
            ModelRefused: it fails its checks.
        """
        with self._lock:
            if self._current is not None and self._current.version.id == version:
                return self._current
            model = self._pinned.get(version) or _load_and_warm_up(self._path, version)
            self._pinned[version] = model
            self._pinned.move_to_end(version)
            if len(self._pinned) > MAX_PINNED_MODELS:
                self._pinned.popitem(last=False)
            return model

    def warm_up(self) -> None:
        """Load the active version and the compiled kernels, before the first request or fork.

        Nothing here starts a thread, OpenMP's included, so that forking afterwards is safe.

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
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the old one goes on
                self._record_load_failure(wanted, error)
                return
            self._current, self._failed_version = model, None
            log.info("model_loaded", version=wanted, trees=model.forest.tree_count)
            self._on_reload(ReloadOutcome.SUCCESS)

    def _needs_no_reload(self, wanted: str) -> bool:
        """Whether there is nothing to do about a version: it serves, or has failed just now."""
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


def _load_and_warm_up(versions_path: Path, version: str) -> "LoadedModel":
    """Load a version, and do what its first requests would otherwise have to wait for."""
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
_MADV_DONTNEED = 4  # MADV_DONTNEED


def release_llvm_pages() -> None:
    """Give the pages of LLVM's code back; whoever needs them later finds them in its file.

    Only pages that are mapped to be run and cannot be written: they are the file's, byte for byte.
    Does nothing where the system has no such list of mappings.
    """
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for start, end in _library_code_ranges():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _library_code_ranges() -> list[tuple[int, int]]:
    """Where the library's code is mapped."""
    found = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        place, rights, *_ = line.split()
        if rights == _CODE_PERMISSIONS and _LIBRARY in line:
            start, end = place.split("-")
            found.append((int(start, 16), int(end, 16)))
    return found
