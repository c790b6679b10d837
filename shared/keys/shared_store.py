"""API keys of several hosts: a document of the state store, with a copy on each host."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.keys.entries import KeyEntry
from shared.keys.store import (
    MARKER,
    Change,
    FileKeyStore,
    KeysMissingError,
    KeyStoreError,
    make_private_folder,
    write_private,
)
from shared.settings import Settings
from shared.state.copies import DocumentCopy
from shared.state.objects import StateObjects

DOCUMENT = "api-keys.json"
DISABLED = b"null\n"
"""Content of the document after `carprice key disable`: no host asks for keys."""
FIRST_PULL_INTERVAL_S = 5.0
"""Time between two attempts to reach a store that this host has never reached."""


class SharedKeyStore(FileKeyStore):
    """Reads the copy of this host, and changes the document of all hosts.

    The copy is brought up to date by `pull`. A host that has never reached the store refuses all
    callers: it does not know whether there are keys.

    Args:
        path: the copy.
        marker: see `FileKeyStore`.
        objects: the state store.
    """

    def __init__(self, path: Path, marker: Path | None, objects: StateObjects) -> None:
        super().__init__(path, marker)
        self._copy = DocumentCopy(objects, DOCUMENT, path, write=write_private, lock=self._locked)
        self._has_pulled = False
        self._tried_at = float("-inf")

    def pull(self) -> None:
        """Bring the copy up to date.

        Raises:
            OSError: the store is unreachable; the copy stays.
        """
        make_private_folder(self.path.parent)
        self._copy.pull()
        self._has_pulled = True

    def load(self) -> Sequence[KeyEntry] | None:
        """Read the copy; see `KeyStore`. The first call brings it up to date if it can."""
        if not self._has_pulled:
            self._pull_at_first()
        return None if self._are_disabled() else super().load()

    def change(self, change: Change) -> Sequence[KeyEntry]:
        """Replace the document; see `KeyStore`. `change` may be called several times."""
        entries: Sequence[KeyEntry] = ()

        def changed(content: bytes | None) -> bytes:
            nonlocal entries
            entries = change(self._entries_of(content))
            return (json.dumps([entry.to_json() for entry in entries], indent=2) + "\n").encode()

        try:
            make_private_folder(self.path.parent)
            with self._locked():
                self.mark()
                self._copy.change(changed)
        except OSError as error:
            raise KeyStoreError(
                _("{path}: cannot be written ({reason})").format(
                    path=self.path, reason=os_reason(error)
                )
            ) from error
        return entries

    def disable(self) -> None:
        """Remove all keys on all hosts; their APIs are open on loopback after a restart."""
        try:
            make_private_folder(self.path.parent)
            with self._locked():
                self._copy.change(lambda _: DISABLED)
        except OSError as error:
            raise KeyStoreError(
                _("{path}: cannot be removed ({reason})").format(
                    path=self.path, reason=os_reason(error)
                )
            ) from error

    def _pull_at_first(self) -> None:
        now = time.monotonic()
        if now - self._tried_at >= FIRST_PULL_INTERVAL_S:
            self._tried_at = now
            try:
                self.pull()
            except OSError as error:
                if self._copy.is_shared:  # the copy is what this host knows
                    self._has_pulled = True
                    return
                raise KeyStoreError(
                    _("{document}: cannot be read ({reason})").format(
                        document=DOCUMENT, reason=os_reason(error)
                    )
                ) from error
        elif not self._copy.is_shared:
            raise KeyStoreError(
                _("{document}: the state store cannot be reached").format(document=DOCUMENT)
            )

    def _entries_of(self, content: bytes | None) -> Sequence[KeyEntry]:
        """The entries of a document; without one, those of the file that becomes its copy.

        Raises:
            KeyStoreError: it is no list of entries.
        """
        if content is None:
            return () if self._copy.is_shared else self._own_entries()
        if content == DISABLED:
            return ()
        try:
            return [KeyEntry.from_json(members) for members in json.loads(content)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeyStoreError(
                _(
                    "{document} in the state store is no list of API keys ({error}): restore it"
                ).format(document=DOCUMENT, error=error)
            ) from error

    def _own_entries(self) -> Sequence[KeyEntry]:
        """The keys that this host had before there was a document."""
        try:
            return super().load() or ()
        except KeysMissingError:
            return ()

    def _are_disabled(self) -> bool:
        try:
            return self.path.stat().st_size == len(DISABLED) and (
                self.path.read_bytes() == DISABLED
            )
        except OSError:
            return False


def open_key_store(settings: Settings) -> FileKeyStore:
    """The keys of a service: a file, or shared by several hosts if `STATE_URL` names a store."""
    objects = StateObjects.of(settings)
    if objects is None:
        return FileKeyStore.of(settings)
    return SharedKeyStore(settings.keys_file, settings.home / MARKER, objects)
