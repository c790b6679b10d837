"""Sends lost jobs again, so that every accepted job ends."""

import contextlib
from collections.abc import Callable, Sequence

from shared.domain.errors import BrokerUnavailable, DomainError, UnreadableRecord
from shared.domain.ids import JobId
from shared.domain.job import Job
from shared.logging import get_logger
from shared.metrics import JOBS_RESENT
from shared.redis.dead_letters import DeadLetters
from shared.redis.job_store.store import JobStore

SWEEP_LIMIT = 1000
"""Most jobs of one sweep."""

SWEEP_BLOCK = 100
"""Jobs that are read and sent at once."""

log = get_logger("sweep")

SendJobs = Callable[[Sequence[Job]], None]
"""Puts jobs on the queue; raises `BrokerUnavailable`."""


class JobSweeper:
    """Sends open jobs again whose lease has expired.

    A worker that is killed right after it took a message loses the message; an API process that
    dies between storing a job and sending it sends none. The stored job is still there.

    Args:
        jobs: the stored jobs.
        send_jobs: puts them on the queue again.
        dead_letters: list of the jobs that have used all their attempts.
        max_attempts: a job that was started this often is not sent again.
    """

    def __init__(
        self, jobs: JobStore, send_jobs: SendJobs, dead_letters: DeadLetters, *, max_attempts: int
    ) -> None:
        self._jobs = jobs
        self._send_jobs = send_jobs
        self._dead_letters = dead_letters
        self._max_attempts = max_attempts

    def sweep(self) -> int:
        """Send overdue jobs again; return how many."""
        job_ids = self._jobs.overdue(SWEEP_LIMIT)
        return sum(
            self._sweep(job_ids[start : start + SWEEP_BLOCK])
            for start in range(0, len(job_ids), SWEEP_BLOCK)
        )

    def _sweep(self, job_ids: Sequence[JobId]) -> int:
        found = map(self._lost, job_ids, self._jobs.load_all(job_ids))
        lost = [job for job in found if job is not None]
        return self._send_again(lost) if lost else 0

    def _lost(self, job_id: JobId, job: Job | DomainError | None) -> Job | None:
        """The job if it is to be sent again; otherwise it is ended, or left to others."""
        if isinstance(job, UnreadableRecord):
            self._jobs.defer_unreadable(job_id, job)
        elif isinstance(job, DomainError):
            log.warning("job_not_swept", job_id=job_id, error=str(job))
            self._jobs.renew(job_id)
        elif job is None or job.state.is_terminal:
            self._jobs.forget(job_id)
        elif job.attempts >= self._max_attempts:
            self._dead_letters.give_up(job, self._jobs)
        else:
            return job
        return None

    def _send_again(self, jobs: Sequence[Job]) -> int:
        ids = [job.id for job in jobs]
        try:
            # Before they are sent: a worker may take them and postpone them at once.
            self._jobs.renew(*ids)
            self._send_jobs(jobs)
        except BrokerUnavailable as error:
            log.warning("jobs_not_resent", jobs=len(jobs), error=str(error))
            with contextlib.suppress(BrokerUnavailable):
                self._jobs.postpone(0.0, *ids)  # they are due
            return 0
        JOBS_RESENT.inc(len(jobs))
        for job in jobs:
            log.warning("job_resent", job_id=job.id, attempts=job.attempts)
        return len(jobs)
