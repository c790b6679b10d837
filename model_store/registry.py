"""The catalogue of model versions and the pointer to the active one.

A folder: one sub-folder per version, `ACTIVE` (one line: the active version's id), `history.jsonl`
(who changed the pointer, when, from what to what). Standard library only, so that the API can
use it.
"""

import contextlib
import datetime as dt
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from model_store.atomic_files import write_atomically
from model_store.history import Action, Change, append_change, earlier_version, read_history
from model_store.manifest import ModelVersion, is_version_id
from model_store.verification import check_version
from shared.domain.errors import (
    ActiveModelChanged,
    ModelRefused,
    ModelVersionNotFound,
)
from shared.domain.ids import ModelVersionId

ACTIVE_FILE = "ACTIVE"
LOCK_FILE = ".lock"

logger = logging.getLogger(__name__)


class ModelRegistry:
    """Reads and moves the pointer.

    Args:
        versions_path: the folder; it need not exist yet.
        now: the time of day, for the history.
    """

    def __init__(
        self,
        versions_path: Path,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._path = versions_path
        self._now = now

    def list(self) -> Sequence[ModelVersion]:
        """All versions whose manifest can be read, the newest first."""
        with contextlib.suppress(FileNotFoundError):
            names = sorted((entry.name for entry in os.scandir(self._path)), reverse=True)
            return list(self._readable(filter(is_version_id, names)))
        return []

    def get(self, version: str) -> ModelVersion:
        """One version's manifest.

        Raises:
            ModelVersionNotFound: there is no such version.
            ModelRefused: its manifest cannot be read.
        """
        folder = self.folder(version)
        try:
            return ModelVersion.read(folder)
        except FileNotFoundError as error:
            if folder.is_dir():
                raise ModelRefused(version=version, reason="manifest.json is missing") from error
            raise ModelVersionNotFound(version=version) from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"manifest.json cannot be read ({type(error).__name__})"
            raise ModelRefused(version=version, reason=reason) from error

    def folder(self, version: str) -> Path:
        """Where the files of a version are.

        Raises:
            ModelVersionNotFound: `version` is not the name of a version.
        """
        if not is_version_id(version):
            raise ModelVersionNotFound(version=version)
        return self._path / version

    def active_version(self) -> ModelVersionId | None:
        """The id of the active version; None before the first activation."""
        try:
            text = (self._path / ACTIVE_FILE).read_text("ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        if not is_version_id(text):
            logger.error("active_pointer_unreadable: %r", text[:60])
            return None
        return ModelVersionId(text)

    def active(self) -> ModelVersion | None:
        """The active version's manifest; None before the first activation.

        Raises:
            ModelVersionNotFound, ModelRefused: the pointer leads nowhere.
        """
        version = self.active_version()
        return None if version is None else self.get(version)

    def activate(self, version: str, *, by: str, expected_etag: str | None = None) -> ModelVersion:
        """Point to a version; pointing to the active one again changes nothing.

        Args:
            version: the id.
            by: who asks, for the history.
            expected_etag: if given, the pointer's ETag must still be this one.

        Raises:
            ModelVersionNotFound: there is no such version.
            ModelRefused: its files, digests, schema or libraries are not right.
            ActiveModelChanged: the pointer has another ETag.
        """
        manifest = self.get(version)
        check_version(self.folder(version), manifest)
        with self._locked():
            self._check_etag(expected_etag)
            self._point_to(manifest.id, Action.ACTIVATE, by)
        return manifest

    def rollback(self, *, by: str, expected_etag: str | None = None) -> ModelVersion:
        """Point to the version that was active before this one; again: to the one before that.

        Raises:
            NoEarlierModel: nothing was active before.
            ModelVersionNotFound, ModelRefused: the earlier version is gone or not right.
            ActiveModelChanged: the pointer has another ETag.
        """
        with self._locked():
            self._check_etag(expected_etag)
            manifest = self.get(earlier_version(self.history(), self.active_version()))
            check_version(self.folder(manifest.id), manifest)
            self._point_to(manifest.id, Action.ROLLBACK, by)
        return manifest

    def history(self) -> Sequence[Change]:
        """Every move of the pointer, the oldest first; a line torn by a crash is left out."""
        return read_history(self._path)

    def etag(self) -> str:
        """Names the state of the pointer, quoted as HTTP wants it."""
        return etag_of(self.active_version())

    def _readable(self, names: Iterator[str]) -> Iterator[ModelVersion]:
        for name in names:
            try:
                yield self.get(name)
            except (ModelRefused, ModelVersionNotFound) as error:
                logger.warning("model_version_unreadable: %s", error)

    def _check_etag(self, expected: str | None) -> None:
        if expected is not None and expected != self.etag():
            raise ActiveModelChanged(version=self.active_version() or "-")

    def _point_to(self, version: ModelVersionId, action: Action, by: str) -> None:
        """Write the history first: a crash in between leaves a line that `rollback` sees through.

        The other order could leave a model serving that the history does not know.
        """
        previous = self.active_version()
        if version == previous:
            return
        change = Change(
            at=self._now().isoformat(timespec="seconds"),
            action=action,
            version=version,
            previous=previous,
            by=by,
        )
        append_change(self._path, change)
        write_atomically(self._path / ACTIVE_FILE, f"{version}\n".encode())
        logger.info("model_%sd: %s after %s by %s", action, version, previous, by)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, over all processes; the lock dies with its holder."""
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / LOCK_FILE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class ActiveModel:
    """Says which version is active, for callers that ask with every request.

    Reads the pointer at most once per `interval_s`; the answer is at most that old.
    """

    def __init__(
        self,
        versions_path: Path,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 1.0,
    ) -> None:
        self._registry = ModelRegistry(versions_path)
        self._clock = clock
        self._interval_s = interval_s
        self._read: tuple[float, ModelVersionId | None] | None = None

    def version_id(self) -> ModelVersionId | None:
        """The active version's id; None before the first activation."""
        now, read = self._clock(), self._read
        if read is None or not 0 <= now - read[0] < self._interval_s:
            read = self._read = (now, self._registry.active_version())
        return read[1]


def etag_of(version: str | None) -> str:
    """The pointer's ETag while it points to `version`."""
    return f'"{version or "none"}"'
