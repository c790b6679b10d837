"""What a backup contains, and where it belongs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from launcher.embedded import AOF_FOLDER
from shared.keys.store import MARKER
from shared.settings import Settings

SCHEMA = 1
"""Version of the form of backups."""

INFO = "backup.json"
"""Written last: a backup without it is incomplete."""

BROKER = f"broker/{AOF_FOLDER}"
BATCHES = "batches"
AUDIT = "audit"
CHECKPOINTS = "audit-checkpoints"
CHECKPOINT_KEY = "audit-checkpoints.key"
API_KEYS = "api-keys.json"
WEBHOOK_SECRETS = "webhook-secrets.json"
MODELS = "models"


class BackupError(Exception):
    """The backup or the restore cannot be carried out; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A folder or file of the service.

    Attributes:
        name: in the backup; a backup has the layout of a home.
        path: in the service.
    """

    name: str
    path: Path


def parts_of(settings: Settings, broker_folder: Path | None = None) -> Sequence[Part]:
    """Everything that a backup contains.

    Args:
        settings: of the service.
        broker_folder: data folder of a broker that is not the embedded one.
    """
    broker = broker_folder or settings.home / "broker"
    used = settings.keys_file.with_name(f"{settings.keys_file.name}.used")
    return [
        Part(BROKER, broker / AOF_FOLDER),
        Part(BATCHES, settings.batches_path),
        Part(AUDIT, settings.audit_folder),
        Part(CHECKPOINTS, settings.checkpoints_folder),
        Part(CHECKPOINT_KEY, settings.checkpoint_key_file),
        Part(API_KEYS, settings.keys_file),
        Part(f"{API_KEYS}.used", used),
        Part(MARKER, settings.home / MARKER),
        Part(WEBHOOK_SECRETS, settings.webhook_secrets_path),
        Part(MODELS, settings.versions_path),
    ]
