"""Files of a registry's folder that name the active and the shadow version. Standard library only.

- `ACTIVE`: one line, the id of the active version,
- `SHADOW`: one line, the id of the shadow version,
- `shadow-share`: the share of the cars that the shadow version values.
"""

import dataclasses
import logging
import re
from pathlib import Path

from model_store.registry.atomic_files import write_atomically
from shared.domain.ids import ModelVersionId

ACTIVE_FILE = "ACTIVE"
SHADOW_FILE = "SHADOW"
SHARE_FILE = "shadow-share"
_VERSION_ID = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}-[0-9a-f]{6}")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Shadow:
    """The shadow version and the share of the cars (0 to 1) that it values."""

    version: ModelVersionId
    share: float


def read_active(versions_path: Path) -> ModelVersionId | None:
    """The id of the active version; None before the first activation, or if unreadable."""
    try:
        text = (versions_path / ACTIVE_FILE).read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not is_version_id(text):
        logger.error("active_pointer_unreadable: %r", text[:60])
        return None
    return ModelVersionId(text)


def write_active(versions_path: Path, version: str) -> None:
    """Make a version the active one of this folder."""
    write_atomically(versions_path / ACTIVE_FILE, f"{version}\n".encode())


def read_shadow(versions_path: Path) -> Shadow | None:
    """The shadow; None if there is none or its files are invalid."""
    try:
        version = (versions_path / SHADOW_FILE).read_text("ascii", errors="replace").strip()
        share = float((versions_path / SHARE_FILE).read_text("ascii", errors="replace"))
    except (FileNotFoundError, ValueError):
        return None
    if not is_version_id(version) or not 0 < share <= 1:
        return None
    return Shadow(ModelVersionId(version), share)


def write_shadow(versions_path: Path, shadow: Shadow | None) -> None:
    """Write the files of the shadow; None removes them."""
    if shadow is None:
        for name in (SHADOW_FILE, SHARE_FILE):
            (versions_path / name).unlink(missing_ok=True)
        return
    write_atomically(versions_path / SHARE_FILE, f"{shadow.share}\n".encode())
    write_atomically(versions_path / SHADOW_FILE, f"{shadow.version}\n".encode())


def is_version_id(text: str) -> bool:
    """Whether `text` has the form of a version's id, so that it is safe in a path.

    >>> is_version_id("2026-11-22T101530-ab12cd"), is_version_id("../../etc")
    (True, False)
    """
    return _VERSION_ID.fullmatch(text) is not None
