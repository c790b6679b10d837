"""The shadow version that a worker process tries out beside the active one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from model_store.registry.registry import ModelRegistry, Shadow, ShadowPointer
from shared.domain.errors import DomainError
from shared.logging import get_logger

if TYPE_CHECKING:
    from model_store.pricing.inference import LoadedModel

CHECK_INTERVAL_S = 1.0
RETRY_AFTER_S = 30.0
"""A version that failed to load is tried again after this time, or when another is named."""

log = get_logger("shadow")


class ShadowRuntime:
    """Looks at the pointers at most once a second; loads its version when it is first needed.

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
        self._failed: tuple[str, float] | None = None

    def share(self) -> float:
        """The share of the cars to be tried; 0 while there is no shadow, or nobody can know."""
        now = self._clock()
        if now - self._checked_at >= CHECK_INTERVAL_S:
            self._checked_at = now
            self._shadow, self._active = self._read()
        return self._shadow.share if self._shadow else 0.0

    def version(self) -> str | None:
        """The version named by the pointer when it was last looked at."""
        return self._shadow.version if self._shadow else None

    def baseline(self) -> str | None:
        """The active version when the pointers were last looked at."""
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
        """Both pointers; whatever is wrong with their files, answers must go on."""
        try:
            return self._pointer.read(), self._registry.active_version()
        except OSError as error:
            log.warning("shadow_pointer_unreadable", error=str(error))
            return None, None

    def _may_load(self, version: str) -> bool:
        """Whether this version has not failed just now."""
        if self._failed is not None and self._failed[0] == version:
            return self._clock() - self._failed[1] >= RETRY_AFTER_S
        return True

    def _load(self, version: str) -> "LoadedModel | None":
        # Importing the bundle loads the compiled kernels: only after `fill_kernel_cache` has run.
        from model_store.registry.bundle import load_model  # noqa: PLC0415

        try:
            model = load_model(self._path, version)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, answers must go on
            reason = error.params.get("reason") if isinstance(error, DomainError) else str(error)
            log.error("shadow_not_loaded", version=version, reason=reason)  # noqa: TRY400
            self._failed = (version, self._clock())
            return None
        log.info("shadow_loaded", version=version)
        self._failed = None
        return model
