"""The catalogue of model versions and the pointer to the active one.

A folder: one sub-folder per version, `ACTIVE` (one line: the active version's id), `history.jsonl`
(who changed the pointer, when, from what to what). Standard library only, so that the API can
use it.
"""

import contextlib
import datetime as dt
import fcntl
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from model_store.registry.atomic_files import write_atomically
from model_store.registry.history import (
    Action,
    ActivationRecord,
    append_activation,
    read_history,
    rollback_target,
)
from model_store.registry.manifest import ASKING_PRICES, ModelVersion
from model_store.registry.verification import check_version
from shared.domain.errors import (
    ActiveModelChanged,
    ModelCardNotFound,
    ModelRefused,
    ModelVersionNotFound,
    NoEarlierModel,
)
from shared.domain.ids import ModelVersionId, is_version_id

ACTIVE_FILE = "ACTIVE"
LOCK_FILE = ".lock"
PRUNE_GRACE_PERIOD = dt.timedelta(minutes=1)
"""So long a version that has been replaced is not removed."""
_CARD_FILE = re.compile(r"card[a-z-]*\.(?:json|md|png)")

logger = logging.getLogger(__name__)


class ModelRegistry:
    """Reads and moves the pointer.

    Args:
        versions_path: the folder; it need not exist yet.
        now: the time of day, for the history.
        self_test: runs a version's self-test before the pointer moves to it; raises `ModelRefused`.
    """

    def __init__(
        self,
        versions_path: Path,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        self_test: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._path = versions_path
        self._now = now
        self._self_test = self_test

    def list(self) -> Sequence[ModelVersion]:
        """All versions whose manifest can be read, the newest first."""
        return list(self._read_manifests(self._version_names()))

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

    def check(self, version: str) -> ModelVersion:
        """The manifest of a version; raises as `get`, or if schema, library or files are wrong."""
        manifest = self.get(version)
        check_version(self.folder(version), manifest)
        return manifest

    def folder(self, version: str) -> Path:
        """Where the files of a version are.

        Raises:
            ModelVersionNotFound: `version` is not the name of a version.
        """
        if not is_version_id(version):
            raise ModelVersionNotFound(version=version)
        return self._path / version

    def card_file(self, version: str, name: str) -> bytes:
        """A file of a version's model card, as it was saved.

        Only files that the manifest lists are ever read, so no name leads anywhere else.

        Raises:
            ModelVersionNotFound, ModelRefused: see `get`; the file is not what was saved.
            ModelCardNotFound: the version has no such file.
        """
        digest = self.get(version).files.get(name)
        if digest is None or not _CARD_FILE.fullmatch(name):
            raise ModelCardNotFound(version=version, name=name)
        try:
            content = (self.folder(version) / name).read_bytes()
        except OSError as error:
            raise ModelCardNotFound(version=version, name=name) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelRefused(version=version, reason=f"{name} is not what was saved")
        return content

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
            ModelRefused: its files, digests, schema, libraries or self-test are not right.
            ActiveModelChanged: the pointer has another ETag.
        """
        with self._locked():
            self._check_etag(expected_etag)
            manifest = self.check(version)
            self._self_test(version)
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
            manifest = self.check(rollback_target(self.history(), self.active_version()))
            self._self_test(manifest.id)
            self._point_to(manifest.id, Action.ROLLBACK, by)
        return manifest

    def prune(self, keep: int, pinned: Collection[str] = ()) -> Sequence[str]:
        """Remove old versions for good; none that is in use.

        What stays: the newest `keep`, every version that a pointer names, the one that `rollback`
        would return to, and those that served within the last minute.

        Args:
            keep: how many of the newest stay.
            pinned: versions that somebody else needs, running batches for example.

        Returns:
            The removed ones, the oldest first.
        """
        with self._locked():
            needed = {*pinned, *self._referenced_versions(), *self._recently_active()}
            with contextlib.suppress(NoEarlierModel):
                needed.add(rollback_target(self.history(), self.active_version()))
            newest_first = self._version_names()
            old = [name for name in reversed(newest_first[keep:]) if name not in needed]
            for name in old:
                self._remove(name)
        return old

    def history(self) -> Sequence[ActivationRecord]:
        """Every move of the pointer, the oldest first; a line torn by a crash is left out."""
        return read_history(self._path)

    def etag(self) -> str:
        """Names the state of the pointer, quoted as HTTP wants it."""
        return etag_of(self.active_version())

    def _version_names(self) -> Sequence[str]:
        """Names of the versions' folders, the newest first."""
        with contextlib.suppress(FileNotFoundError):
            names = (entry.name for entry in os.scandir(self._path))
            return sorted(filter(is_version_id, names), reverse=True)
        return []

    def _remove(self, version: str) -> None:
        """Out of sight in one step, then gone: no reader ever finds half a version."""
        doomed = self._path / f".old-{version}"
        shutil.rmtree(doomed, ignore_errors=True)  # a crash may have left it
        (self._path / version).rename(doomed)
        shutil.rmtree(doomed)
        logger.info("model_pruned: %s", version)

    def _referenced_versions(self) -> set[str]:
        """What the pointers name: files in capitals that hold one line."""
        # A version's folder is "in capitals" too when the T of its time is its only letter.
        pointers = (path for path in self._path.iterdir() if path.name.isupper() and path.is_file())
        return {path.read_text("ascii", errors="replace").strip() for path in pointers}

    def _recently_active(self) -> set[str]:
        """Versions that processes may still answer with, or have just accepted a batch for."""
        since = (self._now() - PRUNE_GRACE_PERIOD).isoformat(timespec="seconds")
        recent = [change for change in self.history() if change.at >= since]
        return {name for change in recent for name in (change.version, change.previous) if name}

    def _read_manifests(self, names: Iterable[str]) -> Iterator[ModelVersion]:
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
        change = ActivationRecord(
            at=self._now().isoformat(timespec="seconds"),
            action=action,
            version=version,
            previous=previous,
            by=by,
        )
        append_activation(self._path, change)
        write_atomically(self._path / ACTIVE_FILE, f"{version}\n".encode())
        logger.info("model_%sd: %s after %s by %s", action, version, previous, by)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, over all processes; the lock dies with its holder."""
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / LOCK_FILE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class ActiveVersionCache:
    """Which version is active, and the manifests of versions, for callers with every request.

    Args:
        versions_path: the registry's folder.
        clock: monotonic time in seconds.
        interval_s: the pointer is read at most once in this time; the answer is at most that old.
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
        self._manifests: dict[str, ModelVersion] = {}
        self._identities: dict[str, Mapping[str, str | None]] = {}

    def version_id(self) -> ModelVersionId | None:
        """The active version's id; None before the first activation."""
        now, read = self._clock(), self._read
        if read is None or not 0 <= now - read[0] < self._interval_s:
            read = self._read = (now, self._registry.active_version())
        return read[1]

    def manifest(self, version: str) -> ModelVersion | None:
        """The manifest of any version, kept in memory, for manifests never change.

        None when it can no longer be read: a valuation outlives its version.
        """
        found = self._manifests.get(version)
        if found is None:
            try:
                found = self._manifests[version] = self._registry.get(version)
            except (ModelVersionNotFound, ModelRefused):
                return None
        return found

    def identity(self, version: str) -> Mapping[str, str | None]:
        """What an answer says about its model: `version`, `data_as_of` and `basis`."""
        found = self._identities.get(version)
        if found is None:
            manifest = self.manifest(version)
            if manifest is None:
                return {"version": version, "data_as_of": None, "basis": ASKING_PRICES}
            found = self._identities[version] = {
                "version": version,
                "data_as_of": manifest.data_as_of,
                "basis": manifest.basis,
            }
        return found


def etag_of(version: str | None) -> str:
    """The pointer's ETag while it points to `version`."""
    return f'"{version or "none"}"'
