"""Dead letters: jobs and steps of batches that failed the maximum number of times.

Each is listed with its reason until an operator replays or drops it, or its retention is over. The
work itself is in the job store or in the blob store, not here.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from shared.domain.clock import Clock
from shared.domain.errors import DeadLetterNotFound, UnreadableRecord, record_errors
from shared.domain.ids import BatchId, CallerId, is_id
from shared.domain.job import Job, JobState
from shared.metrics import DEAD_LETTERS, RECORDS_UNREADABLE
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.job_store.store import JobStore

DEAD_LETTER_TTL_S = 7 * 86_400
"""How long a dead letter is kept, and with it what is needed to replay it."""

LIST_LIMIT = 1000

ATTEMPTS_EXHAUSTED = "attempts-exhausted"
"""Error of a job that has used all its attempts."""

WORKER_LOST = "worker-lost"
"""Reason of work whose attempts never ended: its workers were killed or hung."""


class DeadKind(StrEnum):
    """What failed."""

    JOB = "job"
    STEP = "step"
    """A step of a batch: a chunk's number, `split` or `assemble`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """One job or step that was given up."""

    kind: DeadKind
    work_id: str
    """Id of the job or batch."""
    step: str = ""
    """Name of the step; empty for a job."""
    caller: CallerId
    reason: str
    """Kind of the last failure: the code of an error, the class of an exception, or `worker-lost`
    if no attempt ended. Never a text, which could contain what the caller sent."""
    attempts: int
    failed_at: float
    """Unix time, seconds."""

    @property
    def id(self) -> str:
        """Identifies the dead letter: the job's id, or that of the batch, a hyphen and the step."""
        return f"{self.work_id}-{self.step}" if self.step else self.work_id

    def to_json(self) -> dict[str, Any]:
        """The members of the JSON object."""
        failed_at = datetime.fromtimestamp(self.failed_at, UTC).isoformat(timespec="milliseconds")
        return {"id": self.id, **dataclasses.asdict(self), "failed_at": failed_at}


class DeadLetters:
    """The list of dead letters, in the broker's Redis.

    While the broker is down, every method raises `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def add(self, letter: DeadLetter) -> None:
        """List a job or step; the same one again replaces its former entry."""
        name = keys.dead_letter(letter.id)
        expired = self._clock() - DEAD_LETTER_TTL_S
        with broker_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hset(name, mapping=_to_hash(letter))
            pipeline.expire(name, DEAD_LETTER_TTL_S)
            pipeline.zadd(keys.DEAD_LETTERS, {letter.id: letter.failed_at})
            pipeline.zremrangebyscore(keys.DEAD_LETTERS, "-inf", expired)
            pipeline.execute()
        DEAD_LETTERS.labels(kind=str(letter.kind)).inc()

    def give_up(self, job: Job, jobs: JobStore) -> None:
        """List a job that has used all its attempts, and end it; it is kept as long as its entry.

        Args:
            job: an open job.
            jobs: where it is stored.
        """
        self._add_job(job)  # first: what is interrupted here is given up again
        jobs.finish(job.id, JobState.FAILED, error=ATTEMPTS_EXHAUSTED)
        with broker_errors():
            self._client.expire(keys.job(job.id), DEAD_LETTER_TTL_S, gt=True)

    def _add_job(self, job: Job) -> None:
        with broker_errors():
            reason = self._client.hget(keys.job(job.id), "last_failure")
        letter = DeadLetter(
            kind=DeadKind.JOB,
            work_id=job.id,
            caller=job.caller,
            reason=reason.decode() if reason else WORKER_LOST,
            attempts=job.attempts,
            failed_at=self._clock(),
        )
        self.add(letter)

    def add_step(
        self, batch_id: BatchId, caller: CallerId, step: str, reason: str, attempts: int
    ) -> None:
        """List a step that has used all its attempts; `reason` as of the ledger, or empty."""
        letter = DeadLetter(
            kind=DeadKind.STEP,
            work_id=batch_id,
            step=step,
            caller=caller,
            reason=reason or WORKER_LOST,
            attempts=attempts,
            failed_at=self._clock(),
        )
        self.add(letter)

    def all(self, limit: int = LIST_LIMIT) -> list[DeadLetter]:
        """The dead letters, newest first."""
        with broker_errors():
            names = self._client.zrange(keys.DEAD_LETTERS, 0, limit - 1, desc=True)
            pipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(keys.dead_letter(name.decode()))
            found = pipeline.execute()
        return list(_readable(found))

    def count(self) -> int:
        """How many there are, expired ones aside."""
        with broker_errors():
            oldest = self._clock() - DEAD_LETTER_TTL_S
            return int(self._client.zcount(keys.DEAD_LETTERS, oldest, "+inf"))

    def get(self, letter_id: str) -> DeadLetter:
        """Read one.

        Raises:
            DeadLetterNotFound: there is none with this id.
            UnreadableRecord: another version listed it.
        """
        with broker_errors():
            stored = self._client.hgetall(keys.dead_letter(letter_id[:64]))
        if not stored:
            raise DeadLetterNotFound(id=letter_id[:64])
        return _from_hash(stored)

    def of_batch(self, batch_id: str) -> Sequence[DeadLetter]:
        """Those of the steps of one batch."""
        return [each for each in self.all() if each.work_id == batch_id and is_id(batch_id)]

    def remove(self, letter_id: str) -> bool:
        """Remove one from the list; False if it was not there."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.zrem(keys.DEAD_LETTERS, letter_id)
            pipeline.delete(keys.dead_letter(letter_id))
            return bool(pipeline.execute()[0])


def _to_hash(letter: DeadLetter) -> dict[str, Any]:
    return dataclasses.asdict(letter) | {"kind": str(letter.kind)}


def _readable(found: Iterable[dict[bytes, bytes]]) -> Iterator[DeadLetter]:
    """The dead letters that this version can read; others are counted and left out."""
    for stored in found:
        try:
            if stored:
                yield _from_hash(stored)
        except UnreadableRecord:
            RECORDS_UNREADABLE.labels(record="dead-letter").inc()


def _from_hash(stored: dict[bytes, bytes]) -> DeadLetter:
    with record_errors():
        text = {name.decode(): value.decode() for name, value in stored.items()}
        return DeadLetter(
            kind=DeadKind(text["kind"]),
            work_id=text["work_id"],
            step=text["step"],
            caller=CallerId(text["caller"]),
            reason=text["reason"],
            attempts=int(text["attempts"]),
            failed_at=float(text["failed_at"]),
        )
