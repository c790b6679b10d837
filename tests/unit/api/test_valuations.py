"""The bounded wait for one car."""

import threading

import pytest

from api.valuations.service import SHORT_WAIT_S, Valuations
from shared.domain.ids import CallerId
from shared.domain.job import Job
from shared.fields.requests import load_car_request

NOW = 1_000.0


class EstimateFuture:
    """Never gets its reply; knows how long it was waited for."""

    group_id = "group"
    waited_s = 0.0

    def wait(self, timeout_s):
        self.waited_s = timeout_s

    def abandon(self):
        """Nothing came meanwhile."""


class World:
    """Everything around the service: no hit, no reply, any number of jobs."""

    def __init__(self, patience):
        self.pending = EstimateFuture()
        self.deadline = 0.0
        self.created = []
        self.service = Valuations(
            active_model=self,
            cache=self,
            dispatcher=self,
            jobs=self,
            audit=self,
            clock=lambda: NOW,
            queue_guard=self,
            long_waits=threading.BoundedSemaphore(patience) if patience else threading.Semaphore(0),
        )

    def version_id(self):
        return "v1"

    def get(self, *_):
        """No hit."""

    def check(self):
        """The queue is short."""

    def submit(self, *question):
        self.deadline = question[-1]
        return self.pending

    def create(self, job):
        self.created.append(job)

    def submit_job(self, job_id, *, is_long):
        """Sent."""


@pytest.mark.parametrize(
    ("patience", "wait_s", "waited_s"),
    [(1, 5.0, 5.0), (0, 5.0, SHORT_WAIT_S), (0, 0.5, 0.5), (1, 0.0, 0.0)],
)
def test_a_caller_waits_exactly_until_the_deadline_that_the_worker_is_told(
    car, patience, wait_s, waited_s
):
    """Otherwise a worker would record an answer whose caller has become a job already."""
    world = World(patience)
    job = world.service.value(load_car_request(car), CallerId("me"), wait_s)
    assert isinstance(job, Job)
    assert world.pending.waited_s == waited_s
    assert world.deadline == NOW + waited_s
    assert job.origin.deadline == world.deadline
    assert world.service._long_waits.acquire(blocking=False) is bool(patience)
