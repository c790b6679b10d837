"""One request that waits for its reply."""

import threading

from shared.domain.errors import DomainError
from shared.domain.ids import ValuationId
from shared.domain.valuation import Estimate


class Pending:
    """`shared.ports.PendingEstimate`.

    The latch is a bare lock, taken from the start and released by the outcome: an `Event` costs
    several times as much, and every miss has one. One thread waits.
    """

    __slots__ = (
        "_abandoned",
        "_latch",
        "_lock",
        "_outcome",
        "expires_at",
        "group_id",
        "id",
        "wire",
    )

    def __init__(self, valuation_id: ValuationId, wire: bytes, expires_at: float) -> None:
        self.id = valuation_id
        self.wire = wire
        self.expires_at = expires_at
        self.group_id = ""
        self._latch = threading.Lock()
        self._latch.acquire()
        self._lock = threading.Lock()
        self._outcome: Estimate | DomainError | None = None
        self._abandoned = False

    def wait(self, timeout_s: float) -> Estimate | None:
        """The estimate, or None if it did not come in time; raises what the worker reported."""
        if self._outcome is None:
            self._latch.acquire(timeout=max(0.0, timeout_s))
        return self._result()

    def abandon(self) -> Estimate | None:
        """Stop waiting; the estimate if it has just come."""
        with self._lock:
            self._abandoned = True
        return self._result()

    def resolve(self, outcome: Estimate | DomainError) -> bool:
        """Hand over the outcome, once; False if nobody waits for it any more."""
        with self._lock:
            if self._abandoned or self._outcome is not None:
                return False
            self._outcome = outcome
        self._latch.release()
        return True

    def _result(self) -> Estimate | None:
        outcome = self._outcome
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome
