"""The model registry, as callers of the API see and change it."""

import os
import subprocess
import sys
from pathlib import Path

from model_store.registry.manifest import ModelVersion
from model_store.registry.registry import ActiveVersionCache, ModelRegistry
from shared.domain.errors import ModelRefused
from shared.domain.ids import CallerId, ModelVersionId

CARD_DATA_FILE, MARKDOWN_FILE = "card.json", "card.md"
"""The model card of a version, to be shown as a page and to be read as it is."""


class Models:
    """Lists, activates and rolls back.

    Args:
        registry: the versions on disk.
        active_model: the version that answers now.
    """

    def __init__(self, registry: ModelRegistry, active_model: ActiveVersionCache) -> None:
        self._registry = registry
        self._active_model = active_model

    def versions(self) -> list[ModelVersion]:
        """All versions, the newest first."""
        return list(self._registry.list())

    def active_id(self) -> ModelVersionId | None:
        """The id of the active version."""
        return self._active_model.version_id()

    def active(self) -> ModelVersion | None:
        """The manifest of the active version."""
        version_id = self.active_id()
        return None if version_id is None else self._active_model.manifest(version_id)

    def card_file(self, version_id: str, name: str) -> bytes:
        """A file of a version's model card; see `ModelRegistry.card_file`.

        Raises:
            ModelVersionNotFound, ModelCardNotFound, ModelRefused: there is none.
        """
        return self._registry.card_file(version_id, name)

    def activated_at(self) -> dict[str, str]:
        """When each version was last made the active one (UTC, ISO 8601)."""
        return {change.version: change.at for change in self._registry.history()}

    def activate(self, version_id: str, caller: CallerId, etag: str | None) -> ModelVersion:
        """Make a version the active one.

        Args:
            version_id: the version.
            caller: who asks, for the history.
            etag: if given, the active version must still have this ETag.

        Raises:
            ModelVersionNotFound, ModelRefused, ActiveModelChanged: the active one stays.
        """
        return self._registry.activate(version_id, by=caller, expected_etag=etag)

    def rollback(self, caller: CallerId, etag: str | None) -> ModelVersion:
        """Activate the version that was active before the present one.

        Raises:
            NoEarlierModel, ModelVersionNotFound, ModelRefused, ActiveModelChanged: the active
                one stays.
        """
        return self._registry.rollback(by=caller, expected_etag=etag)


CODE_ROOT = Path(__file__).resolve().parents[2]
SELF_TEST_TIMEOUT_S = 60.0
"""Compiling the forest's loops for the first time takes a good part of it on a slow machine."""


class ModelSelfTest:
    """Runs `model_store.registry.trial` for a version.

    Args:
        versions_path: the registry's folder.
        timeout_s: so long may it take.
    """

    def __init__(self, versions_path: Path, timeout_s: float = SELF_TEST_TIMEOUT_S) -> None:
        self._path = versions_path.resolve()
        self._timeout_s = timeout_s

    def __call__(self, version: str) -> None:
        """Try a version.

        Raises:
            ModelRefused: it failed its self-test, or could not be tried.
        """
        # The counters of this process's metrics are not the trial's.
        env = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
        command = [sys.executable, "-m", "model_store.registry.trial", str(self._path), version]
        try:
            found = subprocess.run(
                command,
                cwd=CODE_ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=self._timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            reason = f"self-test: no result after {self._timeout_s:.0f} s"
            raise ModelRefused(version=version, reason=reason) from error
        if found.returncode != 0:
            reason = found.stdout.strip() or f"self-test: ended with code {found.returncode}"
            raise ModelRefused(version=version, reason=reason)
