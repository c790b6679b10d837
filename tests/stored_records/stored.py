"""The records of a release in a real Redis, and the services of the current version on them."""

import base64
import json
import time
from typing import Any

import msgpack

from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import Listing, SubmissionIndex
from api.jobs.schemas import serialize_job
from shared.audit.log import AuditLog
from shared.domain.ids import CallerId, JobId
from shared.domain.job import JobState
from shared.queue.names import TaskName
from shared.redis import keys
from shared.redis.cache import EstimateCache
from shared.redis.dead_letters import DeadLetters
from shared.redis.job_store.store import JobStore
from shared.redis.owners import Owner
from tests.batch_parts import BulkPath
from tests.job_archive import no_archive
from tests.stored_records.restore import read_release, restore_blobs, restore_keys
from tests.stored_records.write import estimate
from worker.model import Estimation
from worker.valuations.claims import RedisClaims
from worker.valuations.service import ValuationService
from worker.valuations.steps import ValuationSteps

ME = CallerId("me")


class OneEstimate:
    """A model that gives every car the same estimate."""

    def estimate(self, cars):
        return [estimate(full=False)] * len(cars)

    def current(self):
        return self

    def explain(self, _):
        return estimate(full=True).explanation

    def depreciation(self, _):
        return estimate(full=True).depreciation

    def comparables(self, *_):
        return estimate(full=True).comparables


class Stored:
    """A release's records in a real Redis, and the services of the current version on them."""

    def __init__(self, servers, folder, release):
        self.release_name = release
        self.release = read_release(release)
        self.broker = servers.broker
        restore_keys(servers.broker, self.release["broker"])
        restore_keys(servers.cache, self.release["cache"])
        restore_blobs(folder / "batches", self.release["blobs"])
        self.now = time.time()
        clock = lambda: self.now  # noqa: E731 - a clock is a function
        self.path = BulkPath(folder, servers.broker, retention_s=10**9)
        self.jobs = JobStore(servers.broker, clock, retention_s=10**9, lease_s=30)
        self.cache = EstimateCache(servers.cache, 10**9, clock)
        self.dead_letters = DeadLetters(servers.broker, clock)
        self.audit = AuditLog(folder / "audit", "w", clock)
        claims = RedisClaims(servers.broker, clock, Owner("interactive@test"))
        self.service = ValuationService(
            steps=ValuationSteps(
                estimation=Estimation(OneEstimate()),
                audit=self.audit,
                claims=claims,
                cache=self.cache,
                clock=clock,
            ),
            claims=claims,
            jobs=self.jobs,
            dead_letters=self.dead_letters,
            client=servers.broker,
            clock=clock,
            max_attempts=5,
        )
        self.listing = Listing(
            lists=SubmissionIndex(servers.broker),
            batches=self.path.batches,
            idempotency=RedisIdempotency(servers.broker),
            archive=no_archive(servers.broker),
        )

    def id(self, name: str) -> JobId:
        return JobId(self.release["ids"][name])

    def answer(self, name: str) -> dict[str, Any]:
        """The job as the API shows it."""
        job = self.jobs.get(self.id(name), ME)
        return serialize_job(job, None, 0.9, lambda version: {"version": version}, "en")

    def change(self, name: str, field: str, change) -> None:
        """Rewrite a packed field of a job."""
        key = keys.job(self.id(name))
        stored = msgpack.unpackb(self.broker.hget(key, field))
        self.broker.hset(key, field, msgpack.packb(change(stored)))

    def set_field(self, name: str, field: str, value) -> None:
        self.broker.hset(keys.job(self.id(name)), field, value)

    def work_on(self, name: str) -> JobState:
        self.service.value_jobs([self.id(name)], self.now)
        return self.jobs.get(self.id(name), ME).state

    def messages(self, queue: str, task: TaskName) -> list[dict[str, Any]]:
        """The arguments of the messages of a task, as a worker decodes them."""
        found = []
        for packed in self.broker.lrange(queue, 0, -1):
            message = json.loads(packed)
            if message["headers"]["task"] == str(task):
                found.append(_arguments(message["body"]))
        return found


def _arguments(body: str) -> dict[str, Any]:
    """The arguments in the body of a message: JSON, or msgpack in base 64."""
    is_json = body.startswith("[")
    decoded = json.loads(body) if is_json else msgpack.unpackb(base64.b64decode(body))
    arguments: dict[str, Any] = decoded[1]
    return arguments
