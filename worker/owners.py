"""The processes of this worker as owners of what they hold, and their heartbeats."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from billiard import current_process
from celery import signals
from celery.concurrency import get_implementation, prefork

from shared.domain.errors import BrokerUnavailable
from shared.host import host_identity
from shared.logging import get_logger
from shared.metrics import OWNERS_LOST
from shared.redis.connections import RedisClient, connect
from shared.redis.owners import BEAT_INTERVAL_S, Owner, OwnerRegistry
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings
from worker.delivery import OwnedChannel
from worker.hung_processes import ConsumerWatch, PoolHeartbeats

log = get_logger("owners")


def log_dead_owners(dead: dict[str, int]) -> None:
    """Log and count the owners that were found dead, with the number of restored messages."""
    for owner, restored in dead.items():
        OWNERS_LOST.inc()
        log.warning("owner_dead", owner=owner, messages_restored=restored)


class OwnerThread:
    """The heartbeat of a process that carries out tasks, written by a thread.

    A thread, because a task may take longer than a heartbeat may be late: a process that waits for
    a disk is alive.

    Args:
        client: connection to the broker instance, for this object alone.
        owner: this process.
        finished: returns how many messages of its list the process has finished so far.
        write_locally: called at each heartbeat, also while the broker is down.
        restores: whether it looks for dead owners; one process of each worker is enough.
    """

    def __init__(
        self,
        client: RedisClient,
        owner: Owner,
        *,
        finished: Callable[[], int] = lambda: 0,
        write_locally: Callable[[], None] = lambda: None,
        restores: bool = True,
    ) -> None:
        self._registry = OwnerRegistry(client, owner)
        self._finished = finished
        self._write_locally = write_locally
        self._restores = restores
        self._reported = 0
        self._stop = threading.Event()

    def start(self, *, replaces_predecessors: bool) -> None:
        """Write the first heartbeat and start the thread.

        Args:
            replaces_predecessors: whether earlier processes of this node are certainly dead.
        """
        self._beat()
        if replaces_predecessors:
            with contextlib.suppress(BrokerUnavailable):
                self._registry.remove_predecessors()
        threading.Thread(target=self._run, name="owner", daemon=True).start()

    def leave(self) -> None:
        """End the owner, which has stopped taking messages."""
        self._stop.set()
        with contextlib.suppress(BrokerUnavailable):
            self._registry.leave()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_INTERVAL_S):
            self._beat()

    def _beat(self) -> None:
        self._write_locally()
        finished = self._finished()
        try:
            _, dead = self._registry.beat(finished - self._reported, restores=self._restores)
        except BrokerUnavailable:
            return  # others report the outage
        except Exception as error:
            log.exception("heartbeat_failed", error=str(error))
            return
        self._reported = finished
        log_dead_owners(dead)


class WorkerOwners:
    """Makes the processes of a worker owners of what they hold (`shared.redis.owners`).

    A solo worker is one owner. The main process of a pool owns the messages that it has taken; each
    process of the pool owns the claims of its tasks.

    Args:
        settings: with the URL of the broker.
        start_process: builds the services of a process that carries out tasks.
    """

    def __init__(self, settings: Settings, start_process: Callable[[Owner], None]) -> None:
        self._settings = settings
        self._start_process = start_process
        self._node = "worker"
        self._host = host_identity(settings.home)
        self._is_pool = False
        self._registry: OwnerRegistry | None = None
        self._thread: OwnerThread | None = None
        self._pool: Any = None
        self._pool_heartbeats = PoolHeartbeats()
        self._queues: list[str] = []
        self._watch: ConsumerWatch | None = None

    def connect(self) -> None:
        """Connect to Celery's signals."""
        signals.worker_init.connect(self._on_init, weak=False)
        signals.worker_process_init.connect(self._on_process_init, weak=False)
        signals.worker_process_shutdown.connect(self._on_process_shutdown, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)

    def tick(self) -> None:
        """Do what is due in the event loop of the main process."""
        try:
            if self._registry is not None:
                log_dead_owners(self._registry.beat()[1])
            if self._watch is not None:
                self._watch.check(self._queues)
        except BrokerUnavailable:
            pass  # the API reports an outage; a worker waits for its end
        if self._pool is not None:
            self._pool_heartbeats.kill_hung(list(self._pool._pool))  # noqa: SLF001 - Celery has no list

    def _on_init(self, sender: Any, **_: Any) -> None:
        self._node = sender.hostname
        self._is_pool = get_implementation(sender.pool_cls) is prefork.TaskPool
        if self._is_pool:
            owner = Owner(self._node, self._host)
            self._registry = OwnerRegistry(connect(self._settings.redis_url), owner)
            OwnedChannel.deliveries.owner = owner.name

    def _on_process_init(self, **_: Any) -> None:
        """Start a process that carries out tasks; it exits if that fails.

        Celery only logs what a signal's receiver raises: the process would take tasks and fail
        them all. A process that exits is started again until the cause is gone.
        """
        try:
            self._start()
        except Exception as error:
            log.critical("process_not_started", error=repr(error), exc_info=True)
            raise SystemExit(1) from error

    def _start(self) -> None:
        owner = Owner(f"{self._node}.pool" if self._is_pool else self._node, self._host)
        self._start_process(owner)
        client = connect(self._settings.redis_url)
        if self._is_pool:
            self._registry = None  # that of the parent
            index = getattr(current_process(), "index", 0)
            self._thread = OwnerThread(
                client,
                owner,
                write_locally=lambda: self._pool_heartbeats.write(index),
                restores=False,
            )
        else:
            deliveries = OwnedChannel.deliveries
            deliveries.owner = owner.name
            self._thread = OwnerThread(client, owner, finished=lambda: deliveries.finished)
        self._thread.start(replaces_predecessors=not self._is_pool)

    def _on_process_shutdown(self, **_: Any) -> None:
        if self._thread is not None:
            self._thread.leave()

    def _on_ready(self, sender: Any, **_: Any) -> None:
        self._queues = [queue.name for queue in sender.task_consumer.queues]
        self._watch = ConsumerWatch(
            WorkerRegistry(connect(self._settings.redis_url)),
            lambda: OwnedChannel.deliveries.received,
        )
        if self._registry is not None:
            self._pool = sender.pool._pool  # noqa: SLF001 - Celery offers no list of the processes
            with contextlib.suppress(BrokerUnavailable):
                self._registry.beat()
                self._registry.remove_predecessors()

    def _on_shutdown(self, **_: Any) -> None:
        if self._thread is not None:
            self._thread.leave()
        if self._registry is not None:
            with contextlib.suppress(BrokerUnavailable):
                self._registry.leave()
