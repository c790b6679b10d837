"""The models that several hosts share: pointers in the state store, copies of them on each host.

The copy of the pointers is what a registry of one host consists of (`model_store.registry.registry`
lists its files), so whoever serves reads files only. `ACTIVE` is written after the files of the
version are there and checked.
"""

import contextlib
import fcntl
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from model_store.registry.atomic_files import write_atomically
from model_store.registry.history import (
    HISTORY_FILE,
    ActivationRecord,
    read_history,
    rollback_target,
)
from model_store.registry.manifest import ModelVersion
from model_store.registry.pointer_files import (
    Shadow,
    is_version_id,
    read_active,
    read_shadow,
    write_active,
    write_shadow,
)
from model_store.registry.shared_pointers import SharedPointers
from model_store.registry.version_store import VersionStore, not_fetched
from shared.domain.errors import (
    ActivationConflict,
    ModelRefused,
    ModelVersionNotFound,
    NoEarlierModel,
)
from shared.settings import Settings
from shared.state.objects import ObjectMissing, StateConflict, StateObjects, StoredObject

DOCUMENT = "models.json"
COPY_FILE, COPY_LOCK = ".shared-models.json", ".shared-models.lock"
RETRY_AFTER_S = 10.0
"""A version that could not be fetched is tried again after this time."""
MAX_ATTEMPTS = 20
MAX_REMOVED = 200
"""Removed versions that the document names."""

logger = logging.getLogger(__name__)


class SharedModelsMissing(OSError):
    """The state store has lost the document that this host has a copy of."""


