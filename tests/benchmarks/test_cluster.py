"""The cluster test finds what it looks for."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cluster import accounts as accounts_module
from benchmarks.cluster import run as run_module
from benchmarks.cluster.accounts import Accounts, Figures
from benchmarks.cluster.run import QUICK, Run, carry_out
from benchmarks.cluster.table import TARGETS, Line, Table, write
from benchmarks.faults.load import answers_of, car
from benchmarks.faults.work import Verdict
from tests.conftest import short_folder

NAMES = ("api1", "api2", "worker1", "worker2")
PRICES = (10.0, 20.0)


@dataclass
class Host:
    """A host with a log, whose API says what a test gives."""

    seen_home: Path
    stats: dict[str, Any]
    sales: int = 0
    status: int = 201

    def get(self, path: str) -> Any:
        if path.startswith("/outcomes"):
            return {"versions": [{"outcomes": self.sales}]}
        return self.stats

    def connection(self) -> "Host":
        return self

    def request(self, _method: str, _path: str, _body: object = None) -> tuple[int, bytes]:
        return self.status, b"{}"

    def verify_audit(self) -> tuple[int, dict[str, Any]]:
        return 0, {"copies": {"hosts": len(NAMES), "faults": []}}

    def log(self, *records: str) -> None:
        with (self.seen_home / "audit" / "predictions_x.api.jsonl").open("a") as file:
            file.writelines(json.dumps({"id": each}) + "\n" for each in records)


class Cluster:
    """Hosts in folders."""

    def __init__(self, folder: Path) -> None:
        self.hosts = []
        for name in NAMES:
            (folder / name / "audit").mkdir(parents=True)
            self.hosts.append(Host(folder / name, stats(*PRICES), len(PRICES)))
        self.apis = self.hosts[:2]

    def await_complete(self) -> None:
        pass


def stats(*prices: float) -> dict[str, Any]:
    return {
        "total_predictions": len(prices),
        "successful_predictions": len(prices),
        "min_price": min(prices),
        "max_price": max(prices),
        "average_price": sum(prices) / len(prices),
    }


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "AGREE_S", 0.2)
    monkeypatch.setattr(run_module, "VERIFY_S", 0.2)


@pytest.fixture
def run() -> Iterator[Run]:
    """Two answered cars, recorded on different hosts."""
    with short_folder() as folder:
        cluster: Any = Cluster(folder)
        accounts = Accounts(cluster)
        for number, price in enumerate(PRICES):
            work = accounts.ledger.answer(f"car{number}", time.time(), is_cached=False)
            work.answers = answers_of([car(number)], [price])
            cluster.hosts[number + 1].log(f"car{number}")
        yield Run(cluster, accounts, Table(lambda _: None), QUICK)


def broken(run: Run) -> list[str]:
    run.check_work()
    return [line.name for line in run.table.lines if line.is_kept is False]


def test_what_is_well_breaks_no_line(run: Run) -> None:
    assert broken(run) == []
    assert run.table.is_kept


@pytest.mark.parametrize(
    ("records", "is_found"),
    [((3, "car0"), True), ((2, "unknown"), True), ((1, ""), False)],
    ids=["on two hosts", "that nobody was given", "nothing"],
)
def test_records_are_compared_across_hosts(
    run: Run, records: tuple[int, str], *, is_found: bool
) -> None:
    host, record = records
    if record:
        run.cluster.hosts[host].log(record)  # type: ignore[attr-defined]
    name = "each answer recorded exactly once across hosts"
    assert (name in broken(run)) is is_found


def test_a_missing_record_is_found(run: Run) -> None:
    work = run.accounts.ledger.answer("car9", time.time(), is_cached=False)
    work.answers = answers_of([car(9)], [15.0])
    assert "each answer recorded exactly once across hosts" in broken(run)


@pytest.mark.parametrize("prices", [(10.0,), (10.0, 30.0), (10.0, 20.0, 15.0)])
def test_statistics_that_differ_from_the_answers_are_found(
    run: Run, prices: tuple[float, ...]
) -> None:
    run.cluster.apis[1].stats = stats(*prices)  # type: ignore[attr-defined]
    assert broken(run) == ["statistics equal on both APIs, and to the answers"]


def test_equal_statistics_that_are_not_those_of_the_answers_are_found(run: Run) -> None:
    for api in run.cluster.apis:
        api.stats = stats(10.0, 20.0, 15.0)  # type: ignore[attr-defined]
    assert broken(run) == ["statistics equal on both APIs, and to the answers"]


def test_a_refused_sale_report_is_found(run: Run) -> None:
    run.cluster.apis[0].status = 404  # type: ignore[attr-defined]
    assert broken(run) == ["every sale is accepted by the other API"]


def test_lost_work_is_found(run: Run) -> None:
    run.accounts.ledger.works[0].verdict = Verdict.LOST
    assert "accepted work ends with its answer" in broken(run)


def test_a_check_that_fails_is_a_broken_line_and_ends_no_other(run: Run) -> None:
    def fails(_: Run) -> None:
        raise RuntimeError("no host")

    def passes(run: Run) -> None:
        run.table.add("a guarantee", "goal", "seen", is_kept=True)

    carry_out(run, [("first", fails), ("second", passes)])
    assert [(line.check, line.is_kept) for line in run.table.lines] == [
        ("first", False),
        ("second", True),
    ]
    assert not run.table.is_kept


def test_a_run_without_lines_is_not_well() -> None:
    assert not Table(lambda _: None).is_kept


def test_the_report_names_what_is_broken(tmp_path: Path) -> None:
    lines = [
        Line("disk", "served", "all", "some | none", is_kept=False),
        Line("net", "cut", "503", "no namespaces", is_kept=None),
    ]
    facts = {
        "command": "x",
        "machine": {"cores": 2, "processor": "p"},
        "places": "loopback addresses",
        "seconds": 1.0,
    }
    text = write(tmp_path, lines, facts)
    assert "Guarantees looked at: 1; broken: disk: served." in text
    assert "| disk | served | all | some / none | BROKEN |" in text
    assert "| net | cut | 503 | no namespaces | left out |" in text
    assert json.loads((tmp_path / "cluster.json").read_text())["lines"][0]["is_kept"] is False
    assert (tmp_path / "cluster.md").read_text() == text


def test_means_may_differ_by_their_rounding_only() -> None:
    figures = Figures.of([1.0, 2.0, 2.0])
    assert figures.equal(stats(1.0, 2.0, 2.0))
    assert not figures.equal(stats(1.0, 2.0, 2.0) | {"average_price": 1.7})


def test_the_table_has_a_row_for_each_target() -> None:
    lines = [
        Line("models", "activation is effective on every API", "3 s", "after 1.0 s", is_kept=True),
        Line("models", "roll-back is effective on every API", "3 s", "after 8.0 s", is_kept=False),
        Line("clocks 5 s apart", "each answer recorded once", "0", "0 missing", is_kept=True),
        Line("names", "two hosts with the same name", "ids", "no namespaces", is_kept=None),
    ]
    rows = "".join(target.row(lines) for target in TARGETS).splitlines()
    for row in (
        "| an activation is effective everywhere within 3 s | after 1.0 s | kept |",
        "| a roll-back is effective everywhere within 3 s | after 8.0 s | BROKEN |",
        "| each answer is recorded exactly once across hosts | 0 missing | kept |",
        "| clocks 5 s apart | 0 missing | kept |",
        "| two hosts with the same name | no namespaces | left out |",
        "| the loss without `WAIT` | see ADR 131 | |",
        "| a full disk on one host | | not looked at |",
    ):
        assert row in rows
    assert len(rows) == len(TARGETS), "what no check has looked at is not left out"
