"""The model registry as the API uses it: read, activate, roll back."""

import os
import subprocess
import sys
from pathlib import Path

from model_store.registry.manifest import ModelVersion
from model_store.registry.registry import ActiveVersionCache, ModelRegistry
from shared.domain.errors import ModelRefused
from shared.domain.ids import CallerId, ModelVersionId

CARD_DATA_FILE, MARKDOWN_FILE = "card.json", "card.md"
"""Files of a model card: data of the page, and text."""


class Models:
    """Lists, activates and rolls back model versions.

    Args:
        registry: the versions on disk.
        active_model: cached id of the active version.
    """

    def __init__(self, registry: ModelRegistry, active_model: ActiveVersionCache) -> None:
        self._registry = registry
        self._active_model = active_model

    def versions(self) -> list[ModelVersion]:
        """All versions, newest first."""
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
            ModelVersionNotFound, ModelCardNotFound, ModelRefused: no valid file.
        """
        return self._registry.card_file(version_id, name)

    def activated_at(self) -> dict[str, str]:
        """When each version was last activated (UTC, ISO 8601)."""
        return {change.version: change.at for change in self._registry.history()}

    def activate(self, version_id: str, caller: CallerId, etag: str | None) -> ModelVersion:
        """Make a version the active one.

        Args:
            version_id: the version.
            caller: recorded in the history.
            etag: if given, the active version must have this ETag.

        Raises:
            ModelVersionNotFound, ModelRefused, ActiveModelChanged: nothing has changed.
        """
        return self._registry.activate(version_id, by=caller, expected_etag=etag)

    def rollback(self, caller: CallerId, etag: str | None) -> ModelVersion:
        """Activate the version that was active before.

        Raises:
            NoEarlierModel, ModelVersionNotFound, ModelRefused, ActiveModelChanged: nothing has
                changed.
        """
        return self._registry.rollback(by=caller, expected_etag=etag)


CODE_ROOT = Path(__file__).resolve().parents[2]
SELF_TEST_TIMEOUT_S = 60.0
"""Most of it may go into compiling the kernels for the first time."""


class ModelSelfTest:
    """Runs `model_store.registry.trial` for a version in a child process.

    Args:
        versions_path: the registry's folder.
        timeout_s: longest run.
    """

    def __init__(self, versions_path: Path, timeout_s: float = SELF_TEST_TIMEOUT_S) -> None:
        self._path = versions_path.resolve()
        self._timeout_s = timeout_s

    def __call__(self, version: str) -> None:
        """Test a version.

        Raises:
            ModelRefused: the self-test failed or could not run.
        """
        # The child must not write to the metric files of this process.
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
