"""Compares accepted work with its answers and audit records."""

import contextlib
import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from benchmarks.faults.audit import AuditReader
from benchmarks.faults.load import Connection, is_unclear
from benchmarks.faults.running_service import RunningService
from benchmarks.faults.work import Kind, Ledger, Verdict, Work

DRAIN_S = 120.0
"""Longest wait for accepted work to end once the load has stopped."""
POLL_S = 0.2
MAX_REMARKS = 3
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
LIST_KINDS = (Kind.JOB, Kind.LIST)


@dataclass(kw_only=True)
class Result:
    """The outcome of one fault."""

    fault: str
    accepted: dict[str, int] = field(default_factory=dict)
    """Number of pieces of work by kind."""
    items: int = 0
    """Cars and rows in them."""
    lost: int = 0
    duplicated: int = 0
    unrecorded: int = 0
    wrong: int = 0
    """Answers whose audit record has another car or another price."""
    unclear: dict[str, int] = field(default_factory=dict)
    """Refusals without a true reason."""
    refusals: dict[str, int] = field(default_factory=dict)
    car_s: float | None = None
    job_s: float | None = None
    batch_s: float | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost, duplicated, unrecorded, wrong or refused without a reason."""
        wrongs = self.lost + self.duplicated + self.unrecorded + self.wrong
        return not (wrongs or self.unclear)


class Checker:
    """Checks the work of one service.

    Args:
        service: the service.
        ledger: its accepted work.
    """

    def __init__(self, service: RunningService, ledger: Ledger) -> None:
        self._service = service
        self._ledger = ledger
        self._audit = AuditReader(service.seen_home / "audit")
        self._duplicates_before = 0
        self._unrecorded = self._duplicated = 0
        """Reported so far."""
        self._first_work = self._first_sale = self._first_answer = 0

    def check(self, fault: str, ended_at: float | None) -> Result:
        """Wait until all work of this fault has ended, and count what is wrong.

        Args:
            fault: its name.
            ended_at: when it ended, Unix time; None: no recovery is measured.
        """
        self._drain()
        works = self._ledger.works[self._first_work :]
        result = Result(fault=fault, items=sum(work.items for work in works))
        for work in works:
            result.accepted[work.kind] = result.accepted.get(work.kind, 0) + 1
            if work.verdict is not Verdict.COMPLETE:
                result.lost += work.items
                if len(result.remarks) < MAX_REMARKS:
                    result.remarks.append(f"{work.kind} {work.id}: {work.remark or work.verdict}")
        self._count_records(result, works)
        if ended_at is not None:
            self._measure(result, works, ended_at)
        refusals = dict(self._ledger.refusals)
        result.refusals = refusals
        result.unclear = {name: count for name, count in refusals.items() if is_unclear(name)}
        self._ledger.refusals.clear()
        self._ledger.cars_refused_at.clear()
        self._first_work = len(self._ledger.works)
        self._first_answer = len(self._ledger.answered)
        return result

    def _drain(self) -> None:
        """Wait until all open work has ended; what has not is lost."""
        until = time.monotonic() + DRAIN_S
        connection = self._service.connection()
        while (open_works := self._ledger.open_works()) and time.monotonic() < until:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                replay_dead_letters(connection)
            for work in open_works:
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                    judge(connection, work)
            time.sleep(POLL_S)
        for work in self._ledger.open_works():
            work.verdict, work.remark = Verdict.LOST, f"not ended within {DRAIN_S:g} s"

    def _count_records(self, result: Result, works: Sequence[Work]) -> None:
        self._audit.read()
        answers, sales = self._audit.answers, self._audit.sales
        for work in works:
            if work.verdict is not Verdict.COMPLETE:
                continue
            counts = [answers[each] for each in work.audit_ids]
            result.unrecorded += counts.count(0)
            result.duplicated += sum(count - 1 for count in counts if count > 1)
            self._compare(result, work)
            if 0 in counts and len(result.remarks) < MAX_REMARKS:
                result.remarks.append(f"{work.kind} {work.id}: {counts.count(0)} not recorded")
        twice = self._audit.valued_twice()
        result.duplicated += twice - self._duplicates_before
        self._duplicates_before = twice
        reports = self._ledger.sales[self._first_sale :]
        self._first_sale += len(reports)
        result.accepted[Kind.SALE] = len(reports)
        result.unrecorded += sum(sales[each] == 0 for each in reports)
        result.duplicated += sum(sales[each] > 1 for each in reports)
        self._unrecorded += result.unrecorded
        self._duplicated += result.duplicated

    def _compare(self, result: Result, work: Work) -> None:
        """Count the answers that differ from their records."""
        for identity, answer in zip(work.audit_ids, work.answers, strict=False):
            record = self._audit.answered.get(identity)
            if record is not None and record != answer:
                result.wrong += 1
                if len(result.remarks) < MAX_REMARKS:
                    result.remarks.append(f"{identity}: answered {answer}, recorded {record}")

    def recheck(self) -> Result:
        """Count the records of all work of the run again: those that came later included."""
        self._audit.read()
        result = Result(fault="records of the whole run counted again")
        for work in self._ledger.works:
            if work.verdict is Verdict.COMPLETE:
                counts = [self._audit.answers[each] for each in work.audit_ids]
                result.unrecorded += counts.count(0)
                result.duplicated += sum(count - 1 for count in counts if count > 1)
        for identity in self._ledger.sales:
            result.unrecorded += self._audit.sales[identity] == 0
            result.duplicated += self._audit.sales[identity] > 1
        result.duplicated += self._audit.valued_twice()
        result.unrecorded -= self._unrecorded
        result.duplicated -= self._duplicated
        return result

    def _measure(self, result: Result, works: Sequence[Work], ended_at: float) -> None:
        """Measure the seconds from the end of the fault until everything was normal again.

        Cars: until the first answer to a new car after the last one that was refused. Jobs and
        batches: until all that were open at that time, and the first one that was accepted later,
        had ended.
        """
        answered = self._ledger.answered[self._first_answer :]
        normal_at = max([ended_at, *self._ledger.cars_refused_at])
        ends = [end - ended_at for start, end in answered if start >= normal_at]
        result.car_s = min(ends, default=None)
        result.job_s = _recovery(works, LIST_KINDS, ended_at)
        result.batch_s = _recovery(works, (Kind.BATCH,), ended_at)


def _recovery(works: Sequence[Work], kinds: Sequence[Kind], ended_at: float) -> float | None:
    ends = [work for work in works if work.kind in kinds and work.finished_at >= ended_at]
    open_then = [work.finished_at - ended_at for work in ends if work.accepted_at < ended_at]
    later = [work.finished_at - ended_at for work in ends if work.accepted_at >= ended_at]
    return max(open_then + sorted(later)[:1], default=None)


def replay_dead_letters(connection: Connection) -> int:
    """Replay all dead letters, as an operator would; return how many there were."""
    letters = json.loads(connection.request("GET", "/dead-letters")[1]).get("dead_letters", ())
    for letter in letters:
        connection.request("POST", f"/dead-letters/{letter['id']}/replay", "")
    return len(letters)


def judge(connection: Connection, work: Work) -> None:
    """Look at open work; if it has ended, set its verdict. A dead letter stays open."""
    path = f"/batches/{work.id}" if work.kind is Kind.BATCH else f"/jobs/{work.id}"
    status, body = connection.request("GET", path)
    if status in {404, 410}:
        work.verdict, work.remark = Verdict.LOST, f"status {status}"
        return
    if status != http.client.OK:
        return
    found = json.loads(body)
    if found["state"] not in ENDED:
        return
    error = found.get("error") or {}
    if error.get("code") == "attempts-exhausted":
        work.remark = "a dead letter"
        return
    work.finished_at = datetime.fromisoformat(found["finished_at"]).timestamp()
    if found["state"] != "SUCCEEDED":
        work.verdict = Verdict.LOST
        work.remark = f"{found['state']}: {found.get('error')}"[:200]
    elif work.kind is Kind.BATCH:
        _judge_rows(connection, work, found)
    else:
        result = found["result"]
        prices = [each["price_mad"] for each in (result if isinstance(result, list) else [result])]
        is_whole = len(prices) == work.items and all(price > 0 for price in prices)
        work.answers = [
            answer._replace(price_mad=price)
            for answer, price in zip(work.answers, prices, strict=False)
        ]
        work.verdict = Verdict.COMPLETE if is_whole else Verdict.LOST


def _judge_rows(connection: Connection, work: Work, found: dict[str, Any]) -> None:
    """Compare counts and downloaded rows of a batch with its input."""
    counts = found["counts"]
    expected = (work.items, work.items, work.valid, work.items - work.valid, 0)
    names = ("total", "done", "valid", "invalid", "failed")
    status, text = connection.request("GET", f"/batches/{work.id}/results")
    if status != http.client.OK:
        return
    refs = [line.split(b";", 1)[0] for line in text.splitlines()[1:]]
    is_whole = refs == [b"R%d" % number for number in range(1, work.items + 1)]
    if is_whole and tuple(counts[name] for name in names) == expected:
        work.verdict = Verdict.COMPLETE
    else:
        work.verdict = Verdict.LOST
        work.remark = f"{len(refs)} rows, {counts}"
