"""Stores work with callbacks, webhooks in each of their states, and jobs that share messages."""

import dataclasses
import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

from shared.domain.batch import BatchOptions
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Callback, Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.queue.work import JobSubmitter, make_work_sender
from shared.redis.connections import RedisClient
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store.store import JobStore
from shared.redis.webhooks.scripts import CIRCUIT_THRESHOLD
from shared.redis.webhooks.store import Claimed, Places, WebhookStore
from shared.redis.workers import WorkerRegistry
from shared.webhooks.secret_store import SERVICE, WebhookSecret, WebhookSecrets
from tests.batch_parts import CALLER as BATCH_CALLER
from tests.batch_parts import BulkPath, Memory

ME, OTHER = CallerId("me"), CallerId("other")
CAR: dict[str, Any] = {"company": "Dacia", "model": "Logan", "year": 2018, "km_driven": 90_000}
SECRET = "whsec_" + "c3RvcmVk" * 5 + "c3Q="
RETRY_S = 86_400.0
ESTIMATE = Estimate(
    price_mad=100000.0,
    quantiles_mad=tuple(90000.0 + 2500 * step for step in range(9)),
    model_version="v1",
    model_known=True,
)


def callback(name: str) -> Callback:
    """A callback to a receiver of its own."""
    return Callback(url=f"https://{name}.example/hooks?shop=7", key_id="k", language="en")


def new_job(caller: CallerId = ME, to: Callback | None = None) -> Job:
    """A job of one car."""
    return Job(
        id=JobId(new_id()), caller=caller, state=JobState.QUEUED, created_at=time.time(),
        requests=(load_car_request(CAR),), is_list=False, callback=to,
    )  # fmt: skip


class StoredWebhooks:
    """Jobs whose webhooks are made pending, tried and given up."""

    def __init__(self, broker: RedisClient) -> None:
        self._jobs = JobStore(broker, time.time, retention_s=86_400, lease_s=30)
        self._store = WebhookStore(broker, time.time, retry_s=RETRY_S)

    def store(self) -> dict[str, str]:
        """Store one of each state; ids of their jobs by state."""
        queued = new_job(to=callback("queued"))
        self._jobs.create(queued)
        ids: dict[str, str] = {"callback_queued": queued.id}
        for name, settle in (
            ("given_up", self._store.give_up),
            ("retried", lambda each, made: self._retry(each, made, is_down=False)),
            ("paused", lambda each, made: self._retry(each, made, is_down=True)),
        ):
            for _ in range(CIRCUIT_THRESHOLD if name == "paused" else 1):
                ids[f"webhook_{name}"] = self._ended(name)
                settle(*self._tried())
        ids["webhook_leased"] = self._ended("leased")
        self._claim()
        ids["webhook_due"] = self._ended("due")
        ids["webhook_recorded"] = self._ended("recorded", is_taken=False)
        return ids

    def _ended(self, name: str, *, is_taken: bool = True) -> JobId:
        job = new_job(to=callback(name))
        self._jobs.create(job)
        self._jobs.finish_all([JobEnd(job.id, JobState.SUCCEEDED, (ESTIMATE,))])
        if is_taken:
            self._store.take_in()
        return job.id

    def _claim(self) -> Claimed:
        (claimed,) = self._store.claim(Places(64, 4, 16, {}))
        return claimed

    def _tried(self) -> tuple[Claimed, Any]:
        claimed = self._claim()
        made = dataclasses.replace(
            claimed.delivery,
            attempts=1, last_attempt_at=time.time(), last_outcome="failed", last_status=503,
        )  # fmt: skip
        return claimed, made

    def _retry(self, claimed: Claimed, made: Any, *, is_down: bool) -> None:
        self._store.retry(claimed, made, time.time() + 7200, is_down=is_down, pause_s=0.0)


def store_webhooks(broker: RedisClient) -> dict[str, str]:
    """Store a job with a callback, and webhooks in each of their states."""
    return StoredWebhooks(broker).store()


def store_batches_with_callbacks(path: BulkPath, table: bytes) -> dict[str, str]:
    """Store a batch whose end is recorded, and one that is open."""

    def accept(name: str) -> str:
        return path.batches.accept(
            Memory(table), BatchOptions(), BATCH_CALLER, callback=callback(name)
        ).manifest.id

    ended = accept("ended")
    path.drain()
    open_id = accept("open")
    path.queue.clear()
    return {"callback_batch_ended": ended, "callback_batch_open": open_id}


def store_groups(broker: RedisClient) -> dict[str, Any]:
    """Submit jobs that share messages, more than a worker takes at once."""
    WorkerRegistry(broker).heartbeat("interactive@host:1", ["interactive"])
    FairQueues(broker, time.time).announce("interactive@host", ["interactive"], 1)
    store = JobStore(broker, time.time, retention_s=86_400, lease_s=30)
    submitter = JobSubmitter(store, make_work_sender(broker, time.time))
    jobs = [[new_job(caller) for _ in range(2)] for caller in (ME, OTHER) * 2]
    for each in jobs:
        submitter.submit(each)
    return {"grouped": [job.id for each in jobs for job in each]}


def store_secrets(folder: Path) -> dict[str, Any]:
    """Write a file of secrets, and return its content by name."""
    path = folder / "webhook-secrets.json"
    owners = (SERVICE, "k")
    made = [
        WebhookSecret(owner=each, secret=SECRET, created_at=dt.datetime.now(dt.UTC))
        for each in owners
    ]
    WebhookSecrets(path).change(lambda _: made)
    return {path.name: json.loads(path.read_text())}
