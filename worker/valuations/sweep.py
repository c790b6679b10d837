"""Sends lost jobs again, so that every accepted job ends."""

import contextlib
from collections.abc import Callable

from shared.domain.errors import BrokerUnavailable, UnreadableRecord
from shared.domain.ids import JobId
from shared.domain.job import Job
from shared.logging import get_logger
from shared.metrics import JOBS_RESENT
from shared.redis.dead_letters import DeadLetters
from shared.redis.job_store.store import JobStore

SWEEP_LIMIT = 1000
"""Most jobs of one sweep."""

log = get_logger("sweep")

SendJob = Callable[[Job], None]
"""Puts a job on the queue; raises `BrokerUnavailable`."""


class JobSweeper:
    """Sends open jobs again whose lease has expired.

    A worker that is killed right after it took a message loses the message; an API process that
    dies between storing a job and sending it sends none. The stored job is still there.

    Args:
        jobs: the stored jobs.
        send_job: puts one on the queue again.
        dead_letters: list of the jobs that have used all their attempts.
        max_attempts: a job that was started this often is not sent again.
    """

    def __init__(
        self, jobs: JobStore, send_job: SendJob, dead_letters: DeadLetters, *, max_attempts: int
    ) -> None:
        self._jobs = jobs
        self._send_job = send_job
        self._dead_letters = dead_letters
        self._max_attempts = max_attempts

    def sweep(self) -> int:
        """Send overdue jobs again; return how many."""
        return sum(self._sweep_safely(job_id) for job_id in self._jobs.overdue(SWEEP_LIMIT))

    def _sweep_safely(self, job_id: JobId) -> int:
        """Sweep one job; a record that cannot be read must not stop the others."""
        try:
            return self._sweep_job(job_id)
        except UnreadableRecord as error:
            self._jobs.defer_unreadable(job_id, error)
            return 0
        except (ValueError, KeyError, TypeError) as error:
            log.exception("job_not_swept", job_id=job_id, error=str(error))
            self._jobs.renew(job_id)
            return 0

    def _sweep_job(self, job_id: JobId) -> int:
        job = self._jobs.load(job_id)
        if job is None or job.state.is_terminal:
            self._jobs.forget(job_id)
            return 0
        if job.attempts >= self._max_attempts:
            self._dead_letters.give_up(job, self._jobs)
            return 0
        try:
            # Before it is sent: a worker may take it and postpone it at once.
            self._jobs.renew(job_id)
            self._send_job(job)
        except BrokerUnavailable as error:
            log.warning("job_not_resent", job_id=job_id, error=str(error))
            with contextlib.suppress(BrokerUnavailable):
                self._jobs.postpone(job_id, 0.0)  # it is due
            return 0
        JOBS_RESENT.inc()
        log.warning("job_resent", job_id=job_id, attempts=job.attempts)
        return 1
