"""One snapshot of the service: queues, workers, traffic, cache, models, drift, alerts."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable, DomainError
from shared.operations.alerts import Alerts
from shared.operations.metric_totals import read_totals
from shared.operations.processes import ProcessReader, StepState, WorkerState
from shared.operations.traffic import Traffic, TrafficRing
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.batch_ledger.backlog import BacklogReader
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.dead_letters import DeadLetter, DeadLetters
from shared.redis.model_figures import ModelFigures, ModelFiguresStore
from shared.redis.webhooks.store import WebhookStore
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings

T = TypeVar("T")

SHOWN_LETTERS = 50


class ModelVersionLike(Protocol):
    """What a snapshot tells of a model version."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def data_as_of(self) -> str:
        """The month whose prices it quotes."""


class ShadowLike(Protocol):
    """The shadow version and its share of the cars."""

    @property
    def version(self) -> str:
        """Its id."""

    @property
    def share(self) -> float:
        """Above 0, at most 1."""


class RegistryLike(Protocol):
    """The registry of model versions, which lies above this package."""

    def list(self) -> Sequence[ModelVersionLike]:
        """All versions, the newest first."""

    def active_version(self) -> str | None:
        """The id of the active one."""


class ShadowPointerLike(Protocol):
    """The pointer to the shadow version."""

    def read(self) -> ShadowLike | None:
        """The shadow; None if there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """A Celery queue with the fair queue in front of it."""

    name: str
    workers: int
    waiting: int
    oldest_s: float
    """Age of what has waited the longest, seconds."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BacklogState:
    """Work that has not ended, or was given up."""

    open_jobs: int
    open_batches: int
    rows: int
    """Rows of open batches that are not done."""
    oldest_batch_s: float
    dead_letters: int
    webhooks_pending: int
    webhooks_given_up: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelState:
    """A model version."""

    version: str
    data_as_of: str
    is_active: bool
    shadow_share: float | None
    """Share of the cars that it values as the shadow; None if it is not the shadow."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The service at a moment; what cannot be read is None and named in `silent`."""

    at: float
    """Unix time, seconds."""
    queues: Sequence[QueueState] | None
    backlog: BacklogState | None
    workers: Sequence[WorkerState] | None
    steps: Sequence[StepState] | None
    traffic: Traffic | None
    """None as well until totals were read twice."""
    cache: Mapping[str, Any]
    models: Sequence[ModelState]
    drift: ModelFigures | None
    letters: Sequence[DeadLetter]
    """The newest dead letters."""
    alerts: Alerts
    silent: Sequence[str]
    """The servers that do not answer: `broker`, `cache`."""

    def to_json(self) -> dict[str, Any]:
        """The JSON document."""
        members = dataclasses.asdict(dataclasses.replace(self, letters=()))
        return members | {"letters": [letter.to_json() for letter in self.letters]}


class SnapshotReader:
    """Reads snapshots. Not for use by several threads.

    Args:
        broker: connection to the broker instance.
        clock: Unix time, seconds.
        settings: of the service.
        metrics: folder of the metric files; None: processes share no metrics.
        cache_stats: returns `EstimateCache.stats`.
        registry: the model versions.
        shadow: the pointer to the shadow version.
        alerts: returns the alerts that fire.
    """

    def __init__(
        self,
        broker: RedisClient,
        clock: Clock,
        settings: Settings,
        *,
        metrics: Path | None,
        cache_stats: Callable[[], Mapping[str, Any]],
        registry: RegistryLike,
        shadow: ShadowPointerLike,
        alerts: Callable[[], Alerts],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._metrics = metrics
        self._ring = TrafficRing()
        self._processes = ProcessReader(broker, clock)
        self._registry = WorkerRegistry(broker, clock)
        self._backlog = BacklogReader(broker, clock, settings.batch_chunk_rows)
        self._letters = DeadLetters(broker, clock)
        self._webhooks = WebhookStore(broker, clock, retry_s=settings.webhook_retry_s)
        self._figures = ModelFiguresStore(broker)
        self._cache_stats = cache_stats
        self._models, self._shadow = registry, shadow
        self._alerts = alerts

    def sample(self) -> None:
        """Read the totals: the traffic of the next snapshot is what was added to them."""
        if self._metrics is not None:
            self._ring.add(time.monotonic(), read_totals(self._metrics))

    def read(self) -> Snapshot:
        """The service now; takes two seconds at most for each server that does not answer."""
        self.sample()
        cache = self._cache_stats()
        silent = [] if cache.get("enabled") else ["cache"]
        found: dict[str, Any] = {}
        try:
            found = {
                "queues": self._queues(),
                "backlog": self._read_backlog(),
                "workers": self._processes.workers(),
                "steps": self._processes.steps(),
                "drift": self._figures.get(),
                "letters": self._letters.all(SHOWN_LETTERS),
            }
        except BrokerUnavailable:
            silent.insert(0, "broker")
        names = ("queues", "backlog", "workers", "steps", "drift")
        return Snapshot(
            at=self._clock(),
            **{name: found.get(name) for name in names},
            letters=found.get("letters", ()),
            traffic=self._ring.traffic(),
            cache=cache,
            models=self._model_states(),
            alerts=self._alerts(),
            silent=silent,
        )

    def _queues(self) -> list[QueueState]:
        workers = self._registry.live_counts()
        waiting, oldest_s = self._registry.waiting()
        return [
            QueueState(
                name=name, workers=workers[name], waiting=waiting[name], oldest_s=oldest_s[name]
            )
            for name in map(str, QueueName)
        ]

    def _read_backlog(self) -> BacklogState:
        with broker_errors():
            pipeline = self._broker.pipeline(transaction=False)
            pipeline.zcard(keys.OPEN_JOBS)
            pipeline.zcard(keys.OPEN_BATCHES)
            jobs, batches = pipeline.execute()
        backlog, webhooks = self._backlog.read(), self._webhooks.figures()
        return BacklogState(
            open_jobs=jobs,
            open_batches=batches,
            rows=backlog.rows,
            oldest_batch_s=backlog.oldest_s,
            dead_letters=self._letters.count(),
            webhooks_pending=int(webhooks.pending),
            webhooks_given_up=int(webhooks.failed),
        )

    def _model_states(self) -> list[ModelState]:
        """The versions; none while they cannot be read."""
        try:
            active, shadow = self._models.active_version(), self._shadow.read()
            return [
                ModelState(
                    version=each.id,
                    data_as_of=each.data_as_of,
                    is_active=each.id == active,
                    shadow_share=shadow.share if shadow and shadow.version == each.id else None,
                )
                for each in self._models.list()
            ]
        except (DomainError, OSError):
            return []
