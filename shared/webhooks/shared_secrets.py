"""Webhook secrets of several hosts: a document of the state store, with a copy on each host."""

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from shared.domain.clock import Clock
from shared.keys.store import exclusive_lock, make_private_folder, write_private
from shared.settings import Settings
from shared.state.copies import DocumentCopy
from shared.state.objects import StateObjects
from shared.webhooks.secret_store import Change, SecretStoreError, WebhookSecret, WebhookSecrets

DOCUMENT = "webhook-secrets.json"


class SharedWebhookSecrets(WebhookSecrets):
    """Reads the copy of this host, and changes the document of all hosts.

    Args:
        path: the copy, which `pull` brings up to date.
        objects: the state store.
        clock: Unix time, seconds.
    """

    def __init__(self, path: Path, objects: StateObjects, clock: Clock = time.time) -> None:
        super().__init__(path, clock)
        self._copy = DocumentCopy(
            objects, DOCUMENT, path, write=write_private, lock=partial(exclusive_lock, path)
        )

    def pull(self) -> None:
        """Bring the copy up to date.

        Raises:
            OSError: the store is unreachable; the copy stays.
        """
        make_private_folder(self.path.parent)
        self._copy.pull()

    def change(self, change: Change) -> Sequence[WebhookSecret]:
        """Replace the document; see `WebhookSecrets`. `change` may be called several times."""
        secrets: Sequence[WebhookSecret] = ()

        def changed(content: bytes | None) -> bytes:
            nonlocal secrets
            secrets = change(self._secrets_of(content))
            return (json.dumps([each.to_json() for each in secrets], indent=2) + "\n").encode()

        try:
            make_private_folder(self.path.parent)
            with exclusive_lock(self.path):
                self._copy.change(changed)
        except OSError as error:
            raise SecretStoreError(f"{self.path}: cannot be written ({error.strerror})") from error
        return secrets

    def _secrets_of(self, content: bytes | None) -> Sequence[WebhookSecret]:
        if content is None:
            return () if self._copy.is_shared else self.load()
        try:
            return [WebhookSecret.from_json(each) for each in json.loads(content)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # A text of the exception could quote a secret.
            raise SecretStoreError(
                f"{DOCUMENT} in the state store is no list of secrets ({type(error).__name__})"
            ) from error


def open_webhook_secrets(settings: Settings) -> WebhookSecrets:
    """The secrets of a service: a file, or shared by several hosts if `STATE_URL` names a store."""
    objects = StateObjects.of(settings)
    if objects is None:
        return WebhookSecrets.of(settings)
    return SharedWebhookSecrets(settings.webhook_secrets_path, objects)
