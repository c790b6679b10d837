"""What a run has submitted and been answered, by kind, with the ids that the service gave."""

import collections
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Kinds of work."""

    CAR = "single car"
    JOB = "job"
    LIST = "list"
    BATCH = "batch"
    SALE = "sale report"


class Verdict(StrEnum):
    """What the check of a piece of work has found."""

    OPEN = "open"
    COMPLETE = "complete"
    LOST = "lost"


class Answer(NamedTuple):
    """A car and the price that was answered for it."""

    km_driven: float | None
    engine_cc: float | None
    price_mad: float | None


@dataclass(kw_only=True, eq=False)
class Work:
    """Accepted work: a job, a list, a batch or an answered car.

    Args:
        kind: its kind.
        id: id of the job, batch or valuation.
        items: number of cars or rows.
        valid: number of those that can be valued; their ids must be in the audit log.
        accepted_at: when the service accepted it, Unix time.
        fault: name of the fault during which it was accepted.
    """

    kind: Kind
    id: str
    items: int
    valid: int
    accepted_at: float
    fault: str = ""
    verdict: Verdict = Verdict.OPEN
    finished_at: float = 0.0
    remark: str = ""
    answers: list[Answer] = field(default_factory=list)
    """Of each car; empty for batches, whose rows are compared as text."""

    @property
    def audit_ids(self) -> list[str]:
        """Ids of the audit records that its answer needs."""
        if self.kind is Kind.LIST or self.kind is Kind.BATCH:
            return [f"{self.id}-{number}" for number in range(1, self.valid + 1)]
        return [self.id]


@dataclass
class Ledger:
    """All work of a run; its methods may be called by many threads."""

    works: list[Work] = field(default_factory=list)
    sales: list[str] = field(default_factory=list)
    """Valuations whose sale report was accepted; each must be recorded exactly once."""
    refusals: collections.Counter[str] = field(default_factory=collections.Counter)
    """Answers other than the expected ones, by kind of work and reason."""
    answered: list[tuple[float, float]] = field(default_factory=list)
    """Start and end of each new car that was answered 200, Unix time."""
    cars_refused_at: list[float] = field(default_factory=list)
    """When single cars were refused or not answered, Unix time."""
    fault: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, kind: Kind, work_id: str, items: int, valid: int | None = None) -> Work:
        """Record that the service has accepted work."""
        work = Work(
            kind=kind,
            id=work_id,
            items=items,
            valid=items if valid is None else valid,
            accepted_at=time.time(),
            fault=self.fault,
        )
        with self._lock:
            self.works.append(work)
        return work

    def answer(self, work_id: str, started_at: float, *, is_cached: bool) -> Work:
        """Record the answer to a single car."""
        work = self.accept(Kind.CAR, work_id, 1)
        work.verdict, work.finished_at = Verdict.COMPLETE, time.time()
        if not is_cached:
            self.answered.append((started_at, work.finished_at))
        return work

    def report_sale(self, valuation_id: str) -> None:
        """Record that a sale report was accepted."""
        with self._lock:
            self.sales.append(valuation_id)

    def refuse(self, kind: Kind, reason: str) -> None:
        """Record that a request was not accepted."""
        with self._lock:
            self.refusals[f"{kind}: {reason}"] += 1
        if kind is Kind.CAR:
            self.cars_refused_at.append(time.time())

    def open_works(self) -> list[Work]:
        """Accepted work whose end has not been seen."""
        with self._lock:
            return [work for work in self.works if work.verdict is Verdict.OPEN]
