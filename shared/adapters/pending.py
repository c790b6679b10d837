"""Requests that wait for their replies, alone and as a group."""

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from shared.domain.errors import DomainError
from shared.domain.ids import ValuationId
from shared.domain.valuation import Estimate

EstimateResult: TypeAlias = Estimate | DomainError
DoneCallback: TypeAlias = Callable[[list["EstimateFuture"]], None]


class EstimateFuture:
    """The future of one submitted valuation.

    Either one thread waits in `wait`, or `on_done` is called with all of a group that have their
    outcomes, from the thread that brings them: it must neither block nor raise.

    The latch is a bare lock, taken from the start and released by the outcome: an `Event` costs
    several times as much, and every miss has one.

    Args:
        valuation_id: the request's id.
        wire: the request as it travels.
        expires_at: monotonic seconds after which nobody waits for it.
        on_done: told of the outcome, in place of a thread that waits.
    """

    __slots__ = (
        "_abandoned",
        "_latch",
        "_lock",
        "_outcome",
        "expires_at",
        "group_id",
        "id",
        "on_done",
        "wire",
    )

    def __init__(
        self,
        valuation_id: ValuationId,
        wire: bytes,
        expires_at: float,
        on_done: DoneCallback | None = None,
    ) -> None:
        self.id = valuation_id
        self.wire = wire
        self.expires_at = expires_at
        self.on_done = on_done
        self.group_id = ""
        self._latch = threading.Lock()
        self._latch.acquire()
        self._lock = threading.Lock()
        self._outcome: EstimateResult | None = None
        self._abandoned = False

    def wait(self, timeout_s: float) -> Estimate | None:
        """The estimate, or None if it did not come in time; raises what the worker reported."""
        if self._outcome is None:
            self._latch.acquire(timeout=max(0.0, timeout_s))
        return self.estimate()

    def estimate(self) -> Estimate | None:
        """The estimate, None while it is not there; raises what the worker reported."""
        outcome = self._outcome
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    @property
    def failure(self) -> DomainError | None:
        """What went wrong, if anything has."""
        return self._outcome if isinstance(self._outcome, DomainError) else None

    def abandon(self) -> Estimate | None:
        """Stop waiting; the estimate if it has just come."""
        with self._lock:
            self._abandoned = True
        return self.estimate()

    def set_result(self, outcome: EstimateResult) -> bool:
        """Hand over the outcome, once; False if nobody waits for it any more."""
        with self._lock:
            if self._abandoned or self._outcome is not None:
                return False
            self._outcome = outcome
        self._latch.release()
        return True


def set_results(
    outcomes: Iterable[tuple[EstimateFuture, EstimateResult]],
) -> list[tuple[EstimateFuture, EstimateResult]]:
    """Hand over many outcomes and tell each `on_done` once; those that nobody waits for."""
    unwanted: list[tuple[EstimateFuture, EstimateResult]] = []
    told: dict[DoneCallback, list[EstimateFuture]] = defaultdict(list)
    for pending, outcome in outcomes:
        if not pending.set_result(outcome):
            unwanted.append((pending, outcome))
        elif pending.on_done is not None:
            told[pending.on_done].append(pending)
    for on_done, futures in told.items():
        on_done(futures)
    return unwanted


@dataclasses.dataclass(slots=True)
class MicroBatch:
    """Requests that travel together."""

    id: str
    futures: dict[str, EstimateFuture]
    slot_expires_at: float
    """Monotonic seconds; its reply may come later."""
    expires_at: float
    """Monotonic seconds after which it counts as lost."""
