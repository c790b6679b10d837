"""What a process needs while several hosts share their state: the registry, copies, reports."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from model_store.registry.registry import ModelRegistry
from model_store.registry.shared_models import SharedModels
from shared.domain.errors import BrokerUnavailable, DomainError
from shared.keys.shared_store import open_key_store
from shared.redis.connections import connect
from shared.redis.serving import ServingReporter, ServingVersions
from shared.settings import Settings
from shared.state.refresher import CopyRefresher
from shared.webhooks.shared_secrets import open_webhook_secrets

SHARED_CHECK_INTERVAL_S = 0.3
"""Time between two looks at the copy of the pointer, while hosts wait for each other."""
ACTIVATION_WAIT_S = 10.0
"""Longest wait until every process serves an activated version."""
POLL_S = 0.1
BROKER_SILENT = "unknown, because the broker does not answer"
KEYS_LOCK, MODELS_LOCK = "state-keys.lock", "state-models.lock"
"""In the folder `run` of the home: one process of a host refreshes its copies."""

logger = logging.getLogger(__name__)


def open_registry(
    settings: Settings, self_test: Callable[[str], object] = lambda _: None
) -> ModelRegistry:
    """The registry of a service: of this host, or shared by several if `STATE_URL` names a store.

    Args:
        settings: of the service.
        self_test: as of `ModelRegistry`.
    """
    return ModelRegistry(
        settings.versions_path, self_test=self_test, shared=SharedModels.of(settings)
    )


def pull_models(settings: Settings) -> None:
    """Take what other hosts have changed, for a command; without the store, it sees the copies."""
    shared = SharedModels.of(settings)
    if shared is not None:
        try:
            shared.pull()
        except (OSError, DomainError) as error:
            logger.warning("state_copy_not_refreshed: %s", error)


def publish_version(settings: Settings, version: str) -> None:
    """Let other hosts list and activate a new version; one that is activated is published anyway.

    Raises:
        ModelRefused: a file is damaged.
        OSError: the state store is unreachable.
    """
    shared = SharedModels.of(settings)
    if shared is not None:
        shared.publish(version)


def share_state(settings: Settings, process: str, version: Callable[[], str | None]) -> None:
    """Start what a process of the service does while several hosts share state; else nothing.

    Threads refresh the copies of this host, unless another process does, and report which model
    this process serves.

    Args:
        settings: with `redis_url` filled in.
        process: a name that no other process has.
        version: the model version that this process serves; None: none yet.
    """
    refresh_copies(settings)
    if settings.state_url:
        serving = ServingVersions(connect(settings.redis_url))
        ServingReporter(serving, process, version).start()


def refresh_copies(settings: Settings) -> None:
    """Start the threads that refresh the copies of this host, if several hosts share state."""
    shared = SharedModels.of(settings)
    if shared is None:
        return
    run = settings.home / "run"
    # Two threads: fetching a model takes seconds, and a revoked key must not wait for it.
    keys, secrets = open_key_store(settings), open_webhook_secrets(settings)
    CopyRefresher(run / KEYS_LOCK, (keys.pull, secrets.pull)).start()
    CopyRefresher(run / MODELS_LOCK, (shared.pull,)).start()


class Activations:
    """Waits until every live process serves an activated version.

    Args:
        serving: what the processes report; None: no state is shared, nothing is waited for.
    """

    def __init__(self, serving: ServingVersions | None) -> None:
        self._serving = serving

    @classmethod
    def of(cls, settings: Settings) -> "Activations":
        """Those of a service; with `redis_url` filled in."""
        if not settings.state_url:
            return cls(None)
        return cls(ServingVersions(connect(settings.redis_url)))

    @property
    def are_shared(self) -> bool:
        """Whether several hosts share their models."""
        return self._serving is not None

    def not_serving(self, version: str, wait_s: float = ACTIVATION_WAIT_S) -> Sequence[str]:
        """The live processes that do not serve a version after at most `wait_s`, by name."""
        if self._serving is None:
            return ()
        missing: Sequence[str] = (BROKER_SILENT,)
        until = time.monotonic() + wait_s
        while True:
            with contextlib.suppress(BrokerUnavailable):
                live = self._serving.live()
                missing = sorted(name for name, found in live.items() if found != version)
            if not missing or time.monotonic() >= until:
                return missing
            time.sleep(POLL_S)