class SharedModels:
    """Moves the shared pointers and keeps the copies of this host.

    Args:
        objects: the state store.
        versions_path: the registry's folder of this host.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        objects: StateObjects,
        versions_path: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects = objects
        self._path = versions_path
        self._clock = clock
        self._versions = VersionStore(objects, versions_path)
        self._known: StoredObject | None = None
        self._failed: dict[str, tuple[float, Exception]] = {}

    @classmethod
    def of(cls, settings: Settings) -> "SharedModels | None":
        """The models that `STATE_URL` names; None: they lie in a folder of this host."""
        objects = StateObjects.of(settings)
        return None if objects is None else cls(objects, settings.versions_path)

    def pull(self) -> SharedPointers | None:
        """Bring the copies up to date; None if no host has shared a model yet.

        Raises:
            ModelVersionNotFound, ModelRefused: a version that a pointer names cannot be fetched:
                the former one keeps serving. Everything else is up to date.
            OSError: the store is unreachable or has lost the document; nothing has changed.
        """
        before = self._copy()
        found = self._read(before)
        if found is None:
            if before is not None:
                raise SharedModelsMissing(
                    f"{DOCUMENT} is missing in the state store: `carprice models activate` on a "
                    "host that has the model writes it again"
                )
            return None
        pointers = _parsed(found.content)
        if not self._is_applied(found.content, before, pointers):
            trouble = self._fetch_named(pointers)
            with self._locked():
                is_new = found.content != before or not trouble
                if is_new and self._copy() == before:  # else another process has just changed them
                    self._apply(pointers, found.content, without=trouble)
            if trouble:
                raise next(iter(trouble.values()))
        self._known = found
        return pointers

    def latest(self) -> SharedPointers | None:
        """As `pull`, but for a change, which may be what repairs the state.

        A version that cannot be fetched is no error, and None is also returned if the document was
        lost.

        Raises:
            OSError: the store is unreachable.
        """
        try:
            return self.pull()
        except SharedModelsMissing:
            return None
        except (ModelVersionNotFound, ModelRefused):
            return self._current()[0]

    def ensure(self, version: str) -> None:
        """Have intact files of a version on this host; see `VersionStore.ensure`."""
        digest = self.versions().get(version)
        if digest is None and not (self._path / version).is_dir():
            # Another host may have published it a moment ago.
            with contextlib.suppress(ModelVersionNotFound, ModelRefused, SharedModelsMissing):
                self.pull()
            digest = self.versions().get(version)
        self._versions.ensure(version, digest)

    def versions(self) -> dict[str, str]:
        """The shared versions as of the last `pull`, with the digests of their manifests."""
        content = self._copy()
        try:
            return {} if content is None else dict(_parsed(content).versions)
        except OSError:
            return {}

    def manifest(self, version: str) -> ModelVersion:
        """The manifest of a version that this host may lack.

        Raises:
            ModelVersionNotFound: no host has shared it.
            ModelRefused: it cannot be fetched.
        """
        digest = self.versions().get(version)
        if digest is None:
            raise ModelVersionNotFound(version=version)
        return self._versions.manifest(version, digest)

    def card_file(self, version: str, name: str, digest: str) -> bytes:
        """A file of the card of a version that this host may lack; see `VersionStore.file`."""
        return self._versions.file(version, name, digest)

    def publish(self, version: str) -> None:
        """Store a version of this host for all hosts, unless that was done.

        Raises:
            ModelVersionNotFound, ModelRefused: this host lacks it, or a file is damaged.
            OSError: the store is unreachable.
        """
        now, _ = self._current()
        if version not in now.versions:
            digest = self._versions.upload(version)

            def changed(found: SharedPointers) -> SharedPointers:
                removed = tuple(name for name in found.removed if name != version)
                versions = {**found.versions, version: digest}
                return replace(found, versions=versions, removed=removed)

            self._change(changed)

    def activate(self, change: ActivationRecord, base: SharedPointers | None) -> None:
        """Make a version the active one on all hosts.

        Args:
            change: which, and after which.
            base: the pointers when the change was decided, as `pull` returned them.

        Raises:
            ActivationConflict: another host has changed the active version since.
            OSError: the store is unreachable.
        """
        expected = (base or self._own()).history
        if base is None:
            self.share_own()
        self.publish(change.version)

        def changed(found: SharedPointers) -> SharedPointers:
            if found.history != expected:
                raise ActivationConflict(version=found.active or "-")
            return replace(found, active=change.version, history=(*found.history, change))

        self._change(changed)

    def point_shadow_to(self, shadow: Shadow | None) -> None:
        """Let a version be the shadow on all hosts; None: none.

        Raises:
            ModelVersionNotFound, ModelRefused: see `publish`.
            OSError: the store is unreachable.
        """
        if shadow is not None:
            self.publish(shadow.version)
        self._change(lambda found: replace(found, shadow=shadow))

    def forget(self, versions: Collection[str]) -> None:
        """Delete versions for all hosts, except those that a pointer names by now.

        Raises:
            OSError: the store is unreachable.
        """
        known = self.versions()

        def changed(found: SharedPointers) -> SharedPointers:
            gone = set(versions) - found.named
            kept = {name: digest for name, digest in found.versions.items() if name not in gone}
            removed = tuple(dict.fromkeys((*found.removed, *sorted(gone))))[-MAX_REMOVED:]
            return replace(found, versions=kept, removed=removed)

        left = self._change(changed).versions
        for version in versions:
            if version in known and version not in left:
                self._versions.remove(version, known[version])

    def _current(self) -> tuple[SharedPointers, str | None]:
        """The shared pointers and their ETag; those of this host if there are none."""
        found = self._objects.read(DOCUMENT)
        return (self._own(), None) if found is None else (_parsed(found.content), found.etag)

    def _change(self, change: Callable[[SharedPointers], SharedPointers]) -> SharedPointers:
        """Replace the pointers by what `change` returns, which may be called several times."""
        for _ in range(MAX_ATTEMPTS):
            now, etag = self._current()
            changed = change(now)
            try:
                self._objects.replace(DOCUMENT, changed.to_bytes(), etag)
            except StateConflict:
                continue
            # It counts by now. What keeps this host from following, the next pull reports.
            with contextlib.suppress(ModelVersionNotFound, ModelRefused, OSError):
                self.pull()
            return changed
        raise OSError(f"state store: {DOCUMENT} is changed by others all the time")

    def share_own(self) -> None:
        """Share what this host serves, and the version before, so that a roll-back finds it.

        Raises:
            OSError: the store is unreachable.
        """
        own = self._own()
        names = [own.active]
        with contextlib.suppress(NoEarlierModel):
            names.append(rollback_target(own.history, own.active))
        for name in filter(None, names):
            try:
                self.publish(name)
            except (ModelVersionNotFound, ModelRefused) as error:
                logger.warning("model_not_published: %s", error)

    def _own(self) -> SharedPointers:
        """The pointers in the files of this host."""
        return SharedPointers(
            active=read_active(self._path),
            shadow=read_shadow(self._path),
            history=tuple(read_history(self._path)),
        )

    def _read(self, copy: bytes | None) -> StoredObject | None:
        known = self._known
        if known is None or copy != known.content:
            return self._objects.read(DOCUMENT)
        try:
            return self._objects.read_unless(DOCUMENT, known.etag) or known
        except ObjectMissing:
            return None

    def _is_applied(self, content: bytes, copy: bytes | None, pointers: SharedPointers) -> bool:
        is_current = content == copy and read_shadow(self._path) == pointers.shadow
        return is_current and pointers.active in {None, read_active(self._path)}

    def _fetch_named(self, pointers: SharedPointers) -> dict[str, Exception]:
        """Fetch what the pointers name; return why some versions could not be fetched."""
        trouble: dict[str, Exception] = {}
        for version in pointers.named:
            if not is_version_id(version):
                trouble[version] = ModelVersionNotFound(version=version)
                continue
            retry_at, error = self._failed.get(version, (float("-inf"), None))
            if error is None or self._clock() >= retry_at:
                error = self._fetch_error(version, pointers)
            if error is not None:
                trouble[version] = error
        return trouble

    def _fetch_error(self, version: str, pointers: SharedPointers) -> Exception | None:
        """Fetch a version; return why it could not be, None if it was."""
        try:
            self._versions.ensure(version, pointers.versions.get(version))
        except (ModelVersionNotFound, ModelRefused) as error:
            failure: Exception = error
        except OSError as error:
            failure = not_fetched(version, version, error)
        else:
            self._failed.pop(version, None)
            return None
        self._failed[version] = (self._clock() + RETRY_AFTER_S, failure)
        return failure

    def _apply(self, pointers: SharedPointers, content: bytes, *, without: Collection[str]) -> None:
        """Write the pointers to the files of this host, except those to some versions."""
        if pointers.history:  # else no host has activated a version: each keeps its own
            self._write_history(pointers)
        if pointers.active is not None and pointers.active not in without:
            write_active(self._path, pointers.active)
        if pointers.shadow is None or pointers.shadow.version not in without:
            write_shadow(self._path, pointers.shadow)
        write_atomically(self._path / COPY_FILE, content)
        for version in set(pointers.removed) - pointers.named:
            if is_version_id(version):
                self._versions.remove_copy(version)

    def _write_history(self, pointers: SharedPointers) -> None:
        lines = "".join(f"{json.dumps(change.to_json())}\n" for change in pointers.history)
        write_atomically(self._path / HISTORY_FILE, lines.encode())

    def _copy(self) -> bytes | None:
        try:
            return (self._path / COPY_FILE).read_bytes()
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / COPY_LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _parsed(content: bytes) -> SharedPointers:
    try:
        return SharedPointers.from_bytes(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"{DOCUMENT} in the state store is damaged: {error!r}") from error
