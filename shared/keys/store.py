"""Store of API keys: its interface, and the implementation in a file."""

import contextlib
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.keys.entries import KeyEntry
from shared.settings import Settings, SettingsError

LOCK_TIMEOUT_S = 10.0
LOCK_POLL_S = 0.02
MARKER = "api-keys-exist"
MARKER_TEXT = (
    "API keys have been created: while their file is missing, every request is refused.\n"
    "`carprice key disable` removes all keys and this file.\n"
)

Change = Callable[[Sequence[KeyEntry]], Sequence[KeyEntry]]


class KeyStoreError(SettingsError):
    """The keys cannot be read or written; the message says why and what to do."""


class KeysMissingError(KeyStoreError):
    """Keys have existed, and there are none to be found: nobody may call."""


class KeyStore(Protocol):
    """Where the entries of keys are kept.

    `docs/adr/0100-api-keys-with-limits.md` says what other implementations must guarantee.
    """

    def stamp(self) -> object:
        """Return a value that differs after each change; cheap enough for one call a second."""
        ...

    def load(self) -> Sequence[KeyEntry] | None:
        """Read all entries; None if there have never been keys.

        Raises:
            KeysMissingError: there were keys, and the store has none of them.
            KeyStoreError: the store does not answer, or its content is no list of entries.
        """
        ...

    def change(self, change: Change) -> Sequence[KeyEntry]:
        """Replace the entries by what `change` returns for them, in one step; return them.

        Raises:
            KeyStoreError: nothing was changed.
        """
        ...

    def is_writable_by_others(self) -> bool:
        """Whether others than the operator may change the entries."""
        ...

    def record_use(self, used_at: Mapping[str, float]) -> None:
        """Keep the Unix time at which keys were last used, by their ids.

        Raises:
            OSError: it cannot be kept now.
        """
        ...

    def last_used(self) -> Mapping[str, float]:
        """The Unix time at which keys were last used, by their ids."""
        ...


