"""The steps that micro-batches and jobs have in common: estimate, record, answer."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from shared.audit.hosts.shared_records import SharedRecords
from shared.audit.log import AuditLog
from shared.domain.clock import Clock
from shared.domain.job import Job
from shared.logging import get_logger
from shared.metrics import QUEUE_WAIT
from shared.queue.names import QueueName
from shared.redis.cache import EstimateCache
from shared.redis.pipelines import ScriptCall
from worker.model import Estimation
from worker.tracing import ESTIMATE, traced_step
from worker.valuations.cars import ValuedCar, WaitingCar, audit_records, cacheable, cars_of
from worker.valuations.claims import Claim, ClaimState, RedisClaims
from worker.valuations.lists import ValuedList, value_list

if TYPE_CHECKING:
    from shared.audit.sums import Record
    from shared.domain.valuation import AuditRecord

T = TypeVar("T")
log = get_logger("valuation")


class ClaimedCars(NamedTuple):
    """Cars with their results, and the claim under which they are recorded.

    Attributes:
        claim: of a micro-batch or of a job.
        valued: its cars.
    """

    claim: Claim
    valued: Sequence[ValuedCar]


class ValuationSteps:
    """Values, records and answers what is claimed, in this order, so that each answer is recorded.

    Args:
        estimation: calls the forest.
        audit: the audit log.
        claims: claims on messages.
        cache: result cache.
        clock: the time of day.
        shared: what other hosts have recorded; None: this host records alone.
    """

    def __init__(
        self,
        *,
        estimation: Estimation,
        audit: AuditLog,
        claims: RedisClaims,
        cache: EstimateCache,
        clock: Clock,
        shared: SharedRecords | None = None,
    ) -> None:
        self._shared = shared
        self._estimation = estimation
        self._audit = audit
        self._claims = claims
        self._cache = cache
        self._clock = clock
        self._waits_s: list[tuple[QueueName, float]] = []
        """How long cars and jobs have waited that no metric has yet."""

    def note_waits(
        self, enqueued_at: Iterable[float], now: float, queue: QueueName = QueueName.INTERACTIVE
    ) -> None:
        """Note how long cars or jobs of a queue have waited, for `update_metrics`."""
        self._waits_s += [(queue, max(0.0, now - at)) for at in enqueued_at]

    def update_metrics(self) -> None:
        """Add what was noted to the metrics: after the answers, since callers wait for them."""
        for queue, wait_s in self._waits_s:
            QUEUE_WAIT.labels(queue=str(queue)).observe(wait_s)
        self._waits_s.clear()
        self._estimation.update_metrics()

    def estimate(self, cars: Sequence[WaitingCar]) -> list[ValuedCar]:
        """The cars with their results, by one call of the forest."""
        with traced_step(ESTIMATE):
            return self._estimate(cars)

    def estimate_jobs(self, jobs: Sequence[Job]) -> list[Sequence[ValuedCar]]:
        """The cars of jobs with their results, in order.

        Each list that has columns is valued by a call of the forest; the other jobs share one.
        """
        with traced_step(ESTIMATE):
            lists = {job.id: value_list(self._estimation, job) for job in jobs}
            others = [cars_of(job) for job in jobs if lists[job.id] is None]
            valued = iter(self._estimate([car for own in others for car in own]))
        return [lists[job.id] or [next(valued) for _ in job.requests] for job in jobs]

    def _estimate(self, cars: Sequence[WaitingCar]) -> list[ValuedCar]:
        results = self._estimation.estimate([car.request for car in cars])
        return list(zip(cars, results, strict=True))

    def record(self, claimed: Sequence[ClaimedCars]) -> list[ClaimedCars]:
        """Append the records that the log does not have yet, as one block.

        Returns those whose records are in the log; another worker has taken over the others, and
        writes and answers them.

        Raises:
            AuditNotFlushed: they were written, but may not be on the disk.
            AuditUnavailable: none was written.
        """
        open_claims = [each.claim for each in claimed if each.claim.state is not ClaimState.DONE]
        held = {claim.message_id for claim in self._claims.still_held(open_claims)}
        now = self._clock()
        kept: list[ClaimedCars] = []
        records: list[Record] = []
        unsure: list[AuditRecord] = []
        for each in claimed:
            if each.claim.state is not ClaimState.DONE:
                if each.claim.message_id not in held:
                    log.warning("message_taken_over", message_id=each.claim.message_id)
                    continue
                if each.claim.state is ClaimState.DOUBTFUL:
                    unsure += audit_records(each.valued, now)
                elif isinstance(each.valued, ValuedList):
                    records.append(each.valued.audit_records(now))
                else:
                    records += audit_records(each.valued, now)
            kept.append(each)
        if unsure:
            ids = {record.id for record in unsure}
            known = self._audit.recorded(ids)
            if self._shared is not None and known != ids:
                # Their worker may have died on another host, after it had recorded them.
                known |= self._shared.recorded(ids - known)
            records += [record for record in unsure if record.id not in known]
            if known and self._audit.syncs_before_answer:
                self._audit.sync()  # an earlier attempt may have failed to
        if records:
            with traced_step("record"):
                self._audit.append(records)
        return kept

    def answer(
        self, recorded: Sequence[ClaimedCars], send: Callable[[Sequence[ScriptCall]], T]
    ) -> T:
        """Fill the cache, note that the records are in the log, and answer.

        Args:
            recorded: what `record` returned; what had to be answered without a record is missing.
            send: sends the answers; is given the calls to execute before they can be read.
        """
        valued = [car for each in recorded if not _is_long(each.valued) for car in each.valued]
        # Cache first: a caller who has the answer and asks again finds it there.
        with traced_step("answer"), self._cache.put_concurrently(cacheable(valued)):
            claims = [each.claim for each in recorded]
            return send([self._claims.marking_done(claims)] if claims else [])


def _is_long(valued: Sequence[ValuedCar]) -> bool:
    """Whether cars are not cached, like the rows of batches: those of a list for bulk workers."""
    return isinstance(valued, ValuedList) and valued.job.is_long
