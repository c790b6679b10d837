"""The pointer to the shadow: a version that values a share of the cars without answering.

Two files beside `ACTIVE`: `SHADOW` names the version, as every pointer does, so that it is never
pruned; `shadow-share` says how much it is asked. Standard library only.
"""

import dataclasses
import math
from pathlib import Path

from model_store.registry.atomic_files import write_atomically
from model_store.registry.manifest import ModelVersion
from model_store.registry.registry import ModelRegistry
from model_store.registry.verification import check_version
from shared.domain.errors import ModelRefused, ModelVersionNotFound
from shared.domain.ids import ModelVersionId, is_version_id

SHADOW_FILE = "SHADOW"
SHARE_FILE = "shadow-share"


@dataclasses.dataclass(frozen=True, slots=True)
class Shadow:
    """Which version is tried out, and on what share of the cars (0 to 1)."""

    version: ModelVersionId
    share: float


class ShadowPointer:
    """Reads and moves the pointer; the active version is never touched.

    Args:
        versions_path: the registry's folder.
    """

    def __init__(self, versions_path: Path) -> None:
        self._path = versions_path
        self._registry = ModelRegistry(versions_path)

    def read(self) -> Shadow | None:
        """The shadow; None while there is none, or the files cannot be understood."""
        try:
            version = (self._path / SHADOW_FILE).read_text("ascii", errors="replace").strip()
            share = float((self._path / SHARE_FILE).read_text("ascii", errors="replace"))
        except (FileNotFoundError, ValueError):
            return None
        if not is_version_id(version) or not 0 < share <= 1:
            return None
        return Shadow(ModelVersionId(version), share)

    def point_to(self, version: str, share: float) -> ModelVersion:
        """Let a version value a share of the cars beside the active one.

        Raises:
            ValueError: the share is not above 0 and at most 1.
            ModelVersionNotFound: there is no such version.
            ModelRefused: its files are not right, or it is the active one.
        """
        if not (math.isfinite(share) and 0 < share <= 1):
            raise ValueError(f"a share is above 0 and at most 1, not {share}")
        manifest = self._registry.get(version)
        check_version(self._registry.folder(version), manifest)
        if manifest.id == self._registry.active_version():
            raise ModelRefused(version=version, reason="it is the active version already")
        write_atomically(self._path / SHARE_FILE, f"{share}\n".encode())
        write_atomically(self._path / SHADOW_FILE, f"{manifest.id}\n".encode())
        if not self._registry.folder(version).is_dir():  # pruned just before the pointer held it
            self.clear()
            raise ModelVersionNotFound(version=version)
        return manifest

    def clear(self) -> None:
        """No shadow any more."""
        for name in (SHADOW_FILE, SHARE_FILE):
            (self._path / name).unlink(missing_ok=True)
