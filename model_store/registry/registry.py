"""The catalogue of model versions, and the pointers to the active and the shadow version.

The folder contains a sub-folder for each version, the pointers (`pointer_files`) and
`history.jsonl`: who changed the active version, when, from which to which. If several hosts share
their models, all of these are copies that `shared_models` keeps.

Imports only the standard library and `shared.domain`, because the API imports it.
"""

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model_store.registry.history import (
    Action,
    ActivationRecord,
    append_activation,
    earlier_versions,
    has_history,
    read_history,
    rollback_target,
)
from model_store.registry.manifest import ASKING_PRICES, CALIBRATION_FILE, ModelVersion
from model_store.registry.pointer_files import (
    ACTIVE_FILE,
    Shadow,
    is_version_id,
    read_active,
    read_shadow,
    write_active,
    write_shadow,
)
from model_store.registry.verification import check_version
from shared.domain.errors import (
    ActiveModelChanged,
    ActivePointerLost,
    ModelCardNotFound,
    ModelRefused,
    ModelVersionNotFound,
    NoEarlierModel,
)
from shared.domain.ids import ModelVersionId
from shared.i18n.command import gettext as _

if TYPE_CHECKING:
    from model_store.registry.shared_models import SharedModels
    from model_store.registry.shared_pointers import SharedPointers

LOCK_FILE = ".lock"
PRUNE_GRACE_PERIOD = dt.timedelta(minutes=1)
"""`prune` keeps a version for this time after it was replaced."""
_CARD_FILE = re.compile(r"card[a-z-]*\.(?:json|md|png)")

logger = logging.getLogger(__name__)


