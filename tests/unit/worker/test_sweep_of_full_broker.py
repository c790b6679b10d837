"""The sweep of jobs goes on although a broker without memory refuses to renew a lease."""

from typing import Any, cast

from shared.domain.errors import BrokerFull
from shared.domain.ids import JobId
from shared.domain.job import JobState
from worker.valuations.sweep import JobSweeper

OPEN, ENDED = JobId("open"), JobId("ended")


class FullStore:
    """A job store whose broker is full: it can only forget jobs."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def overdue(self, _limit: int) -> list[JobId]:
        return [OPEN, ENDED]

    def load_all(self, job_ids: list[JobId]) -> list[Any]:
        states = [JobState.QUEUED if each == OPEN else JobState.SUCCEEDED for each in job_ids]
        return [
            type("Job", (), {"id": job_id, "state": state, "attempts": 0})
            for job_id, state in zip(job_ids, states, strict=True)
        ]

    def renew(self, *_job_ids: JobId) -> None:
        raise BrokerFull(reason="the broker is out of memory")

    def postpone(self, _until: float, *_job_ids: JobId) -> None:
        raise BrokerFull(reason="the broker is out of memory")

    def forget(self, job_id: JobId) -> None:
        self.forgotten.append(job_id)


def test_a_full_broker_does_not_keep_the_sweep_from_ended_jobs() -> None:
    store, sent = FullStore(), list[Any]()
    sweeper = JobSweeper(cast("Any", store), sent.append, cast("Any", None), max_attempts=3)
    assert sweeper.sweep() == 0
    assert store.forgotten == [ENDED]
    assert sent == [], "a job whose lease was not renewed would be sent at every sweep"
