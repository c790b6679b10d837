"""The last ended jobs of a process, for polls that come after the end: most come at once."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from shared.domain.errors import UnreadableRecord
from shared.domain.job import Job
from shared.redis.job_store.endings import JobEnded

MAX_KEPT_ENDED = 1024


class KeptEnds:
    """Keeps open jobs with the messages of their ends, which are put together when asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Job, JobEnded]] = OrderedDict()

    def add(self, pairs: Sequence[tuple[Job, JobEnded]]) -> None:
        """Keep jobs that have ended; beyond `MAX_KEPT_ENDED`, the oldest are dropped."""
        with self._lock:
            for job, end in pairs:
                self._kept[job.id] = job, end
            for _ in range(len(self._kept) - MAX_KEPT_ENDED):
                self._kept.popitem(last=False)

    def job(self, job_id: str) -> Job | None:
        """A job as it ended; None if it is not kept."""
        kept = self._kept.get(job_id)
        return None if kept is None else ended_job(*kept)


def ended_job(job: Job, end: JobEnded) -> Job | None:
    """A job after its end; None if it has to be read, because its result is large or unreadable."""
    if end.result is None:
        return None
    try:
        return end.applied_to(job)
    except UnreadableRecord:
        return None