class ModelRegistry:
    """Lists the versions and moves the pointer to the active one.

    Args:
        versions_path: the folder; it need not exist.
        now: current time, for the history.
        self_test: runs a version's self-test before the pointer moves to it; raises `ModelRefused`.
        shared: the models of several hosts, of which the folder has copies; None: it is the folder
            of this host alone. Changes then raise `OSError` while the store is unreachable.
    """

    def __init__(
        self,
        versions_path: Path,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        self_test: Callable[[str], object] = lambda _: None,
        shared: "SharedModels | None" = None,
    ) -> None:
        self._path = versions_path
        self._shared = shared
        self._now = now
        self._self_test = self_test

    def list(self) -> Sequence[ModelVersion]:
        """All versions whose manifest can be read, the newest first."""
        names = set(self._version_names())
        if self._shared is not None:
            names |= self._shared.versions().keys()
        return list(self._read_manifests(sorted(names, reverse=True)))

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
                raise ModelRefused(version=version, reason=_("manifest.json is missing")) from error
            if self._shared is not None:
                return self._shared.manifest(version)
            raise ModelVersionNotFound(version=version) from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = _("manifest.json cannot be read ({name})").format(name=type(error).__name__)
            raise ModelRefused(version=version, reason=reason) from error

    def check(self, version: str) -> ModelVersion:
        """Return the manifest of a version whose schema, library and files are right.

        Files that only other hosts have are fetched.

        Raises as `get`, and `ModelRefused` if one of them is wrong.
        """
        if self._shared is not None:
            self.folder(version)
            self._shared.ensure(version)
        manifest = self.get(version)
        check_version(self.folder(version), manifest)
        return manifest

    def folder(self, version: str) -> Path:
        """Folder of a version's files.

        Raises:
            ModelVersionNotFound: `version` does not have the form of an id.
        """
        if not is_version_id(version):
            raise ModelVersionNotFound(version=version)
        return self._path / version

    def card_file(self, version: str, name: str) -> bytes:
        """Content of a file of a version's model card.

        Only files that the manifest lists are read, so `name` cannot address any other file.

        Raises:
            ModelVersionNotFound, ModelRefused: see `get`; the digest of the file is wrong.
            ModelCardNotFound: the version has no such file.
        """
        digest = self.get(version).files.get(name)
        if digest is None or not _CARD_FILE.fullmatch(name):
            raise ModelCardNotFound(version=version, name=name)
        try:
            content = (self.folder(version) / name).read_bytes()
        except OSError as error:
            if self._shared is not None:
                return self._shared.card_file(version, name, digest)
            raise ModelCardNotFound(version=version, name=name) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelRefused(
                version=version, reason=_("{name} is not what was saved").format(name=name)
            )
        return content

    def active_version(self) -> ModelVersionId | None:
        """The id of the active version; None before the first activation, or if unreadable."""
        return read_active(self._path)

    def known_active_version(self) -> ModelVersionId | None:
        """As `active_version`; for commands that would take a lost pointer for a new registry.

        Raises:
            ActivePointerLost: the pointer cannot be read, or it is missing and the history says
                that a version was active.
        """
        active = self.active_version()
        if active is None and ((self._path / ACTIVE_FILE).exists() or has_history(self._path)):
            history = self.history()
            raise ActivePointerLost(version=history[-1].version if history else "-")
        return active

    def active(self) -> ModelVersion | None:
        """The active version's manifest; None before the first activation.

        Raises:
            ModelVersionNotFound, ModelRefused: the pointer names no readable version.
        """
        version = self.active_version()
        return None if version is None else self.get(version)

    def activate(self, version: str, *, by: str, expected_etag: str | None = None) -> ModelVersion:
        """Make a version the active one; no effect if it is active already.

        Args:
            version: the id.
            by: the user, for the history.
            expected_etag: if given, the current ETag of the pointer must equal it.

        Raises:
            ModelVersionNotFound: there is no such version.
            ModelRefused: a check of its files, schema, libraries or self-test fails.
            ActiveModelChanged: the pointer has another ETag.
            ActivationConflict: another host has changed the active version meanwhile.
        """
        return self._change(lambda _: version, Action.ACTIVATE, by, expected_etag)

    def rollback(
        self, *, by: str, expected_etag: str | None = None, to: str | None = None
    ) -> ModelVersion:
        """Activate the version that was active before this one; repeated: the one before that.

        Args:
            by: the user, for the history.
            expected_etag: as of `activate`.
            to: a version that was active earlier still.

        Raises:
            NoEarlierModel: nothing was active before, or not the version `to`.
            ActivePointerLost: which version is active is not known.
            ModelVersionNotFound, ModelRefused: the earlier version is missing or fails a check.
            ActiveModelChanged, ActivationConflict: see `activate`.
        """
        return self._change(
            lambda base: self._rollback_target(to, base), Action.ROLLBACK, by, expected_etag
        )

    def prune(self, keep: int, pinned: Collection[str] = ()) -> Sequence[str]:
        """Remove old versions that are not in use.

        The newest `keep` versions are kept, every version that a pointer names, the one that
        `rollback` would activate, and those that were active within `PRUNE_GRACE_PERIOD`.

        Args:
            keep: number of newest versions to keep.
            pinned: more versions to keep, for example those of running batches.

        Returns:
            The removed versions, the oldest first.

        Raises:
            ActivePointerLost: the active version could be among the removed ones.
        """
        with self._locked():
            if self._shared is not None:
                self._shared.pull()
            active = self.known_active_version()
            needed = {*pinned, *self._referenced_versions(), *self._recently_active()}
            with contextlib.suppress(NoEarlierModel):
                needed.add(rollback_target(self.history(), active))
            own = self._version_names()
            shared = self._shared.versions() if self._shared else {}
            newest_first = sorted({*own, *shared}, reverse=True)
            old = [name for name in reversed(newest_first[keep:]) if name not in needed]
            if self._shared is not None:
                self._shared.forget([name for name in old if name in shared])
            for name in old:
                self._remove(name)
        return old

    def history(self) -> Sequence[ActivationRecord]:
        """Every change of the active version, the oldest first; incomplete lines are left out."""
        return read_history(self._path)

    def etag(self) -> str:
        """ETag of the pointer, quoted as in HTTP."""
        return etag_of(self.active_version())

    def _version_names(self) -> Sequence[str]:
        """Names of the versions' folders, the newest first."""
        with contextlib.suppress(FileNotFoundError):
            names = (entry.name for entry in os.scandir(self._path))
            return sorted(filter(is_version_id, names), reverse=True)
        return []

    def _remove(self, version: str) -> None:
        """Rename, then delete: a reader never finds a version with missing files."""
        renamed = self._path / f".old-{version}"
        shutil.rmtree(renamed, ignore_errors=True)  # left by a crash
        with contextlib.suppress(FileNotFoundError):  # only other hosts had it
            (self._path / version).rename(renamed)
            shutil.rmtree(renamed)
        logger.info("model_pruned: %s", version)

    def _referenced_versions(self) -> set[str]:
        """The versions that pointer files name; their names are in capitals."""
        # `isupper` is also true of a version's folder whose only letter is the T of its time.
        pointers = (path for path in self._path.iterdir() if path.name.isupper() and path.is_file())
        return {path.read_text("ascii", errors="replace").strip() for path in pointers}

    def _recently_active(self) -> set[str]:
        """Versions that processes may still use, or have just accepted a batch for."""
        since = (self._now() - PRUNE_GRACE_PERIOD).isoformat(timespec="seconds")
        recent = [change for change in self.history() if change.at >= since]
        return {name for change in recent for name in (change.version, change.previous) if name}

    def _read_manifests(self, names: Iterable[str]) -> Iterator[ModelVersion]:
        for name in names:
            try:
                yield self.get(name)
            except (ModelRefused, ModelVersionNotFound) as error:
                logger.warning("model_version_unreadable: %s", error)

    def _rollback_target(self, wanted: str | None, base: "SharedPointers | None") -> str:
        if base is None:
            active: str | None = self.known_active_version()
            earlier = earlier_versions(self.history(), active)
        else:
            active = base.active
            earlier = earlier_versions(base.history, active)
        if wanted is not None and wanted not in earlier:
            raise NoEarlierModel(version=active or "-")
        return wanted or earlier[0]

    def _change(
        self,
        target: "Callable[[SharedPointers | None], str]",
        action: Action,
        by: str,
        expected_etag: str | None,
    ) -> ModelVersion:
        """Check the version that `target` returns under the lock, and make it the active one."""
        with self._locked():
            base = self._shared.latest() if self._shared else None
            active = base.active if base else self.active_version()
            if expected_etag is not None and expected_etag != etag_of(active):
                raise ActiveModelChanged(version=active or "-")
            manifest = self.check(target(base))
            self._self_test(manifest.id)
            if manifest.id != active:
                self._point_to(manifest.id, active, action, by, base)
            elif self._shared is not None and base is None:
                self._shared.share_own()
        return manifest

    def _point_to(
        self,
        version: ModelVersionId,
        previous: str | None,
        action: Action,
        by: str,
        base: "SharedPointers | None",
    ) -> None:
        """Append to the history, then write the pointer.

        After a crash in between, `rollback` ignores the extra line. In the other order an active
        version could be missing from the history.
        """
        change = ActivationRecord(
            at=self._now().isoformat(timespec="seconds"),
            action=action,
            version=version,
            previous=previous,
            by=by,
        )
        if self._shared is not None:
            self._shared.activate(change, base)
        else:
            append_activation(self._path, change)
            write_active(self._path, version)
        logger.info("model_%sd: %s after %s by %s", action, version, previous, by)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Serialise changes over all processes; the kernel releases the lock of a dead process."""
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / LOCK_FILE).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class ShadowPointer:
    """Reads and moves the pointer to the shadow version.

    Args:
        versions_path: the registry's folder.
        shared: as of `ModelRegistry`.
    """

    def __init__(self, versions_path: Path, shared: "SharedModels | None" = None) -> None:
        self._path = versions_path
        self._shared = shared
        self._registry = ModelRegistry(versions_path, shared=shared)

    def read(self) -> Shadow | None:
        """The shadow; None if there is none or its files are invalid."""
        return read_shadow(self._path)

    def point_to(self, version: str, share: float) -> ModelVersion:
        """Let a version value a share of the cars besides the active one.

        Raises:
            ValueError: the share is not above 0 and at most 1.
            ModelVersionNotFound: there is no such version.
            ModelRefused: a check of its files fails, or it is the active version.
        """
        if not (math.isfinite(share) and 0 < share <= 1):
            raise ValueError(f"a share is above 0 and at most 1, not {share}")
        manifest = self._registry.check(version)
        if manifest.id == self._registry.active_version():
            raise ModelRefused(version=version, reason=_("it is the active version already"))
        if self._shared is not None:
            self._shared.point_shadow_to(Shadow(manifest.id, share))
            return manifest
        write_shadow(self._path, Shadow(manifest.id, share))
        if not self._registry.folder(version).is_dir():  # pruned before the pointer named it
            self.clear()
            raise ModelVersionNotFound(version=version)
        return manifest

    def clear(self) -> None:
        """Remove the pointer."""
        if self._shared is not None:
            self._shared.point_shadow_to(None)
        else:
            write_shadow(self._path, None)


class ActiveVersionCache:
    """The active version's id, and manifests, for callers that need them with every request.

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
        self._width_lags: dict[str, int] = {}

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

    def width_lag_months(self, version: str) -> int:
        """How much older than `data_as_of` the data are that the intervals were measured on.

        It decides the warning about old data: the intervals widen with the same age.
        """
        found = self._width_lags.get(version)
        if found is None:
            try:
                folder = self._registry.folder(version)
            except ModelVersionNotFound:
                return 0
            found = self._width_lags[version] = _width_lag(folder / CALIBRATION_FILE)
        return found


def _width_lag(calibration: Path) -> int:
    """See `ActiveVersionCache.width_lag_months`; 0 if the file cannot be read."""
    try:
        growth = json.loads(calibration.read_bytes()).get("growth")
    except (OSError, ValueError):
        return 0
    return int(growth["lag_months"]) if growth else 0


def etag_of(version: str | None) -> str:
    """ETag of the pointer while `version` is active."""
    return f'"{version or "none"}"'


def new_version_id(created_at: dt.datetime) -> ModelVersionId:
    """A new id that sorts by time; unique also within a second."""
    return ModelVersionId(f"{created_at:%Y-%m-%dT%H%M%S}-{secrets.token_hex(3)}")
