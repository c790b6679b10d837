"""Stores a job that failed and is listed as given up; prints its id.

    python -m tests.documented.given_up

`CARPRICE_HOME` is that of a running service. Commands which replay or drop work then have some.
"""

import sys
import time

from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.fields.requests import load_car_request
from shared.redis.connections import connect
from shared.redis.dead_letters import DeadKind, DeadLetter, DeadLetters
from shared.redis.job_store.store import JobStore
from shared.redis.servers import with_server_urls
from shared.settings import Settings

CALLER = CallerId("shop")


def failed_job(settings: Settings) -> str:
    """The id of the job."""
    broker, now = connect(settings.redis_url), time.time()
    car = load_car_request({"company": "Dacia", "model": "Logan", "year": 2018})
    job = Job(
        id=JobId(new_id()), caller=CALLER, state=JobState.QUEUED, created_at=now,
        requests=(car,), is_list=False,
    )  # fmt: skip
    jobs = JobStore(broker, time.time, retention_s=3600, lease_s=30)
    jobs.create(job)
    jobs.start(job.id)
    jobs.finish(job.id, JobState.FAILED, error="valuation-failed")
    letter = DeadLetter(
        kind=DeadKind.JOB, work_id=job.id, caller=CALLER, reason="ValueError", attempts=5,
        failed_at=now,
    )  # fmt: skip
    DeadLetters(broker, time.time).add(letter)
    return job.id


if __name__ == "__main__":
    sys.stdout.write(failed_job(with_server_urls(Settings.from_env())))
