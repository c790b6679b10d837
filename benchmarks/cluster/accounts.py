"""What a cluster has accepted and answered, compared with its logs and statistics."""

import contextlib
import csv
import http.client
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.cluster.cluster import Cluster
from benchmarks.cluster.hosts import Host
from benchmarks.faults.audit import AuditReader
from benchmarks.faults.check import judge, replay_dead_letters
from benchmarks.faults.work import Kind, Ledger, Verdict, Work
from tests.conftest import wait_until

SETTLE_S, AGREE_S = 240.0, 90.0
POLL_S = 0.3
REPORTERS = 8
SAMPLED_ITEMS = 3
"""Valuations of each list and batch whose sale is reported."""
ROUNDING_MAD = 0.03
"""Largest difference of two means that were rounded."""
COMPARED = (
    "total_predictions",
    "successful_predictions",
    "min_price",
    "max_price",
    "average_price",
)


@dataclass(frozen=True)
class Figures:
    """Number and prices (MAD) of answers."""

    count: int
    lowest: float
    highest: float
    mean: float

    @classmethod
    def of(cls, prices: Sequence[float]) -> "Figures":
        """Of these prices."""
        return cls(len(prices), min(prices), max(prices), round(sum(prices) / len(prices), 2))

    def equal(self, stats: dict[str, Any]) -> bool:
        """Whether the statistics of an API say the same; their mean is rounded."""
        exact = (self.count, self.lowest, self.highest)
        names = ("successful_predictions", "min_price", "max_price")
        difference = abs(float(stats["average_price"]) - self.mean)
        return tuple(stats[name] for name in names) == exact and difference < ROUNDING_MAD


class Accounts:
    """All work of a cluster.

    Args:
        cluster: the cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ledger = Ledger()
        self.replayed = 0
        """Dead letters that were replayed, as an operator would."""
        self._readers = [AuditReader(host.seen_home / "audit") for host in cluster.hosts]
        self._sold: set[str] = set()
        self._batch_prices: dict[str, list[float]] = {}
        self._day = _today()

    def settle(self) -> list[Work]:
        """Wait until all accepted work has ended; return what is lost."""
        for work in self.still_open(SETTLE_S):
            work.verdict, work.remark = Verdict.LOST, f"{work.remark} not ended".strip()
        return [work for work in self.ledger.works if work.verdict is Verdict.LOST]

    def still_open(self, timeout_s: float) -> list[Work]:
        """Wait for the end of accepted work; return what has not ended in time."""
        until = time.monotonic() + timeout_s
        connections = [api.connection() for api in self.cluster.apis]
        while (works := self.ledger.open_works()) and time.monotonic() < until:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self.replayed += replay_dead_letters(connections[0])
            for number, work in enumerate(works):
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                    judge(connections[number % len(connections)], work)
            time.sleep(POLL_S)
        return works

    def records(self) -> Counter[str]:
        """How often each valuation is in the logs of all hosts."""
        found: Counter[str] = Counter()
        for reader in self._readers:
            reader.read()
            found.update(reader.answers)
        return found

    def expected_ids(self) -> set[str]:
        """The valuations that were answered."""
        return {
            each
            for work in self.ledger.works
            if work.verdict is Verdict.COMPLETE
            for each in work.audit_ids
        }

    def answers(self) -> Figures:
        """The answers, as the callers have them."""
        prices: list[float] = []
        for work in self.ledger.works:
            if work.kind is Kind.BATCH:
                prices += self._prices_of(work)
            else:
                prices += [one.price_mad for one in work.answers if one.price_mad is not None]
        return Figures.of(prices)

    def statistics(self, api: Host) -> dict[str, Any]:
        """`/predictions/stats` of the day on which the run began."""
        found = api.get(f"/predictions/stats?date={self._day}")
        return {name: found[name] for name in COMPARED}

    def agree(self, figures: Figures) -> tuple[bool, list[dict[str, Any]], float]:
        """Wait until the statistics of both APIs are equal to the answers.

        Returns:
            Whether they are; what both say; the seconds that it took.
        """
        started = time.monotonic()

        def seen() -> list[dict[str, Any]]:
            return [self.statistics(api) for api in self.cluster.apis]

        def are_equal() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                first, second = seen()
                return first == second and figures.equal(first)
            return False

        is_kept = _within(AGREE_S, are_equal)
        return is_kept, seen(), time.monotonic() - started

    def report_sales(self) -> Counter[int]:
        """Report sales of all cars and some items of lists and batches; each by the next API.

        Returns:
            How often each status was answered.
        """
        ids = [each for work in self.ledger.works for each in _sampled(work)]
        new = [each for each in ids if each not in self._sold]
        self._sold.update(new)
        sold_at = _today()
        sale = json.dumps({"sale_price_mad": 90_000, "sold_at": sold_at})

        def report(part: int) -> Iterable[int]:
            connection = self.cluster.apis[part % 2].connection()
            for each in new[part::REPORTERS]:
                yield connection.request("POST", f"/valuations/{each}/outcome", sale)[0]

        with ThreadPoolExecutor(REPORTERS) as pool:
            parts = pool.map(lambda part: list(report(part)), range(REPORTERS))
            return Counter(status for part in parts for status in part)

    def sales_agree(self) -> tuple[bool, list[int]]:
        """Wait until both APIs count every sale; return whether they do, and what they count."""

        def counted() -> list[int]:
            found = [api.get("/outcomes/stats")["versions"] for api in self.cluster.apis]
            return [sum(each["outcomes"] for each in versions) for versions in found]

        return _within(AGREE_S, lambda: set(counted()) == {len(self._sold)}), counted()

    def _prices_of(self, work: Work) -> list[float]:
        """The prices of a batch, read from its results."""
        if work.id not in self._batch_prices:
            connection = self.cluster.apis[1].connection()
            _, text = connection.request("GET", f"/batches/{work.id}/results")
            rows = csv.DictReader(io.StringIO(text.decode("utf-8-sig")), delimiter=";")
            found = [float(row["price_mad"]) for row in rows if row["price_mad"]]
            self._batch_prices[work.id] = found
        return self._batch_prices[work.id]


def _sampled(work: Work) -> list[str]:
    """Those valuations of a piece of work whose sale is reported."""
    if work.verdict is not Verdict.COMPLETE:
        return []
    ids = work.audit_ids
    return ids if len(ids) <= SAMPLED_ITEMS else [ids[0], ids[len(ids) // 2], ids[-1]]


def _within(timeout_s: float, condition: Callable[[], bool]) -> bool:
    """Whether a condition becomes true in time."""
    with contextlib.suppress(AssertionError):
        wait_until(condition, timeout_s)
        return True
    return False


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
