"""How Celery runs a worker: its consumer, warm-up of the model, heartbeats, metrics, stop."""

import contextlib
import gc
import heapq
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import structlog
from celery import signals
from celery.concurrency import get_implementation, prefork, solo
from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer
from kombu import Message
from kombu.asynchronous.hub import Hub
from kombu.asynchronous.timer import Timer
from prometheus_client import push_to_gateway

from shared import heartbeat
from shared.audit.flusher import close_logs
from shared.domain.errors import BrokerUnavailable, ModelNotLoaded
from shared.logging import get_logger
from shared.metrics import host_registry
from shared.metrics_server import LoopLiveness, serve_metrics
from shared.queue.names import QueueName
from shared.queue.shown_arguments import shown_arguments
from shared.redis.connections import connect, is_answering
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.owners import BEAT_INTERVAL_S, Owner
from shared.redis.primaries import NotPrimary
from shared.redis.workers import WorkerName, WorkerRegistry
from shared.settings import Settings
from shared.tracing.current import close_tracing
from worker.broker_channel import CONNECTION_PAUSES
from worker.delivery import OwnedChannel
from worker.direct_tasks import DirectTasks
from worker.kernel_cache import fill_kernel_cache
from worker.model import ModelRuntime
from worker.owners import WorkerOwners

PUSH_INTERVAL_S = 15.0
EVENT_FLUSH_INTERVAL_S = 0.5
"""Delay of task events, which carry the times at which they happened."""

REFUSAL_PAUSE_S = 0.5
"""Pause before a new connection if the server refuses writes."""

TIMER_PURGE_INTERVAL_S = 10.0
"""How often the timers of ended tasks are dropped."""

BULK_NICENESS = 10
"""On a shared core an interactive worker gets nine tenths of the time."""

OWN_TASK_RECEIVERS = 1
"""Receivers that `connect_signals` connects to `task_prerun` and to `task_postrun`."""

log = get_logger("lifecycle")


def connect_signals(
    settings: Settings,
    runtime: ModelRuntime,
    start_process: Callable[[Owner], None],
    resume_bulk_work: Callable[[], None],
) -> None:
    """Connect to Celery's signals.

    Args:
        settings: the worker's settings.
        runtime: loaded here, before the pool forks, so that the children share its memory.
        start_process: builds the services of a process, given its owner; called in each pool
            process, and in a solo worker itself.
        resume_bulk_work: sends lost steps and long jobs again; called if no other worker serves the
            bulk queue.
    """
    owners = WorkerOwners(settings, start_process)
    owners.connect()
    HeartbeatReporter(settings, runtime, resume_bulk_work).connect()
    EventBatchingConsumer.owners = owners

    @signals.setup_logging.connect(weak=False)
    def keep_logging(**_: Any) -> None:
        """Celery does not configure the logging while this signal has a receiver."""

    @signals.worker_init.connect(weak=False)
    def warm_up(sender: Any, **_: Any) -> None:
        fill_kernel_cache(Path(os.environ["NUMBA_CACHE_DIR"]))
        with contextlib.suppress(ModelNotLoaded):
            runtime.warm_up()
        if get_implementation(sender.pool_cls) is not prefork.TaskPool:
            gc.set_threshold(20_000)  # as in the API: micro-batches leave few cycles behind
        else:
            os.nice(BULK_NICENESS)
            # The kernels are loaded once, here, and shared by the processes of the pool.
            import_module("worker.batches.fast_csv.engine")
            import_module("worker.batches.fast_csv.header_kernels")
        # The collector must not write to, and so copy, the pages that the children share.
        gc.collect()
        gc.freeze()

    @signals.beat_init.connect(weak=False)
    def show_beat_runs(sender: Any, **_: Any) -> None:
        sender.scheduler.tick = _with_heartbeat(sender.scheduler.tick)
        _open_metrics_port(settings)

    @signals.worker_ready.connect(weak=False)
    def show_worker_runs(**_: Any) -> None:
        # These threads only read files: a forked child inherits no lock that they hold.
        _open_metrics_port(settings)
        if settings.pushgateway_url:
            threading.Thread(
                target=_push_metrics_loop, args=(settings.pushgateway_url,), daemon=True
            ).start()

    # Its processes end without the exit functions of Python.
    signals.worker_process_shutdown.connect(close_logs, weak=False)
    signals.worker_process_shutdown.connect(close_tracing, weak=False)

    @signals.task_prerun.connect(weak=False)
    def bind_context(task_id: str, task: Any, **_: Any) -> None:
        structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)

    @signals.task_postrun.connect(weak=False)
    def unbind_context(**_: Any) -> None:
        structlog.contextvars.unbind_contextvars("task", "task_id")


