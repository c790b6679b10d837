"""Model versions in the state store: their files, and copies of them that are checked by digest."""

import contextlib
import fcntl
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from model_store.registry.atomic_files import sync_file, sync_folder, write_atomically
from model_store.registry.manifest import MANIFEST_FILE, ModelVersion
from model_store.registry.verification import check_files
from shared.domain.errors import ModelCardNotFound, ModelRefused, ModelVersionNotFound
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.state.objects import ObjectMissing, StateObjects

FOLDER = "models"
"""Of the versions in the state store."""
MANIFESTS_FOLDER = ".manifests"
"""Of the manifests of versions whose files this host has not fetched, beside the versions."""
FETCH_LOCK = ".fetch.lock"
FETCHED_PREFIX = ".new-fetched-"
"""Of the folder into which a version is downloaded; only the holder of the lock has one."""

logger = logging.getLogger(__name__)


class VersionStore:
    """Uploads versions and fetches them. A version never changes once its manifest is there.

    Args:
        objects: the state store.
        versions_path: the folder of the versions of this host.
    """

    def __init__(self, objects: StateObjects, versions_path: Path) -> None:
        self._objects = objects
        self._path = versions_path

    def upload(self, version: str) -> str:
        """Store a version of this host, its manifest last; return the digest of the manifest.

        Raises:
            ModelVersionNotFound, ModelRefused: this host lacks it, or a file is damaged.
            OSError: the store is unreachable.
        """
        folder = self._path / version
        try:
            manifest = ModelVersion.read(folder)
        except FileNotFoundError as error:
            raise ModelVersionNotFound(version=version) from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelRefused(version=version, reason=_("manifest.json cannot be read")) from error
        check_files(folder, manifest)
        for name in (*manifest.files, MANIFEST_FILE):
            self._objects.upload(_name(version, name), folder / name)
        logger.info("model_published: %s", version)
        return hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()

    def ensure(self, version: str, manifest_digest: str | None) -> None:
        """Have intact files of a version on this host; fetch them if some are missing or damaged.

        Args:
            version: its id.
            manifest_digest: SHA-256 of its manifest; None: the store does not have it.

        Raises:
            ModelVersionNotFound: neither this host nor the store has the version.
            ModelRefused: the files in the store are damaged.
            OSError: the store is unreachable, or the disk refuses.
        """
        if manifest_digest is None:
            if not (self._path / version).is_dir():
                raise ModelVersionNotFound(version=version)
            return
        if self._is_intact(version, manifest_digest):
            return
        with self._locked():
            if not self._is_intact(version, manifest_digest):
                self._fetch(version, manifest_digest)

    def manifest(self, version: str, manifest_digest: str) -> ModelVersion:
        """The manifest of a version that this host may lack; it is kept.

        Raises:
            ModelRefused: it is damaged in the store, or the store is unreachable.
        """
        kept = self._path / MANIFESTS_FOLDER / f"{version}.json"
        try:
            content = kept.read_bytes()
        except FileNotFoundError:
            content = b""
        if _digest(content) != manifest_digest:
            content = self.file(version, MANIFEST_FILE, manifest_digest)
            kept.parent.mkdir(exist_ok=True)
            write_atomically(kept, content)
        return _parsed(version, content)

    def file(self, version: str, name: str, digest: str) -> bytes:
        """A small file of a version that this host may lack.

        Raises:
            ModelCardNotFound: the store lacks it.
            ModelRefused: it is damaged, or the store is unreachable.
        """
        try:
            return self._read(version, name, digest)
        except OSError as error:
            raise not_fetched(version, name, error) from error

    def remove(self, version: str, manifest_digest: str) -> None:
        """Delete the files of a version in the store, its manifest first.

        Raises:
            OSError: the store is unreachable.
        """
        with contextlib.suppress(ModelRefused, ModelCardNotFound):
            names = list(self.manifest(version, manifest_digest).files)
            self._objects.delete([_name(version, MANIFEST_FILE)])
            self._objects.delete([_name(version, name) for name in names])

    def remove_copy(self, version: str) -> None:
        """Delete the copy of this host: renamed first, so that no reader finds half of it."""
        (self._path / MANIFESTS_FOLDER / f"{version}.json").unlink(missing_ok=True)
        self._set_aside(version)

    def _is_intact(self, version: str, manifest_digest: str) -> bool:
        folder = self._path / version
        try:
            content = (folder / MANIFEST_FILE).read_bytes()
            if _digest(content) != manifest_digest:
                return False
            check_files(folder, _parsed(version, content))
        except (OSError, ModelRefused) as error:
            if folder.is_dir():
                logger.warning("model_copy_damaged: %s: %s", version, error)
            return False
        return True

    def _fetch(self, version: str, manifest_digest: str) -> None:
        """Download a version into a temporary folder, check it, and give it its name."""
        for left in self._path.glob(f"{FETCHED_PREFIX}*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        content = self._read(version, MANIFEST_FILE, manifest_digest)
        manifest = _parsed(version, content)
        folder = Path(tempfile.mkdtemp(dir=self._path, prefix=FETCHED_PREFIX))
        try:
            for name in manifest.files:
                if Path(name).name != name:
                    raise ModelRefused(
                        version=version,
                        reason=_("{name} is not a file name").format(name=f"{name!r}"),
                    )
                with contextlib.suppress(ObjectMissing):  # the check below reports it
                    self._objects.download(_name(version, name), folder / name)
                    sync_file(folder / name)
            (folder / MANIFEST_FILE).write_bytes(content)
            sync_file(folder / MANIFEST_FILE)
            check_files(folder, manifest)
            folder.chmod(0o755)
            sync_folder(folder)
            self._set_aside(version)
            folder.rename(self._path / version)
            sync_folder(self._path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        logger.info("model_fetched: %s", version)

    def _set_aside(self, version: str) -> None:
        old = self._path / f".old-{version}"
        shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            (self._path / version).rename(old)
        shutil.rmtree(old, ignore_errors=True)

    def _read(self, version: str, name: str, digest: str) -> bytes:
        found = self._objects.read(_name(version, name))
        if found is None:
            if name != MANIFEST_FILE:
                raise ModelCardNotFound(version=version, name=name)
            raise ModelRefused(
                version=version, reason=_("{name} is missing in the state store").format(name=name)
            )
        if _digest(found.content) != digest:
            reason = _("{name} in the state store is not what was published").format(name=name)
            raise ModelRefused(version=version, reason=reason)
        return found.content

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / FETCH_LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def not_fetched(version: str, name: str, error: OSError) -> ModelRefused:
    """Why a version cannot be used while the store is unreachable, or the disk refuses."""
    reason = _("{name} cannot be fetched: {reason}").format(name=name, reason=os_reason(error))
    return ModelRefused(version=version, reason=reason)


def _name(version: str, name: str) -> str:
    return f"{FOLDER}/{version}/{name}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parsed(version: str, content: bytes) -> ModelVersion:
    try:
        manifest = ModelVersion.from_json(json.loads(content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = _("manifest.json cannot be read ({name})").format(name=type(error).__name__)
        raise ModelRefused(version=version, reason=reason) from error
    if manifest.id != version:
        raise ModelRefused(
            version=version, reason=_("manifest.json is that of {id}").format(id=manifest.id)
        )
    return manifest
