"""Sale reports are recorded once, and corrections replace them in the statistics."""

import contextlib
import dataclasses
import datetime as dt
import json
import sqlite3
import threading
from collections import Counter

import pytest
from click.testing import CliRunner

from api.sales.log import SaleReportLog
from cli.audit.commands import audit
from shared.audit.chain import OUTCOMES_PREFIX
from shared.audit.log import AuditLog
from shared.audit.sales_index import SALES_INDEX
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import CallerId, new_id
from shared.domain.sale import Sale, SaleReport, SaleReportKind

NOW = 1_800_000_000.0


@pytest.fixture
def log(tmp_path):
    return SaleReportLog(tmp_path, "api-1", lambda: NOW)


def outcome_of(price_mad, *, version="v1", valuation_id=None, at=NOW, caller="me"):
    return SaleReport(
        valuation_id=valuation_id or new_id(),
        caller=CallerId(caller),
        sale=Sale(price_mad=price_mad, sold_at=dt.date(2026, 1, 2)),
        price_mad=100.0,
        low_mad=80.0,
        high_mad=125.0,
        model_version=version,
        recorded_at=at,
    )


def lines(folder):
    return [
        json.loads(line)
        for path in sorted(folder.glob("outcomes_*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_the_same_sale_is_recorded_once(log, tmp_path):
    outcome = outcome_of(90.0)
    assert log.put(outcome) == (outcome, SaleReportKind.NEW)
    assert log.put(dataclasses.replace(outcome, recorded_at=NOW + 9)) == (
        outcome, SaleReportKind.REPEATED,
    )  # fmt: skip
    assert log.get(outcome.valuation_id) == outcome
    assert log.get(new_id()) is None
    assert len(lines(tmp_path)) == 1


def test_a_line_whose_writer_died_before_the_index_is_known_to_the_next(log, tmp_path):
    died, first = outcome_of(90.0), outcome_of(70.0)
    log.put(first)
    AuditLog(tmp_path, "api-2", lambda: NOW, OUTCOMES_PREFIX).append([died])
    cut = tmp_path / "outcomes_2027-01-15.api-3.jsonl"
    cut.write_bytes(b'{"id": "half a li')
    assert log.put(dataclasses.replace(died, recorded_at=NOW + 9)) == (
        died,
        SaleReportKind.REPEATED,
    )
    assert log.get(died.valuation_id) == died
    assert log.put(first) == (first, SaleReportKind.REPEATED)
    cut.unlink()
    assert len(lines(tmp_path)) == 2


def test_an_index_of_another_version_is_rebuilt(log, tmp_path):
    outcome = outcome_of(90.0)
    log.put(outcome)
    with contextlib.closing(sqlite3.connect(tmp_path / SALES_INDEX)) as index:
        index.execute("DROP TABLE files")
        index.execute("PRAGMA user_version = 1")
    assert log.put(outcome) == (outcome, SaleReportKind.REPEATED)


def test_another_sale_is_a_correction_and_both_stay_in_the_log(log, tmp_path):
    first = outcome_of(90.0)
    second = dataclasses.replace(first, sale=dataclasses.replace(first.sale, price_mad=95.0))
    log.put(first)
    stored, kind = log.put(second)
    assert (kind, stored.is_correction) == (SaleReportKind.CORRECTION, True)
    assert log.get(first.valuation_id) == stored
    assert [(line["sale_price_mad"], line["is_correction"]) for line in lines(tmp_path)] == [
        (90.0, False), (95.0, True),
    ]  # fmt: skip


def test_the_figures_count_the_last_report(log):
    for price in (80.0, 125.0, 200.0):
        log.put(outcome_of(price))
    wrong = outcome_of(1.0)
    log.put(wrong)
    log.put(dataclasses.replace(wrong, sale=dataclasses.replace(wrong.sale, price_mad=100.0)))
    log.put(outcome_of(50.0, version="v2"))
    newest, first = log.figures()
    assert (newest.model_version, newest.outcomes, newest.median_ape) == ("v2", 1, 1.0)
    assert (first.outcomes, first.corrections, first.coverage_90) == (4, 1, 0.75)
    assert first.median_ape == pytest.approx((0.2 + 0.25) / 2)
    assert first.mean_ratio == pytest.approx((0.8 + 1.25 + 2.0 + 1.0) / 4)


def test_the_figures_of_a_caller_have_its_own_sales_alone(log):
    for price in (80.0, 125.0):
        log.put(outcome_of(price))
    log.put(outcome_of(1.0, caller="other"))
    log.put(outcome_of(50.0, caller="other", version="v2"))
    (own,) = log.figures(CallerId("me"))
    assert (own.model_version, own.outcomes) == ("v1", 2)
    assert own.median_ape == pytest.approx((0.25 + 0.2) / 2)
    assert own.mean_ratio == pytest.approx((0.8 + 1.25) / 2)
    assert log.figures(CallerId("nobody")) == []
    assert [each.outcomes for each in log.figures()] == [1, 3]


def test_a_lost_index_is_rebuilt_from_the_log(log, tmp_path):
    first = outcome_of(90.0)
    log.put(first)
    corrected, _ = log.put(
        dataclasses.replace(
            first, sale=dataclasses.replace(first.sale, price_mad=95.0), recorded_at=NOW + 1
        )
    )
    figures = log.figures()
    (tmp_path / SALES_INDEX).unlink()
    again = SaleReportLog(tmp_path, "api-2", lambda: NOW)
    assert again.get(first.valuation_id) == corrected
    assert again.figures() == figures


def test_concurrent_equal_reports_are_recorded_once(tmp_path):
    outcome = outcome_of(90.0)
    kinds = []
    logs = [SaleReportLog(tmp_path, f"api-{n}", lambda: NOW) for n in range(4)]
    threads = [
        threading.Thread(target=lambda log=log: kinds.append(log.put(outcome)[1])) for log in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kinds) == [SaleReportKind.NEW] + [SaleReportKind.REPEATED] * 3
    assert len(lines(tmp_path)) == 1


def test_the_lines_are_part_of_what_is_verified(log, tmp_path):
    log.put(outcome_of(90.0))
    log.put(outcome_of(91.0))
    verify = ["verify", "--folder", str(tmp_path)]
    assert CliRunner().invoke(audit, verify).stdout.startswith("2 records in 1 files are whole")
    (path,) = tmp_path.glob("outcomes_*.jsonl")
    path.write_text(path.read_text().replace("90.0", "99.0"))
    assert CliRunner().invoke(audit, verify).exit_code == 1


def test_a_failing_disk_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditUnavailable):
        SaleReportLog(tmp_path / "file", "api-1", lambda: NOW).put(outcome_of(90.0))


def test_after_a_clock_was_set_reports_are_in_the_file_of_their_day(tmp_path):
    """A clock that is a day ahead for a while; what passes meanwhile is no time at all."""
    now = [NOW]
    log = SaleReportLog(tmp_path, "api-1", lambda: now[0], monotonic=lambda: 0.0)
    for at in (NOW, NOW + 86_400, NOW + 1):
        now[0] = at
        log.put(outcome_of(90.0, at=at))
    today = dt.datetime.fromtimestamp(NOW, dt.UTC).date()
    ahead = today + dt.timedelta(days=1)
    counts = Counter(
        path.name.split("_")[1][:10]
        for path in tmp_path.glob("outcomes_*.jsonl")
        for _ in path.read_text().splitlines()
    )
    assert counts == {today.isoformat(): 2, ahead.isoformat(): 1}
