"""What a process needs while several hosts share their state: the registry, copies, reports."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from model_store.registry.pointer_files import is_version_id
from model_store.registry.registry import ModelRegistry
from model_store.registry.shared_models import SharedModels
from model_store.registry.trials import tried_by_workers
from shared.domain.errors import BrokerUnavailable, DomainError, StorageUnavailable
from shared.keys.shared_store import open_key_store
from shared.redis.connections import connect
from shared.redis.serving import ServingReporter, ServingVersions, Trials
from shared.settings import Settings
from shared.state.refresher import CopyRefresher
from shared.webhooks.shared_secrets import open_webhook_secrets

SHARED_CHECK_INTERVAL_S = 0.3
"""Time between two looks at the copy of the pointer, while hosts wait for each other."""
ACTIVATION_WAIT_S = 10.0
"""Longest wait until every process serves an activated version."""
POLL_S = 0.1
BROKER_SILENT = "unknown, because the broker does not answer"
BROKER_WAIT_S = 2.0
"""Longest wait for a broker that has not answered at all."""
KEYS, MODELS = "state-keys", "state-models"
"""Files in the folder `run` of the home: `.lock`, held by the process of this host that refreshes
the copies, and `.current`, whose time is that of the last round in which all were up to date."""
CURRENT_FOR_S = 30.0
"""Copies that were not up to date for this time are reported."""

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


def ensure_version(settings: Settings, version: str) -> None:
    """Fetch a version that only other hosts have, for a command that loads it.

    Raises:
        ModelVersionNotFound: nobody has it.
        ModelRefused: it is damaged in the state store.
        OSError: the state store is unreachable.
    """
    shared = SharedModels.of(settings)
    if shared is not None and is_version_id(version):
        shared.ensure(version)


def publish_version(settings: Settings, version: str) -> None:
    """Let other hosts list and activate a new version; one that is activated is published anyway.

    Raises:
        ModelRefused: a file is damaged.
        OSError: the state store is unreachable.
    """
    shared = SharedModels.of(settings)
    if shared is not None:
        shared.publish(version)


def share_state(
    settings: Settings,
    process: str,
    version: Callable[[], str | None],
    trials: Trials | None = None,
) -> None:
    """Start what a process of the service does while several hosts share state; else nothing.

    Threads refresh the copies of this host, unless another process does, and report which model
    this process serves.

    Args:
        settings: with `redis_url` filled in.
        process: a name that no other process has.
        version: the model version that this process serves; None: none yet.
        trials: of a worker: tries the versions that other processes are about to activate.
    """
    refresh_copies(settings)
    if settings.state_url:
        serving = ServingVersions(connect(settings.redis_url))
        ServingReporter(serving, process, version, trials).start()


def refresh_copies(settings: Settings) -> None:
    """Start the threads that refresh the copies of this host, if several hosts share state."""
    shared = SharedModels.of(settings)
    if shared is None:
        return
    run = settings.home / "run"
    # Two threads: fetching a model takes seconds, and a revoked key must not wait for it.
    keys, secrets = open_key_store(settings), open_webhook_secrets(settings)
    for name, pulls in ((KEYS, (keys.pull, secrets.pull)), (MODELS, (shared.pull,))):
        stamp = run / f"{name}.current"
        CopyRefresher(run / f"{name}.lock", pulls, on_current=stamp.touch).start()


def check_copies(settings: Settings) -> None:
    """Return if the copies of this host are up to date, or no state is shared.

    Raises:
        StorageUnavailable: the state store is unreachable or has lost or damaged something.
    """
    if not settings.state_url:
        return
    for name in (KEYS, MODELS):
        try:
            age_s = time.time() - (settings.home / "run" / f"{name}.current").stat().st_mtime
        except FileNotFoundError:
            age_s = float("inf")
        if age_s > CURRENT_FOR_S:
            raise StorageUnavailable(reason=f"the copies of {name} are not up to date")


class Activations:
    """Waits until every live process serves an activated version.

    Args:
        serving: what the processes report; None: no state is shared, nothing is waited for.
        is_published: whether every host can fetch a version.
    """

    def __init__(
        self,
        serving: ServingVersions | None,
        is_published: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._serving = serving
        self._is_published = is_published

    @classmethod
    def of(cls, settings: Settings) -> "Activations":
        """Those of a service; with `redis_url` filled in."""
        shared = SharedModels.of(settings)
        if shared is None:
            return cls(None)
        serving = ServingVersions(connect(settings.redis_url))
        return cls(serving, lambda version: version in shared.versions())

    @property
    def are_shared(self) -> bool:
        """Whether several hosts share their models."""
        return self._serving is not None

    def is_tried(self, version: str) -> bool:
        """Whether a live worker has loaded a version, after waiting until all have tried it.

        Raises:
            ModelRefused: a worker has refused it, and none has loaded it.
            ModelNotTried: there are workers, and none has a result.
        """
        if self._serving is None or not self._is_published(version):
            return False
        return tried_by_workers(self._serving, version)

    def not_serving(self, version: str, wait_s: float = ACTIVATION_WAIT_S) -> Sequence[str]:
        """The live processes that do not serve a version after at most `wait_s`, by name."""
        if self._serving is None:
            return ()
        missing: Sequence[str] = (BROKER_SILENT,)
        until = time.monotonic() + min(wait_s, BROKER_WAIT_S)
        while True:
            with contextlib.suppress(BrokerUnavailable):
                live = self._serving.live()
                if BROKER_SILENT in missing:
                    until += wait_s - min(wait_s, BROKER_WAIT_S)
                missing = sorted(name for name, found in live.items() if found != version)
            if not missing or time.monotonic() >= until:
                return missing
            time.sleep(POLL_S)