def _open_metrics_port(settings: Settings) -> None:
    if settings.metrics_port:
        liveness = LoopLiveness(partial(is_answering, settings.redis_url))
        serve_metrics(settings.metrics_port, host_registry(), liveness)


def _with_heartbeat(tick: Callable[..., float]) -> Callable[..., float]:
    """The function that beat calls in its loop, extended by the heartbeat of the process."""
    own = heartbeat.Heartbeat()

    def beating_tick(*args: Any, **options: Any) -> float:
        own.beat()
        return tick(*args, **options)

    return beating_tick


class HeartbeatReporter:
    """Reports, at each heartbeat of Celery, that this worker is able to answer.

    Args:
        settings: with the URL of the broker.
        runtime: a solo worker is able to answer while it has a model. The parent of a pool does not
            check this, because asking would start a thread before a fork.
        resume_bulk_work: see `connect_signals`.
    """

    def __init__(
        self, settings: Settings, runtime: ModelRuntime, resume_bulk_work: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._resume_bulk_work = resume_bulk_work
        self._is_solo = False
        broker = connect(settings.redis_url)
        self._home = settings.home
        self._workers = WorkerRegistry(broker)
        self._fair_queues = FairQueues(broker, time.time)
        self._processes = 1
        self._queues: list[str] = []
        self._name: WorkerName | None = None

    def connect(self) -> None:
        """Connect to the signals of a worker's main process."""
        signals.worker_ready.connect(self._ready, weak=False)
        signals.heartbeat_sent.connect(self._report, weak=False)
        signals.worker_shutting_down.connect(self._leave, weak=False)

    def _ready(self, sender: Any, **_: Any) -> None:
        self._queues = [queue.name for queue in sender.task_consumer.queues]
        self._name = WorkerName.of_this_process(sender.hostname, self._home)
        self._is_solo = isinstance(sender.pool, solo.TaskPool)
        self._processes = 1 if self._is_solo else sender.pool.num_processes
        with contextlib.suppress(BrokerUnavailable):
            others = self._workers.remove_predecessors(self._name)
            if QueueName.BULK in self._queues and not others[QueueName.BULK]:
                self._resume_bulk_work()
        self._report()
        log.info("worker_ready", name=str(self._name), queues=self._queues)

    def _report(self, **_: Any) -> None:
        if self._name is None:
            return
        # The API reports an outage of the broker; a worker waits for its end.
        with contextlib.suppress(BrokerUnavailable, ModelNotLoaded):
            if self._is_solo:
                self._runtime.current()
            self._workers.heartbeat(str(self._name), self._queues)
            self._fair_queues.announce(self._name.place, self._queues, self._processes)

    def _leave(self, **_: Any) -> None:
        if self._name is None:
            return
        with contextlib.suppress(BrokerUnavailable):
            self._workers.unregister(str(self._name), self._queues)
            self._fair_queues.withdraw(self._name.place)
        self._name = None


def _push_metrics_loop(url: str) -> None:
    """Push the metrics of all processes of this host, under the host's name, at an interval."""
    while not threading.Event().wait(PUSH_INTERVAL_S):
        try:
            push_to_gateway(
                url,
                job="carprice-worker",
                registry=host_registry(),
                grouping_key={"instance": socket.gethostname()},
            )
        except OSError as error:
            log.warning("metrics_not_pushed", error=str(error))


class EventBatchingConsumer(Consumer):
    """Celery's consumer with less overhead per task, for tasks that take a millisecond.

    It sends the events of many tasks as one message, at most twice a second. Celery sends the
    events of each task when it ends: that takes a fifth of the worker's time, and Flower has to
    process each message.

    It does not acknowledge the messages of a `no_ack` queue. Kombu's Redis transport would remove
    each from the set of unacknowledged messages, where it never was, by one more transaction.

    It leaves messages of short tasks to `DirectTasks`, and fills in what events show of the
    arguments of the others.

    It drops the timers of ended tasks. Each task has a timer for its time limit, half a kilobyte
    that kombu would keep until the limit is over, up to an hour; forked children inherit it.
    """

    app: Any
    hub: Any
    connection_errors: tuple[type[Exception], ...]
    owners: ClassVar[WorkerOwners | None] = None
    """Called twice a second by the event loop of the main process."""

    _flush_events: Callable[[], None]
    _is_flush_due = False

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, with pauses that do not grow to half a minute while a failover lasts."""
        conn.ensure_connection = partial(conn.ensure_connection, **CONNECTION_PAUSES)
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any) -> Callable[[Message], None]:
        """Return the function that is called with each message."""
        handle = super().create_task_handler(*args)
        queues = self.app.amqp.queues

        def receive(message: Any) -> None:
            OwnedChannel.deliveries.received += 1
            # Another publisher may name a queue that is not ours: Celery handles that.
            queue = queues.get(message.delivery_info.get("routing_key"))
            if queue is not None and queue.no_ack:
                message.ack = _noop_ack
            show_arguments(message)
            handle(message)

        return receive

    def on_ready(self) -> None:
        """Take messages over a new connection."""
        OwnedChannel.deliveries.run_directly = DirectTasks(self, OWN_TASK_RECEIVERS).run
        super().on_ready()

    def register_with_event_loop(self, hub: Hub) -> None:
        """Start the timers of a new connection: those of the last one are gone."""
        self._is_flush_due = False
        if self.owners is not None:
            hub.call_repeatedly(BEAT_INTERVAL_S, self.owners.tick)
        hub.call_repeatedly(heartbeat.BEAT_INTERVAL_S, heartbeat.Heartbeat().beat)
        hub.call_repeatedly(TIMER_PURGE_INTERVAL_S, purge_canceled_timers, hub.timer)
        super().register_with_event_loop(hub)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # as Celery's own
        """Schedule the next flush."""
        if self.hub and not self._is_flush_due:
            self._is_flush_due = True
            self.hub.call_later(EVENT_FLUSH_INTERVAL_S, self._flush_buffered_events)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Do as Celery does, without its warning about a later version; pause after a refusal."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        if isinstance(exc, NotPrimary):
            # The server accepts connections, so without a pause they would follow one another.
            time.sleep(REFUSAL_PAUSE_S)

    def stop(self) -> None:
        """Send the remaining events, then stop."""
        with contextlib.suppress(*self.connection_errors):
            self._flush_events()
        super().stop()

    def _flush_buffered_events(self, *_: Any) -> None:
        self._is_flush_due = False
        self._flush_events()


def purge_canceled_timers(timer: Timer) -> None:
    """Drop canceled timers; to be called by the thread that fires them."""
    queue = timer._queue  # noqa: SLF001 - kombu itself drops them only when they come due
    queue[:] = [each for each in queue if not each.entry.canceled]
    heapq.heapify(queue)


def show_arguments(message: Any) -> None:
    """Let the events of a task show the ids among its arguments: senders leave the text empty.

    Unreadable messages stay as they are: Celery refuses them.
    """
    with contextlib.suppress(Exception):
        _, kwargs, _ = message.payload
        message.headers["kwargsrepr"] = shown_arguments(kwargs)


def _noop_ack(**_: Any) -> None:
    """Acknowledge nothing: the broker does not keep the message."""
