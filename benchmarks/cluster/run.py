"""A run: its size, and what the checks share."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.cluster.accounts import Accounts
from benchmarks.cluster.cluster import Cluster
from benchmarks.cluster.table import Table
from benchmarks.cluster.work import Volume
from benchmarks.faults.load import is_unclear
from tests.conftest import wait_until

NO_NAMESPACES = "no network namespaces here"
VERIFY_S = 60.0


@dataclass(frozen=True)
class Size:
    """How much a run does.

    Args:
        work: of the check of answers.
        some: work of each other check.
        kill_rounds: how often every worker process is killed.
        outage_s: how long the S3 server is unreachable.
        away_s: how long a host is away: longer than until it counts as dead, 30 s.
        short_s: how long other faults last.
        slack: limits of time are multiplied by this; above 1, on a busy machine, an activation
            may also be answered before all follow.
    """

    work: Volume
    some: Volume
    kill_rounds: int
    outage_s: float
    away_s: float
    short_s: float
    slack: float = 1.0


FULL = Size(Volume(2_000, 200, 400_000), Volume(300, 30, 40_000), 3, 60.0, 60.0, 15.0)
QUICK = Size(Volume(200, 20, 20_000), Volume(60, 6, 5_000), 1, 20.0, 40.0, 10.0)


@dataclass(frozen=True)
class Run:
    """What the checks of one cluster share."""

    cluster: Cluster
    accounts: Accounts
    table: Table
    size: Size

    def check_work(self, *, may_be_in_two_logs: bool = False) -> None:
        """Wait until all accepted work has ended; compare answers, logs and statistics.

        Args:
            may_be_in_two_logs: a host was dead for so long that others repeated its records, and
                came back: statistics count them once all the same.
        """
        accounts, table = self.accounts, self.table
        lost = accounts.settle()
        works = accounts.ledger.works
        remarks = "".join(f"; {work.kind} {work.id}: {work.remark}" for work in lost[:2])
        table.add(
            "accepted work ends with its answer",
            "0 lost",
            f"{len(lost)} of {len(works):,} lost{remarks}; dead letters replayed: "
            f"{accounts.replayed}",
            is_kept=not lost,
        )
        self._check_refusals()
        self._check_records(may_be_in_two_logs=may_be_in_two_logs)
        figures = accounts.answers()
        is_kept, seen, seconds = accounts.agree(figures)
        said = f"{figures.count:,} answers, on both after {seconds:.1f} s"
        table.add(
            "statistics equal on both APIs, and to the answers",
            "equal",
            said if is_kept else f"{figures} answered, APIs say {seen}",
            is_kept=is_kept,
        )
        self._check_sales()
        self._check_verification()

    def _check_refusals(self) -> None:
        refusals = self.accounts.ledger.refusals
        unclear = {name: count for name, count in refusals.items() if is_unclear(name)}
        self.table.add(
            "refusals say why",
            "a problem with a reason",
            f"{refusals.total()} refused; unclear: {unclear or 'none'}",
            is_kept=not unclear,
        )
        refusals.clear()

    def _check_records(self, *, may_be_in_two_logs: bool) -> None:
        expected, found = self.accounts.expected_ids(), self.accounts.records()
        missing = sum(each not in found for each in expected)
        twice = sum(count > 1 for count in found.values())
        other = sum(each not in expected for each in found)
        name = "each answer recorded exactly once across hosts"
        goal = "0 missing, 0 twice, 0 others"
        if may_be_in_two_logs:
            name, goal = "each answer recorded; counted once", "0 missing, 0 others"
        is_kept = not missing and not other and (may_be_in_two_logs or not twice)
        seen = f"{len(expected):,} answers: {missing} missing, {twice} twice, {other} others"
        self.table.add(name, goal, seen, is_kept=is_kept)

    def _check_sales(self) -> None:
        statuses = self.accounts.report_sales()
        are_equal, counted = self.accounts.sales_agree()
        self.table.add(
            "every sale is accepted by the other API",
            "all 201, counted by both",
            f"{_statuses(statuses)}; counted: {counted}",
            is_kept=set(statuses) <= {201} and are_equal,
        )

    def _check_verification(self) -> None:
        """`carprice audit verify` on every host; copies may be a few seconds behind."""
        found: list[tuple[int, list[str]]] = []

        def is_verified() -> bool:
            found.clear()
            for host in self.cluster.hosts:
                code, report = host.verify_audit()
                copies = report.get("copies") or {"hosts": 0, "faults": [str(report)[:300]]}
                found.append((code, copies["faults"]))
                if code or copies["faults"] or copies["hosts"] != len(self.cluster.hosts):
                    return False
            return True

        is_kept = passes(is_verified, VERIFY_S)
        seen = "passes on all" if is_kept else str(found)
        self.table.add("carprice audit verify", "passes on all 4 hosts", seen, is_kept=is_kept)


def _statuses(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())) or "none"


def passes(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether a condition becomes true in time."""
    try:
        wait_until(condition, timeout_s)
    except AssertionError:
        return False
    return True


Check = Callable[[Run], None]


def carry_out(run: Run, checks: Sequence[tuple[str, Check]]) -> None:
    """Carry out checks one after the other; one that fails to look is a broken line."""
    for name, check in checks:
        run.table.check = name
        started = time.monotonic()
        run.table.say(name)
        try:
            check(run)
            run.cluster.await_complete()
        except Exception as error:  # noqa: BLE001 - one check must not end the run
            traceback.print_exc()
            seen = f"{type(error).__name__}: {error}"[:300]
            run.table.add("the check was carried out", "no error", seen, is_kept=False)
        run.table.say(f"  {time.monotonic() - started:.0f} s")
