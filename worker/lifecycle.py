"""What happens around a worker's tasks: warm up, signs of life, metrics, stop."""

import contextlib
import gc
import os
import socket
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog
from celery import signals
from celery.concurrency import get_implementation, prefork, solo
from prometheus_client import push_to_gateway, start_http_server

from shared.domain.errors import BrokerUnavailable, ModelNotLoaded
from shared.logging import get_logger
from shared.metrics import host_registry
from shared.queue.names import QueueName
from shared.redis.connections import connect
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings
from worker.kernel_cache import fill_kernel_cache
from worker.model import ModelRuntime

PUSH_INTERVAL_S = 15.0
BULK_NICENESS = 10
"""Where both want a core, a valuation that somebody waits for gets nine tenths of it."""

log = get_logger("lifecycle")


def connect_signals(
    settings: Settings,
    runtime: ModelRuntime,
    start_process: Callable[[], None],
    resume_batches: Callable[[], None],
) -> None:
    """Hook into Celery's signals.

    Args:
        settings: the worker's settings.
        runtime: loaded here, before the pool forks, so that its children share the forest's
            memory.
        start_process: builds the services of a process; called in each pool process, and in a
            solo worker itself.
        resume_batches: called where no other worker values batches: whatever its predecessor held
            when it was killed must not wait for its leases.
    """
    HeartbeatReporter(settings, runtime, resume_batches).connect()

    @signals.setup_logging.connect(weak=False)
    def keep_logging(**_: Any) -> None:
        """Celery leaves the logging as it is while somebody listens to this signal."""

    @signals.worker_init.connect(weak=False)
    def warm_up(sender: Any, **_: Any) -> None:
        fill_kernel_cache(Path(os.environ["NUMBA_CACHE_DIR"]))
        with contextlib.suppress(ModelNotLoaded):
            runtime.warm_up()
        if get_implementation(sender.pool_cls) is prefork.TaskPool:
            _prepare_bulk_worker()
        # What is here now stays: the collector must not touch, and so copy, the shared pages.
        gc.collect()
        gc.freeze()

    @signals.worker_process_init.connect(weak=False)
    def process_started(**_: Any) -> None:
        _start_or_exit(start_process)

    @signals.worker_ready.connect(weak=False)
    def serve_metrics(**_: Any) -> None:
        # These threads only read files: a child that forks beside them inherits no lock of theirs.
        if settings.metrics_port:
            start_http_server(settings.metrics_port, registry=host_registry())
        if settings.pushgateway_url:
            threading.Thread(
                target=_push_metrics_loop, args=(settings.pushgateway_url,), daemon=True
            ).start()

    @signals.task_prerun.connect(weak=False)
    def bind_context(task_id: str, task: Any, **_: Any) -> None:
        structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)

    @signals.task_postrun.connect(weak=False)
    def unbind_context(**_: Any) -> None:
        structlog.contextvars.unbind_contextvars("task", "task_id")


def _start_or_exit(start_process: Callable[[], None]) -> None:
    """Start a process, or end it.

    Celery only logs what a signal's receiver raises. The process would go on to take tasks, fail
    them all, and call itself ready; one that ends is started again until the cause is gone.
    """
    try:
        start_process()
    except Exception as error:
        log.critical("process_not_started", error=repr(error), exc_info=True)
        raise SystemExit(1) from error


def _prepare_bulk_worker() -> None:
    """Prepare a worker for batches, which yields to whoever waits for an answer."""
    os.nice(BULK_NICENESS)
    # The kernels are loaded once, here, and shared by the processes of the pool.
    import_module("worker.batches.fast_csv.engine")


class HeartbeatReporter:
    """Tells the API, with Celery's own heartbeat, that this worker is there and able to answer.

    Args:
        settings: where the broker is.
        runtime: a worker without a pool is able only while it has a model. The parent of a pool
            does not look: it must not start a thread that its children would inherit halfway.
        resume_batches: see `connect_signals`.
    """

    def __init__(
        self, settings: Settings, runtime: ModelRuntime, resume_batches: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._resume_batches = resume_batches
        self._is_solo = False
        self._workers = WorkerRegistry(connect(settings.redis_url))
        self._queues: list[str] = []
        self._name = ""

    def connect(self) -> None:
        """Hook into the signals of a worker's main process."""
        signals.worker_ready.connect(self._ready, weak=False)
        signals.heartbeat_sent.connect(self._beat, weak=False)
        signals.worker_shutting_down.connect(self._leave, weak=False)

    def _ready(self, sender: Any, **_: Any) -> None:
        self._queues = [queue.name for queue in sender.task_consumer.queues]
        self._name = f"{sender.hostname}:{os.getpid()}"
        self._is_solo = isinstance(sender.pool, solo.TaskPool)
        with contextlib.suppress(BrokerUnavailable):
            others = self._workers.remove_predecessors(sender.hostname)
            if QueueName.BULK in self._queues and not others[QueueName.BULK]:
                self._resume_batches()
        self._beat()
        log.info("worker_ready", name=self._name, queues=self._queues)

    def _beat(self, **_: Any) -> None:
        if not self._name:
            return
        # The broker's absence is the API's to report; a worker only waits for its return.
        with contextlib.suppress(BrokerUnavailable, ModelNotLoaded):
            if self._is_solo:
                self._runtime.current()
            self._workers.heartbeat(self._name, self._queues)

    def _leave(self, **_: Any) -> None:
        with contextlib.suppress(BrokerUnavailable):
            self._workers.unregister(self._name, self._queues)
        self._name = ""


def _push_metrics_loop(url: str) -> None:
    """Push this host's metrics at an interval; a gateway that is down is tried again.

    They are those of all its processes, so all push the same under the host's name.
    """
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
