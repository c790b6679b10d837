"""The limits of API keys: which request, job or batch is one too many."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

from api.middleware.key_directory import Caller
from shared.domain.errors import (
    BrokerUnavailable,
    OpenBatchesLimitReached,
    OpenJobsLimitReached,
    RateLimited,
    StorageLimitReached,
)
from shared.domain.ids import BatchId, CallerId
from shared.metrics import count_key_refusal
from shared.redis.job_store.records import JobUsage
from shared.redis.rate_limits import RateLimits, RateState

BUSY_RETRY_S = 5
"""`Retry-After` while too much of a caller is open."""
STORAGE_RETRY_S = 60
LOCK_TIMEOUT_S = 2.0


NoteState: TypeAlias = Callable[[RateState], None]


class RequestLimits:
    """Counts requests and cars by key.

    Args:
        rates: the token buckets.
    """

    def __init__(self, rates: RateLimits) -> None:
        self._rates = rates

    def admit(self, caller: Caller, *, requests: int = 1, cars: int = 0) -> RateState | None:
        """Count a request; None if its key has no such limits or they cannot be counted.

        Raises:
            RateLimited: it is one too many.
        """
        if not caller.limits.has_rate:
            return None
        with counted_refusals(caller):
            return self._rates.spend(caller.bucket_id, caller.limits, requests=requests, cars=cars)

    def check(self, caller: Caller) -> None:
        """Return unless the last request of a caller's key was refused and it is too early.

        Raises:
            RateLimited: see `admit`; nobody is asked, so an event loop may call this.
        """
        with counted_refusals(caller):
            self._rates.check(caller.bucket_id, caller.limits)

    def refund(self, caller: Caller, cars: int) -> None:
        """Give the cars of a request back that was not answered."""
        self._rates.refund(caller.bucket_id, caller.limits, cars)


@contextlib.contextmanager
def counted_refusals(caller: Caller) -> Iterator[None]:
    """Count a refusal by its key and limit."""
    try:
        yield
    except RateLimited as error:
        count_key_refusal(caller.key_id, error.code)
        raise


class SubmissionLimits:
    """Admits jobs and batches of keys with limits.

    Jobs and batches of a caller with such limits are stored one after the other, so that two do not
    take the last place. Several API processes may exceed a limit by one each.

    Args:
        rates: the token buckets.
        job_usage: what the jobs of a caller take up.
        open_batches: how many batches of a caller have not ended.
        stored_bytes: what the batches of a caller take up in the blob store.
        quota_ttl_s: how long the rows of a batch may be counted.
    """

    def __init__(
        self,
        rates: RateLimits,
        *,
        job_usage: Callable[[CallerId], JobUsage],
        open_batches: Callable[[CallerId], int],
        stored_bytes: Callable[[CallerId], int],
        quota_ttl_s: int,
    ) -> None:
        self._rates = rates
        self._job_usage = job_usage
        self._open_batches = open_batches
        self._batch_bytes = stored_bytes
        self._quota_ttl_s = quota_ttl_s
        self._locks: dict[str, threading.Lock] = {}

    def of(self, caller: Caller, on_state: NoteState = lambda _: None) -> "Admission":
        """The limits of one caller.

        Args:
            caller: who submits.
            on_state: called with what is left of the limits of its key whenever that changes.
        """
        return Admission(self, caller, on_state)

    @contextlib.contextmanager
    def job(
        self, caller: Caller, cars: int, on_state: NoteState = lambda _: None
    ) -> Iterator[None]:
        """Admit a job of so many cars, which is stored within the context.

        Args:
            caller: whose it is.
            cars: how many.
            on_state: see `of`.

        Raises:
            RateLimited: a limit does not allow it.
            BrokerUnavailable: it cannot be found out.
        """
        limits = caller.limits
        with counted_refusals(caller), contextlib.ExitStack() as stack:
            if limits.open_jobs is not None or limits.stored_bytes is not None:
                stack.enter_context(self._one_at_a_time(caller))
                self._check_jobs(caller)
            if limits.cars_per_day is not None:
                stack.enter_context(self._paid(caller, cars, on_state))
            yield

    def check_batch(self, caller: Caller, *, is_valued: bool) -> int | None:
        """Return how many bytes another file of a caller may have; None: any number.

        Args:
            caller: whose it is.
            is_valued: whether its rows count as cars.

        Raises:
            RateLimited: a limit allows no other batch.
            BrokerUnavailable: it cannot be found out.
        """
        limits = caller.limits
        with counted_refusals(caller):
            if limits.cars_per_day is not None and is_valued:
                self._check_cars(caller)
            self._check_open_batches(caller)
            if limits.stored_bytes is None:
                return None
            return limits.stored_bytes - self._check_bytes(caller)

    @contextlib.contextmanager
    def batch(
        self, caller: Caller, batch_id: BatchId, size: int, *, is_valued: bool
    ) -> Iterator[None]:
        """Admit a batch, which is started within the context.

        Args:
            caller: whose it is.
            batch_id: its id.
            size: bytes of its file.
            is_valued: whether its rows count as cars; workers count them when they read the file.

        Raises:
            RateLimited: a limit does not allow it.
            BrokerUnavailable: it cannot be found out.
        """
        limits = caller.limits
        with counted_refusals(caller), contextlib.ExitStack() as stack:
            if limits.open_batches is not None or limits.stored_bytes is not None:
                stack.enter_context(self._one_at_a_time(caller))
                self._check_open_batches(caller)
                if limits.stored_bytes is not None:
                    self._check_bytes(caller, size)
            if limits.cars_per_day is not None and is_valued:
                self._check_cars(caller)
                self._rates.open_quota(caller.key_id, limits, batch_id, self._quota_ttl_s)
            yield

    def _check_cars(self, caller: Caller) -> None:
        """Check that a car is left: a file has one row at least, and the workers count them."""
        self._rates.spend(caller.key_id, caller.limits, requests=0, cars=1)
        self._rates.refund(caller.key_id, caller.limits, 1)

    def _check_jobs(self, caller: Caller) -> None:
        limit = caller.limits.open_jobs
        if limit is not None and self._job_usage(CallerId(caller.id)).open_jobs >= limit:
            raise OpenJobsLimitReached(limit=limit, retry_after_s=BUSY_RETRY_S)
        if caller.limits.stored_bytes is not None:
            self._check_bytes(caller)

    def _check_open_batches(self, caller: Caller) -> None:
        limit = caller.limits.open_batches
        if limit is not None and self._open_batches(CallerId(caller.id)) >= limit:
            raise OpenBatchesLimitReached(limit=limit, retry_after_s=BUSY_RETRY_S)

    def _check_bytes(self, caller: Caller, size: int = 1) -> int:
        """The bytes that a caller holds, if its limit allows `size` more."""
        limit = caller.limits.stored_bytes or 0
        owner = CallerId(caller.id)
        used = self._job_usage(owner).stored_bytes + self._batch_bytes(owner)
        if used + size > limit:
            raise _storage_full(limit, used, size)
        return used

    @contextlib.contextmanager
    def _paid(self, caller: Caller, cars: int, on_state: NoteState) -> Iterator[None]:
        """Count cars, and give them back if the context raises."""
        try:
            state = self._rates.spend(caller.key_id, caller.limits, requests=0, cars=cars)
        except RateLimited as error:
            on_state(error.params["state"])
            raise
        if state is None:  # they could not be counted
            yield
            return
        on_state(state)
        try:
            yield
        except BaseException:
            self._rates.refund(caller.key_id, caller.limits, cars)
            on_state(state._replace(cars=(state.cars or 0.0) + cars))
            raise

    @contextlib.contextmanager
    def _one_at_a_time(self, caller: Caller) -> Iterator[None]:
        lock = self._locks.setdefault(caller.id, threading.Lock())
        if not lock.acquire(timeout=LOCK_TIMEOUT_S):
            raise BrokerUnavailable(reason="other submissions of this caller take too long")
        try:
            yield
        finally:
            lock.release()


def _storage_full(limit: int, used: int, size: int) -> StorageLimitReached:
    return StorageLimitReached(limit=limit, used=used, size=size, retry_after_s=STORAGE_RETRY_S)


@dataclasses.dataclass(frozen=True, slots=True)
class Admission:
    """The limits that apply to the submissions of one caller."""

    limits: SubmissionLimits
    caller: Caller
    on_state: NoteState

    @property
    def limits_batches(self) -> bool:
        """Whether the caller's key has a limit that can refuse a batch."""
        limits = self.caller.limits
        return any(
            limit is not None
            for limit in (limits.cars_per_day, limits.open_batches, limits.stored_bytes)
        )

    def job(self, cars: int) -> contextlib.AbstractContextManager[None]:
        """See `SubmissionLimits.job`."""
        return self.limits.job(self.caller, cars, self.on_state)

    def check_batch(self, *, is_valued: bool) -> int | None:
        """See `SubmissionLimits.check_batch`."""
        return self.limits.check_batch(self.caller, is_valued=is_valued)

    def batch(
        self, batch_id: BatchId, size: int, *, is_valued: bool
    ) -> contextlib.AbstractContextManager[None]:
        """See `SubmissionLimits.batch`."""
        return self.limits.batch(self.caller, batch_id, size, is_valued=is_valued)

    def refuse_size(self, free: int) -> None:
        """Refuse a file with more than the `free` bytes that `check_batch` has allowed.

        Raises:
            StorageLimitReached: always.
        """
        limit = self.caller.limits.stored_bytes or 0
        with counted_refusals(self.caller):
            raise _storage_full(limit, limit - free, free + 1)
