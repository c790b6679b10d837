"""The Celery application; each setting has its reason beside it."""

from typing import Any
from urllib.parse import quote, urlsplit

from celery import Celery
from kombu import Queue

from shared.queue.names import TASK_QUEUES, QueueName, TaskName
from shared.redis import keys
from shared.redis.addresses import SENTINEL_SCHEMES, TLS_SCHEMES, parse_address

TASK_TIME_LIMIT_S = 300
"""Far above what most tasks take: a chunk takes well under a second."""

LONG_TASK_TIME_LIMIT_S = 3600
"""For tasks that read a whole file: ten million rows take minutes."""

VISIBILITY_TIMEOUT_S = LONG_TASK_TIME_LIMIT_S + 900
"""Time after which an unacknowledged message is delivered again: longer than any task plus the time
that a prefetched message waits. The work of a dead worker is sent again earlier, by leases."""

SWEEP_INTERVAL_S = 2.0
"""Work that waits for the end of an outage is sent again within two of these."""

WATCH_INTERVAL_S = 900.0
"""How often drift and the errors on reported sales are measured, and whether retraining is due."""

WORKER_LOST_WAIT_S = 1.0
"""Time that Celery waits for the result of a task whose pool process has ended."""


def broker_url(redis_url: str) -> str:
    """The Redis URL as kombu writes it, which differs for Unix sockets and sentinels."""
    parts = urlsplit(redis_url)
    if parts.scheme in SENTINEL_SCHEMES:
        return _sentinel_url(redis_url)
    if parts.scheme != "unix":
        return redis_url
    credentials = f"{parts.netloc}" if parts.netloc else ""
    return f"redis+socket://{credentials}{parts.path}"


def _sentinel_url(redis_url: str) -> str:
    """The first sentinel: kombu and Flower know one in a URL, the workers' channels know them all.

    See `worker.broker_channel`.
    """
    address = parse_address(redis_url)
    user, password = (quote(address.options.get(name, "")) for name in ("username", "password"))
    login = f"{user}:{password}@" if user or password else ""
    host, port = address.places[0]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"sentinel://{login}{place}/{address.options.get('db', 0)}"


def _server_options(redis_url: str) -> dict[str, Any]:
    """The options by which Flower finds the server; the workers have connections of their own."""
    if redis_url.startswith(("memory://", "unix://")):
        return {}
    address = parse_address(redis_url)
    return {"master_name": address.service} if address.sentinels else {}


def _tls_options(redis_url: str) -> dict[str, Any] | None:
    """How the certificate of the server is verified; None without TLS."""
    if urlsplit(redis_url).scheme not in TLS_SCHEMES:
        return None
    options = parse_address(redis_url).options
    return {name: value for name, value in options.items() if name.startswith("ssl_")}


def _queue(name: QueueName) -> Queue:
    """A queue; the interactive one is `no_ack`.

    Kombu would deliver an unacknowledged message again after the visibility timeout, more than an
    hour later: no caller waits that long, and a job's lease sends it again much earlier. To track
    and acknowledge each message costs a sixth of a valuation.
    """
    return Queue(str(name), no_ack=name is QueueName.INTERACTIVE)


def make_celery(redis_url: str, *, reply_timeout_s: float = 3.0) -> Celery:
    """Make a configured application; it connects at its first use.

    Args:
        redis_url: URL of the broker, as `shared.redis.connections.connect` takes it.
        reply_timeout_s: how long the broker may take to answer one command.
    """
    app = Celery("carprice", set_as_current=False)
    app.conf.update(
        broker_url=broker_url(redis_url),
        broker_use_ssl=_tls_options(redis_url),
        # Replies use one list per API process: a result backend would subscribe per call.
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_queues=[_queue(queue) for queue in QueueName],
        task_default_queue=str(QueueName.CONTROL),
        task_create_missing_queues=False,
        task_routes={str(task): {"queue": str(queue)} for task, queue in TASK_QUEUES.items()},
        # msgpack: 1,000 rows of 30 columns take 0.6 ms against 19 ms as JSON. Never pickle.
        task_serializer="msgpack",
        accept_content=["msgpack", "json"],
        result_serializer="msgpack",
        # The message of a worker that dies is delivered again; tasks are idempotent by id.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # By default the message of a killed pool process is delivered again after ten seconds.
        worker_lost_wait=WORKER_LOST_WAIT_S,
        # A prefetched message only comes closer to the visibility timeout.
        worker_prefetch_multiplier=1,
        # For the pool of the bulk worker; a solo worker has no process that could enforce it.
        task_time_limit=TASK_TIME_LIMIT_S,
        task_soft_time_limit=TASK_TIME_LIMIT_S - 30,
        # A frozen or absent broker is reported within two seconds, not after retries.
        task_publish_retry=False,
        # Without these three a Redis that is out of memory or slow to start stops the worker.
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=1.0,
        broker_pool_limit=8,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # Lost messages are searched every tenth interval; by default every 100 seconds.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "health_check_interval": 25,
            # Without it publishing to a frozen Redis never returns.
            "socket_timeout": reply_timeout_s,
            "socket_connect_timeout": 1,
            "socket_keepalive": not redis_url.startswith("unix://"),
            # A worker of two queues takes from them in turn.
            "queue_order_strategy": "round_robin",
            "global_keyprefix": keys.NAMESPACE,
            **_server_options(redis_url),
        },
        # A second signal to stop waits this long for the running task.
        worker_soft_shutdown_timeout=20,
        worker_enable_soft_shutdown_on_idle=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Flower shows tasks by these events; they never contain arguments.
        worker_send_task_events=True,
        task_send_sent_event=False,
        event_queue_expires=60,
        worker_hijack_root_logger=False,
        beat_schedule={
            "sweep": {
                "task": str(TaskName.SWEEP),
                "schedule": SWEEP_INTERVAL_S,
                # A sweep that was not taken in time is not needed: the next one follows.
                "options": {"expires": SWEEP_INTERVAL_S},
            },
            "watch-model": {
                "task": str(TaskName.WATCH_MODEL),
                "schedule": WATCH_INTERVAL_S,
                "options": {"expires": WATCH_INTERVAL_S},
            },
            # Without RETRAIN_DATA the task returns at once; with it, when its time has come.
            "retrain-model": {
                "task": str(TaskName.RETRAIN_MODEL),
                "schedule": WATCH_INTERVAL_S,
                "options": {"expires": WATCH_INTERVAL_S},
            },
        },
        enable_utc=True,
        timezone="UTC",
    )
    return app
