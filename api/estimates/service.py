"""Keeps answered estimates under their ids and reads them again."""

import dataclasses
from collections.abc import Callable, Mapping

from api.estimates.quota import DailyQuota
from shared.blobs.estimate_files import EstimateFiles, KeptEstimate, require_current
from shared.domain.clock import Clock
from shared.domain.errors import StorageUnavailable, UnreadableRecord, ValuationNotFound
from shared.domain.ids import CallerId, JobId, ValuationId
from shared.domain.job import Job, JobState
from shared.domain.valuation import Valuation
from shared.logging import get_logger
from shared.redis.job_store.store import JobStore

log = get_logger("estimates")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimates:
    """Kept estimates: written once, read by their caller or by everybody who has the address.

    Args:
        files: where they are stored.
        jobs: estimates whose callers stopped waiting are made under the same id.
        identity: `ActiveVersionCache.identity`.
        clock: Unix time, seconds.
        days: how long they are kept; 0: none is.
        quota: how many are kept per day.
    """

    files: EstimateFiles
    jobs: JobStore
    identity: Callable[[str], Mapping[str, str | None]]
    clock: Clock
    days: int
    quota: DailyQuota = dataclasses.field(default_factory=DailyQuota)

    def keep(
        self, answer: Valuation | Job, caller: CallerId, address: str = ""
    ) -> KeptEstimate | None:
        """Store an answer, or the request that a job still answers.

        Args:
            answer: of `Valuations.value`; a job of one car.
            caller: who asked.
            address: digest of the address of a visitor of a demonstration; empty for others.

        Returns:
            What is stored; None if none is kept (`days`).

        Raises:
            StorageUnavailable: the disk, the object store or `quota` refuses.
        """
        if not self.days:
            return None
        now = self.clock()
        self.quota.require_left(caller, now, address)
        if isinstance(answer, Job):
            kept = KeptEstimate(
                id=ValuationId(answer.id),
                at=answer.created_at,
                caller=caller,
                request=answer.requests[0],
                model={},
            )
        else:
            kept = KeptEstimate(
                id=answer.id,
                at=now,
                caller=caller,
                request=answer.request,
                model=self.identity(answer.estimate.model_version),
                estimate=answer.estimate,
                cached=answer.cached,
            )
        self.files.write(kept)
        self.quota.count(caller, now, address)
        return kept

    def own(self, estimate_id: str, caller: CallerId, *, is_admin: bool) -> KeptEstimate:
        """A kept estimate of this caller, or any for administrators.

        Raises:
            ValuationNotFound: there is none, or another caller has it.
            EstimateExpired: it is too old.
            StorageUnavailable: the store does not answer.
        """
        kept = self._read(estimate_id)
        if kept.caller != caller and not is_admin:
            raise ValuationNotFound(id=estimate_id)
        return kept

    def shared(self, estimate_id: str) -> KeptEstimate | None:
        """A kept estimate that its caller has shared; None if it is not, or if there is none."""
        try:
            require_current(estimate_id, self.clock(), self.days)
        except ValuationNotFound:
            return None
        return self._read(estimate_id) if self.files.is_shared(estimate_id) else None

    def completed(self, kept: KeptEstimate) -> KeptEstimate | Job:
        """The estimate once its job has ended, which is then kept; until then the job.

        Raises:
            JobNotFound, JobExpired, JobDeleted: the job is gone without a kept estimate.
            BrokerUnavailable: the job cannot be read.
        """
        if kept.estimate is not None:
            return kept
        job = self.jobs.get(JobId(kept.id), kept.caller)
        if job.state is not JobState.SUCCEEDED:
            return job
        estimate = job.estimates[0]
        done = dataclasses.replace(
            kept,
            at=job.finished_at or kept.at,
            estimate=estimate,
            model=self.identity(estimate.model_version),
        )
        try:
            self.files.write(done)
        except StorageUnavailable as error:  # the next reader stores it, while the job is there
            log.warning("estimate_not_kept", id=kept.id, error=str(error))
        return done

    def share(self, kept: KeptEstimate, *, is_shared: bool) -> None:
        """Let everybody who knows the address read an estimate, or its caller only."""
        self.files.set_shared(kept.id, is_shared=is_shared)

    def _read(self, estimate_id: str) -> KeptEstimate:
        require_current(estimate_id, self.clock(), self.days)
        try:
            kept = self.files.read(estimate_id)
        except UnreadableRecord as error:
            log.warning("estimate_unreadable", id=estimate_id, error=str(error))
            raise
        if kept is None:
            raise ValuationNotFound(id=estimate_id)
        return kept
