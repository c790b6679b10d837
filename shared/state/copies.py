"""The copy of a shared document in a file of this host.

Processes read the copy, so that they need the store neither to start nor to answer. A change goes
to the store first, and then into the copy.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from shared.state.objects import ObjectMissing, StateConflict, StateObjects, StoredObject

MAX_ATTEMPTS = 20
"""Attempts of a change while other hosts change the same document."""
SHARED_SUFFIX, REPLACED_SUFFIX = ".shared", ".replaced"

logger = logging.getLogger(__name__)


class DocumentCopy:
    """A document of the state store and its copy.

    Args:
        objects: the store.
        name: of the document in the store.
        path: of the copy.
        write: replaces a file atomically, with the right permissions.
        lock: held while the copy is compared and replaced, by every process of this host.
    """

    def __init__(
        self,
        objects: StateObjects,
        name: str,
        path: Path,
        *,
        write: Callable[[Path, bytes], None],
        lock: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._objects = objects
        self._name = name
        self._path = path
        self._write = write
        self._lock = lock
        self._marker = path.with_name(path.name + SHARED_SUFFIX)
        self._known: StoredObject | None = None

    @property
    def is_shared(self) -> bool:
        """Whether this host has ever had a copy of the document."""
        return self._marker.exists()

    def pull(self) -> None:
        """Bring the copy up to date.

        If the store has lost the document, the copy is put aside. A file that was never shared
        stays until the document is written for the first time.

        Raises:
            OSError: the store is unreachable, or the disk refuses; the copy stays as it is.
        """
        before = self._content()
        found = self._read(before)
        if found is not None and found == self._known and found.content == before:
            return
        with self._lock():
            # A process of this host may have changed the document since: the next call sees it.
            if self._content() == before:
                self._take(found)

    def change(self, change: Callable[[bytes | None], bytes]) -> bytes:
        """Replace the document by what `change` returns for its content, None: there is none.

        `change` is called again if another host was faster, so it must have no effects. The
        caller holds the lock.

        Raises:
            OSError: the store is unreachable, or the disk refuses.
        """
        for _ in range(MAX_ATTEMPTS):
            found = self._objects.read(self._name)
            content = change(None if found is None else found.content)
            try:
                etag = self._objects.replace(self._name, content, found.etag if found else None)
            except StateConflict:
                continue
            self._take(StoredObject(content, etag))
            return content
        raise OSError(f"state store: {self._name} is changed by others all the time")

    def _read(self, own: bytes | None) -> StoredObject | None:
        """The document, None if there is none; transfers it only if it differs from the copy."""
        known = self._known
        if known is None or own != known.content:
            return self._objects.read(self._name)
        try:
            return self._objects.read_unless(self._name, known.etag) or known
        except ObjectMissing:
            return None

    def _take(self, found: StoredObject | None) -> None:
        own, self._known = self._content(), found
        if found is None:
            if own is not None and self.is_shared:
                logger.error("shared_document_missing: %s", self._name)
                self._put_aside()
            return
        if own != found.content:
            if own is not None and not self.is_shared:
                self._put_aside()
            self._write(self._path, found.content)
        if not self._marker.exists():
            self._write(self._marker, b"Beside the copy of a document of the state store.\n")

    def _put_aside(self) -> None:
        """Keep a file that is no copy of the document, for the operator."""
        self._path.replace(self._path.with_name(self._path.name + REPLACED_SUFFIX))

    def _content(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None
