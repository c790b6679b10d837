"""Secrets that sign webhooks: one per API key, or one of the service while it has no keys.

They are kept as they are, because signing needs them: in a file that only its owner can read.
"""

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from shared.domain.clock import Clock
from shared.keys.store import exclusive_lock, make_private_folder, write_private
from shared.settings import Settings, SettingsError
from shared.webhooks.signing import secret_bytes

SERVICE = "service"
"""Owner of the secret that signs while there are no API keys."""

REFRESH_INTERVAL_S = 1.0


class SecretStoreError(SettingsError):
    """The secrets cannot be read or written; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebhookSecret:
    """A secret that signs the webhooks of its owner."""

    owner: str
    """Id of an API key, or `SERVICE`."""
    secret: str
    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    """When it stops signing; None: until it is rotated or removed."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Read an entry.

        Raises:
            ValueError, KeyError, TypeError: it is not the entry of a secret.
        """
        secret_bytes(members["secret"])
        until = members.get("expires_at")
        return cls(
            owner=str(members["owner"]),
            secret=members["secret"],
            created_at=dt.datetime.fromisoformat(members["created_at"]),
            expires_at=None if until is None else dt.datetime.fromisoformat(until),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members."""
        return {
            "owner": self.owner,
            "secret": self.secret,
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "expires_at": self.expires_at and self.expires_at.isoformat(timespec="seconds"),
        }

    def signs_at(self, now: float) -> bool:
        """Whether it signs at a Unix time."""
        return self.expires_at is None or self.expires_at.timestamp() > now


Change = Callable[[Sequence[WebhookSecret]], Sequence[WebhookSecret]]


class WebhookSecrets:
    """The secrets in their file, which is looked at for changes once a second.

    Args:
        path: the file; it need not exist.
        clock: Unix time, seconds.
    """

    def __init__(self, path: Path, clock: Clock = time.time) -> None:
        self.path = path
        self._clock = clock
        self._secrets: Sequence[WebhookSecret] = ()
        self._stamp: object = None
        self._read_at = float("-inf")

    @classmethod
    def of(cls, settings: Settings) -> "WebhookSecrets":
        """The secrets of a service."""
        return cls(settings.webhook_secrets_path)

    def pull(self) -> None:
        """Take changes of other hosts; a file that is not shared has none."""

    def signing(self, key_id: str) -> list[str]:
        """The secrets that sign for an API key, the newest first; empty: it has none.

        Args:
            key_id: of the key; empty: the service has no keys.

        Raises:
            SecretStoreError: the file cannot be read.
        """
        now = self._clock()
        self._refresh(now)
        found = [each for each in self._secrets if each.owner == (key_id or SERVICE)]
        valid = [each for each in found if each.signs_at(now)]
        return [
            each.secret for each in sorted(valid, key=lambda each: each.created_at, reverse=True)
        ]

    def load(self) -> Sequence[WebhookSecret]:
        """Read the file; empty if there is none.

        Raises:
            SecretStoreError: it cannot be read, or is none of secrets.
        """
        try:
            members = json.loads(self.path.read_text("utf-8"))
            return [WebhookSecret.from_json(each) for each in members]
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # A text of the exception could quote a secret.
            raise SecretStoreError(
                f"{self.path}: not a file of webhook secrets ({type(error).__name__}); restore it "
                "from a backup, or remove it and create secrets"
            ) from error

    def change(self, change: Change) -> Sequence[WebhookSecret]:
        """Replace the secrets by what `change` returns for them, in one step.

        Raises:
            SecretStoreError: nothing was changed.
        """
        try:
            make_private_folder(self.path.parent)
            with exclusive_lock(self.path):
                changed = change(self.load())
                members = [each.to_json() for each in changed]
                write_private(self.path, json.dumps(members, indent=2) + "\n")
        except OSError as error:
            raise SecretStoreError(f"{self.path}: cannot be written ({error.strerror})") from error
        return changed

    def _refresh(self, now: float) -> None:
        if 0.0 <= now - self._read_at < REFRESH_INTERVAL_S:
            return
        try:
            found = self.path.stat()
            stamp: object = (found.st_mtime_ns, found.st_size, found.st_ino)
        except FileNotFoundError:
            stamp = ()
        except OSError as error:
            raise SecretStoreError(f"{self.path}: cannot be read ({error.strerror})") from error
        if stamp != self._stamp:
            self._secrets = self.load()
            self._stamp = stamp
        self._read_at = now