class FileKeyStore:
    """Keeps the entries in a JSON file that only its owner can read.

    Writers hold a lock on a file beside it and replace it atomically, so readers need no lock. That
    keys exist is also recorded by a marker in another place: without it, deleting the file would
    open a service on loopback to everybody.

    Args:
        path: the file.
        marker: exists once there have been keys; None: the file must always exist.
    """

    def __init__(self, path: Path, marker: Path | None) -> None:
        self.path = path
        self._marker = marker
        self._used_path = path.with_name(f"{path.name}.used")

    @classmethod
    def of(cls, settings: Settings) -> "FileKeyStore":
        """The store of a service. A file that the operator names must exist."""
        is_named = settings.api_keys_file is not None
        return cls(settings.keys_file, None if is_named else settings.home / MARKER)

    def pull(self) -> None:
        """Take changes of other hosts; a file that is not shared has none."""

    def stamp(self) -> object:
        """Identity and time of the file; None while there is none."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None, self._have_existed()
        except OSError as error:
            return error.errno
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def is_writable_by_others(self) -> bool:
        """Whether another user may change the file, and with it who may call."""
        try:
            return bool(self.path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        except OSError:
            return False

    def load(self) -> Sequence[KeyEntry] | None:
        """Read the file; see `KeyStore`."""
        try:
            text = self.path.read_text("utf-8")
            entries = [KeyEntry.from_json(members) for members in json.loads(text)]
        except FileNotFoundError:
            if self._have_existed():
                raise KeysMissingError(
                    f"{self.path}: the file of API keys is missing; restore it, or create a key "
                    "with `make key`"
                ) from None
            return None
        except OSError as error:
            text = _("{document}: cannot be read ({reason})")
            raise KeyStoreError(text.format(document=self.path, reason=os_reason(error))) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise KeyStoreError(
                _(
                    "{path}: not a file of API keys ({error}); restore it from a backup, or remove "
                    "it and create keys"
                ).format(path=self.path, error=error)
            ) from error
        if len({entry.id for entry in entries}) < len({entry.hash for entry in entries}):
            raise KeyStoreError(
                _("{path}: two keys have the same id; revoke one of them").format(path=self.path)
            )
        return entries

    def change(self, change: Change) -> Sequence[KeyEntry]:
        """Replace the file under the lock; see `KeyStore`."""
        try:
            make_private_folder(self.path.parent)
            with self._locked():
                self.mark()
                entries = change(self._existing())
                members = [entry.to_json() for entry in entries]
                write_private(self.path, json.dumps(members, indent=2) + "\n")
        except OSError as error:
            raise KeyStoreError(
                _("{path}: cannot be written ({reason})").format(
                    path=self.path, reason=os_reason(error)
                )
            ) from error
        return entries

    def mark(self) -> None:
        """Record that there have been keys.

        Raises:
            OSError: the marker cannot be written.
        """
        if self._marker is not None and not self._marker.exists():
            make_private_folder(self._marker.parent)
            write_private(self._marker, MARKER_TEXT)

    def disable(self) -> None:
        """Remove all keys and the marker: without them, a service on loopback is open.

        Raises:
            KeyStoreError: they cannot be removed.
        """
        try:
            if self.path.parent.is_dir():
                with self._locked():
                    for path in (self._used_path, self._marker, self.path):
                        if path is not None:
                            path.unlink(missing_ok=True)
        except OSError as error:
            raise KeyStoreError(
                _("{path}: cannot be removed ({reason})").format(
                    path=self.path, reason=os_reason(error)
                )
            ) from error

    def record_use(self, used_at: Mapping[str, float]) -> None:
        """Write the times to a file beside the keys, whose own file stays as it is."""
        with self._locked():
            known = dict(self.last_used())
            for key_id, at in used_at.items():
                known[key_id] = max(at, known.get(key_id, 0.0))
            write_private(self._used_path, json.dumps(known), is_durable=False)

    def last_used(self) -> Mapping[str, float]:
        """Read the times; empty if there are none or the file is damaged."""
        try:
            known = json.loads(self._used_path.read_text("utf-8"))
            return {str(key_id): float(at) for key_id, at in known.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _have_existed(self) -> bool:
        return self._marker is None or self._marker.exists()

    def _existing(self) -> Sequence[KeyEntry]:
        try:
            return self.load() or ()
        except KeysMissingError:
            return ()

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return exclusive_lock(self.path)


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock of all writers of a file; it ends with the process that holds it.

    Raises:
        KeyStoreError: another process has held it for too long.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise KeyStoreError(
                        _("{path}.lock is held by another process for over {seconds} s").format(
                            path=path, seconds=f"{LOCK_TIMEOUT_S:.0f}"
                        )
                    ) from None
                time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(lock)


def write_keys(path: Path, entries: Sequence[KeyEntry]) -> None:
    """Write entries to a file, whatever it holds."""
    write_private(path, json.dumps([entry.to_json() for entry in entries]))


def make_private_folder(path: Path) -> None:
    """Create a folder, and those above it, for this user alone; an existing one stays as it is.

    Raises:
        OSError: it cannot be created.
    """
    if not path.is_dir():
        # `mkdir(parents=True)` gives the mode to the last folder only.
        make_private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def close_folder(path: Path) -> None:
    """Take the access of other users to a folder of this user away, if they have any.

    Raises:
        OSError: its mode cannot be changed.
    """
    found = path.stat()
    is_shared = found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid()
    if found.st_mode & stat.S_IRWXO and not is_shared:
        path.chmod(0o700)


def write_private(path: Path, content: str | bytes, *, is_durable: bool = True) -> None:
    """Replace a file atomically by one that only its owner can read.

    Args:
        path: the file.
        content: its content; a text is written as UTF-8.
        is_durable: whether it must survive a power failure from now on.

    Raises:
        OSError: it cannot be written; the former file stays.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if is_durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
