"""The interactive work of a worker, with everything that it touches real except the model."""

import json
import time
from typing import NamedTuple

import msgpack

from shared.audit.log import AuditLog
from shared.domain.errors import ModelNotLoaded
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import Estimate
from shared.redis.cache import EstimateCache
from shared.redis.dead_letters import DeadLetters
from shared.redis.job_store.store import JobStore
from shared.redis.owners import Owner, OwnerRegistry
from worker.model import Estimation
from worker.valuations.claims import RedisClaims
from worker.valuations.service import ValuationService
from worker.valuations.steps import ValuationSteps

ME = CallerId("me")
REPLY_TO = "reply"


class TinyModel:
    """Prices a car by its kilometres; breaks on one car, like a forest with a defect."""

    def estimate(self, cars):
        if any(car.km_driven == 666 for car in cars):
            raise ZeroDivisionError
        return [
            Estimate(
                price_mad=float(car.km_driven),
                quantiles_mad=(1.0,) * 9,
                model_version="v1",
                model_known=True,
            )
            for car in cars
        ]


class TinyModels:
    """Holds the tiny model, or none."""

    def __init__(self):
        self.model = TinyModel()

    def current(self):
        if self.model is None:
            raise ModelNotLoaded
        return self.model


class Item(NamedTuple):
    """One request of a group, as the dispatcher packs it."""

    id: str
    request: list
    caller: str
    deadline: float
    enqueued_at: float


class Bench:
    """The service with everything it touches at hand."""

    def __init__(self, servers, folder, protocol=1, *, owner="interactive.1@here", shared=None):
        self.now = time.time()
        clock = lambda: self.now  # noqa: E731 - a clock is a function
        self.broker = servers.broker
        self.folder = folder
        self.models = TinyModels()
        self.protocol = protocol
        self.jobs = JobStore(
            servers.broker, clock, retention_s=100, lease_s=30, protocol=lambda: self.protocol
        )
        self.owner = Owner(owner)
        self.claims = RedisClaims(servers.broker, clock, self.owner)
        self.dead_letters = DeadLetters(servers.broker, clock)
        self.cache = EstimateCache(servers.cache, 60, clock)
        self.audit = AuditLog(folder, "w", clock)
        self.estimation = Estimation(self.models)
        self.service = ValuationService(
            steps=ValuationSteps(
                estimation=self.estimation,
                audit=self.audit,
                claims=self.claims,
                cache=self.cache,
                clock=clock,
                shared=shared,
            ),
            claims=self.claims,
            jobs=self.jobs,
            client=servers.broker,
            clock=clock,
            dead_letters=self.dead_letters,
            max_attempts=3,
        )

    def other_worker(self):
        """The claims of another process, and its registration as an owner."""
        owner = Owner("interactive.2@here")
        claims = RedisClaims(self.broker, lambda: self.now, owner)
        registry = OwnerRegistry(self.broker, owner)
        registry.beat()
        return claims, registry

    def item(self, request, *, wait_s=5.0):
        """One request of a group."""
        return Item(new_id(), request.to_wire(), ME, self.now + wait_s, self.now)

    def group(self, *items, group_id="group"):
        """Carry out a group; its reply as (id, price or code) pairs."""
        self.service.value_micro_batch(group_id, REPLY_TO, [msgpack.packb(item) for item in items])
        replies = self.broker.lrange(REPLY_TO, 0, -1)
        self.broker.delete(REPLY_TO)
        if not replies:
            return None
        _, outcomes = msgpack.unpackb(replies[0])
        return [(each, estimate[0] if estimate else code) for each, estimate, code in outcomes]

    def stored(self, *requests, origin=None, job_id=None):
        """A job that waits to be carried out."""
        return self.stored_job(requests, origin=origin, job_id=job_id)

    def stored_job(self, requests, *, origin=None, job_id=None):
        """As `stored`, of a sequence of requests."""
        job = Job(
            id=JobId(job_id or new_id()),
            caller=ME,
            state=JobState.QUEUED,
            created_at=self.now,
            requests=requests,
            is_list=len(requests) > 1,
            origin=origin,
        )
        self.jobs.create(job)
        return job

    def job(self, *requests, origin=None, job_id=None):
        """Store a job and carry it out."""
        return self.work_on(self.stored(*requests, origin=origin, job_id=job_id).id)

    def job_of(self, requests):
        """As `job`, of a sequence of requests."""
        return self.work_on(self.stored_job(requests).id)

    def work_on(self, job_id):
        """Carry out a stored job; what became of it."""
        self.service.value_jobs([job_id], self.now)
        return self.jobs.get(job_id, ME)

    def recorded(self):
        """The ids in the audit log, as often as they stand there."""
        return [
            json.loads(line)["id"]
            for path in sorted(self.folder.glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]


def keeping(sent):
    """Notes the ids of jobs that are sent."""

    def send_jobs(jobs):
        sent.extend(job.id for job in jobs)

    return send_jobs


def raising(error):
    """A function that raises an error."""

    def raise_it(*_):
        raise error

    return raise_it
