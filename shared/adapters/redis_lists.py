"""The lists of what each caller handed in: one sorted set by caller and kind.

Ids sort by time, so a page is a range of the set, found in the same time however long it is.
"""

from collections.abc import Callable, Mapping, Sequence

from shared.adapters import redis_keys
from shared.adapters.redis_client import RedisClient, broker_errors
from shared.domain.ids import CallerId
from shared.domain.job import JobKind, JobState, JobSummary

_FIELDS = ("caller", "state", "created_at", "started_at", "finished_at", "total")
_KEYS: Mapping[JobKind, Callable[[str], str]] = {
    JobKind.JOB: redis_keys.jobs_by_caller,
    JobKind.BATCH: redis_keys.batches_by_caller,
}


class SubmissionIndex:
    """The jobs and batches of each caller, the newest first, as long as they can be read.

    While the broker is down, every method raises `BrokerUnavailable` within two seconds.

    Jobs come on the list with `JobStore.create`, batches with `BatchLedger.index_by_caller`.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def ids(
        self, kind: JobKind, caller: CallerId, *, after: str, before: str, limit: int
    ) -> list[str]:
        """A part of the list, the newest first."""
        with broker_errors():
            found = self._client.zrange(
                _KEYS[kind](caller),
                f"({before}",
                f"({after}",
                desc=True,
                bylex=True,
                offset=0,
                num=limit,
            )
        return [one.decode() for one in found]

    def summaries(self, job_ids: Sequence[str]) -> list[JobSummary | None]:
        """The summaries of jobs, in one round trip and without their cars."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hmget(redis_keys.job(job_id), _FIELDS)
            found = pipeline.execute()
        return [_summary(job_id, values) for job_id, values in zip(job_ids, found, strict=True)]

    def remove(self, kind: JobKind, caller: CallerId, ids: Sequence[str]) -> None:
        """Take ids off the list."""
        if ids:
            with broker_errors():
                self._client.zrem(_KEYS[kind](caller), *ids)


def _summary(job_id: str, values: Sequence[bytes | None]) -> JobSummary | None:
    caller, state, created_at, started_at, finished_at, total = values
    if caller is None or state is None or created_at is None:
        return None
    cars = int(total or 1)
    return JobSummary(
        id=job_id,
        kind=JobKind.JOB,
        caller=CallerId(caller.decode()),
        state=JobState(state.decode()),
        created_at=float(created_at),
        started_at=None if started_at is None else float(started_at),
        finished_at=None if finished_at is None else float(finished_at),
        done=cars if state == b"SUCCEEDED" else 0,
        total=cars,
    )
