"""What the dashboard of this process shares: snapshots, sessions, the number of streams."""

import os
import threading
import time
from functools import partial
from pathlib import Path

from api.dashboard.sessions import Sessions, SignInLimit
from model_store.registry.registry import ModelRegistry, ShadowPointer
from model_store.registry.shared_models import SharedModels
from shared.audit.file_state import CheckpointError
from shared.audit.signing import read_key
from shared.domain.clock import Clock
from shared.metric_files import FOLDER_VARIABLE
from shared.operations.alerts import AlertWatch
from shared.operations.live import LiveSnapshots
from shared.operations.snapshot import SnapshotReader
from shared.operations.work_list import WorkList
from shared.redis.cache import EstimateCache
from shared.redis.connections import RedisClient
from shared.settings import Settings

MAX_STREAMS = 8
"""Pages that are kept up to date at once; each holds a thread. Others are loaded again by hand."""


class Operations:
    """What the dashboard asks.

    Args:
        settings: of the service.
        broker: connection to the broker.
        cache: the result cache.
        registry: of the models.
        clock: Unix time, seconds.
    """

    def __init__(
        self,
        settings: Settings,
        broker: RedisClient,
        cache: EstimateCache,
        registry: ModelRegistry,
        clock: Clock,
    ) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        self.shadow = ShadowPointer(settings.versions_path, SharedModels.of(settings))
        self.sessions = Sessions(clock, partial(_read_secret, settings.checkpoint_key_file))
        self.sign_ins = SignInLimit(time.monotonic)
        self.streams = threading.BoundedSemaphore(MAX_STREAMS)
        reader = SnapshotReader(
            broker,
            clock,
            settings,
            metrics=Path(folder) if folder else None,
            cache_stats=cache.stats,
            registry=registry,
            shadow=self.shadow,
            alerts=AlertWatch(settings.alerts_url, time.monotonic).latest,
        )
        self.snapshots = LiveSnapshots(reader.read, time.monotonic)
        self.work = partial(WorkList.of, settings, broker, clock)
        """Makes the list of jobs and batches."""


def _read_secret(path: Path) -> bytes | None:
    """The key of the checkpoints; None if there is none that can be read."""
    try:
        return read_key(path)
    except CheckpointError:  # the audit log reports it
        return None
