"""The audit logs of two hosts: counted, found, verified and recorded once, whatever fails."""

import datetime as dt

import orjson
import pytest

from shared.audit.chain import day_of
from shared.audit.erasure import erase_caller
from shared.audit.hosts import copied_sums, copier
from shared.audit.hosts.identity import HOSTS_FOLDER, host_id
from shared.audit.hosts.manifests import (
    HOSTS_DOCUMENT,
    DayManifest,
    day_document,
    part_name,
)
from shared.audit.hosts.verification import verify_copies
from shared.audit.retention import remove_before
from shared.audit.verification import verify_log
from shared.domain.clock import DAY_S
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import CallerId, new_id
from shared.domain.sale import Sale, SaleReport, SaleReportKind
from shared.state.objects import StateObjects
from tests.audit_segments import segment, write_segment


def exchange(*hosts) -> None:
    """Have all hosts copy, then all of them take what others have copied."""
    for host in hosts:
        host.copy()
    for host in hosts:
        host.exchange.pull()


def test_statistics_are_those_of_all_hosts(hosts, car):
    first, second = hosts
    for price in (100.0, 300.0):
        first.answer(car, price=price)
    second.answer(car, price=200.0, caller="other")
    second.answer(car, failed=True)
    exchange(*hosts)
    found = first.figures()
    assert found == second.figures()
    assert (found["successful_predictions"], found["failed_predictions"]) == (3, 1)
    assert (found["average_price"], found["min_price"], found["max_price"]) == (200, 100, 300)
    assert first.figures(caller="other")["total_predictions"] == 1
    second.answer(car)
    exchange(*hosts)
    assert first.figures()["total_predictions"] == 5 == second.figures()["total_predictions"]


def test_two_hosts_with_the_same_name_are_told_apart_and_keep_their_ids(hosts, car):
    first, second = hosts
    exchange(*hosts)
    first.name = "renamed"
    first.restart()
    first.answer(car)
    exchange(*hosts)
    listed = orjson.loads(first.objects.read(HOSTS_DOCUMENT).content)
    assert listed == {host_id(first.folder): "renamed", host_id(second.folder): "worker"}


def test_a_segment_of_a_batch_that_two_hosts_have_is_counted_once(hosts):
    at = hosts[0].clock()
    for host in hosts:
        write_segment(host.folder, f"batch-{new_id(at)}-0", at, segment(5))
        write_segment(host.folder, "batch-same-0", at, segment(7))
    be_quiet()
    exchange(*hosts)
    assert [host.figures()["total_predictions"] for host in hosts] == [17, 17]


def be_quiet() -> None:
    """Let files count as quiet at once."""
    copied_sums.QUIET_S = -1.0


@pytest.fixture(autouse=True)
def quiet_time(monkeypatch):
    monkeypatch.setattr(copied_sums, "QUIET_S", copied_sums.QUIET_S)


def test_a_valuation_is_found_on_the_other_host(hosts, car):
    first, second = hosts
    made = [first.answer(car) for _ in range(3)]
    exchange(*hosts)
    found = second.search.find(made[1])
    assert (found["id"], found["price_mad"]) == (made[1], 100_000.0)
    assert second.search.find(new_id(second.clock() - 100)) is None


def test_a_valuation_is_found_although_clocks_differ_by_five_seconds(hosts, car):
    first, second = hosts
    second.shift_s = -5.0
    early, late = new_id(first.clock()), new_id(second.clock())
    second.answer(car, early)  # the API's clock made the id, the worker's its record
    first.answer(car, late)
    exchange(*hosts)
    for host in hosts:
        for one in (early, late):
            assert host.search.find(one)["id"] == one


def test_rows_of_a_batch_are_found_on_the_other_host(hosts):
    first, second = hosts
    batch, at = new_id(), first.clock()
    for chunk in range(5):
        lines = b"".join(
            orjson.dumps({
                "id": f"{batch}-{1 + 10 * chunk + row}", "at": at, "caller": "local",
                "status": "success", "cached": False, "price_mad": 1.0 + 10 * chunk + row,
                "model_version": "v1", "response_time_ms": 1.0,
            }) + b"\n"
            for row in range(10)
        )  # fmt: skip
        write_segment(first.folder, f"batch-{batch}-{chunk}", at, sealed(lines))
    be_quiet()
    exchange(*hosts)
    for row in (1, 10, 11, 37, 50):
        assert second.search.find(f"{batch}-{row}")["price_mad"] == row


def sealed(lines: bytes) -> bytes:
    """Lines whose last one has the hash."""
    from worker.batches.audit_segments import encode_segment  # noqa: PLC0415

    return encode_segment([orjson.loads(line) for line in lines.splitlines()])


def report_on(valuation_id, price_mad, at):
    return SaleReport(
        valuation_id=valuation_id,
        caller=CallerId("local"),
        sale=Sale(price_mad=price_mad, sold_at=dt.date(2026, 1, 2)),
        price_mad=100.0,
        low_mad=80.0,
        high_mad=125.0,
        model_version="v1",
        recorded_at=at,
    )


def test_sale_reports_of_all_hosts_are_counted_once(hosts):
    first, second = hosts
    one, two = new_id(), new_id()
    first.sales.put(report_on(one, 110.0, 10.0))
    second.sales.put(report_on(two, 90.0, 11.0))
    second.sales.put(report_on(one, 110.0, 12.0))  # at the same time as on the first
    exchange(*hosts)
    for host in hosts:
        (figures,) = host.sales.figures()
        assert (figures.outcomes, figures.corrections) == (2, 0)
    _, kind = first.sales.put(report_on(two, 90.0, 13.0))
    assert kind is SaleReportKind.REPEATED
    _, kind = first.sales.put(report_on(two, 95.0, 14.0))
    assert kind is SaleReportKind.CORRECTION
    exchange(*hosts)
    assert second.sales.get(two).sale.price_mad == 95.0
    assert [host.sales.figures()[0].corrections for host in hosts] == [1, 1]


def test_what_was_added_is_copied_and_parts_are_closed(hosts, car, monkeypatch):
    monkeypatch.setattr(copier, "PART_BYTES", 1000)
    monkeypatch.setattr(copier, "MAX_PART_BYTES", 1500)
    first, second = hosts
    for _ in range(3):
        for _ in range(4):
            first.answer(car)
        exchange(*hosts)
    first.restart()
    exchange(*hosts)
    ((_, manifest),) = second.manifests.of_day(day_of(first.clock()))
    (copy,) = manifest.files.values()
    path = first.folder / copy.name
    stored = b"".join(
        first.objects.read(part_name(first.exchange.host, copy, part)).content
        for part in copy.parts
    )
    assert len(copy.parts) > 3
    assert stored == path.read_bytes()
    report = verify_copies(second.objects, second.folder)
    assert (report.hosts, report.records, report.faults) == (2, 12, [])


def test_records_of_a_killed_process_are_copied(hosts, car):
    first, second = hosts
    first.answer(car)
    first.log.flush()
    made = first.answer(car)  # killed before its next checkpoint
    first.restart()
    be_quiet()
    exchange(*hosts)
    assert second.figures()["total_predictions"] == 2
    assert second.search.find(made)["id"] == made


def test_an_unreachable_store_delays_the_copy(hosts, car):
    first, _ = hosts
    first.answer(car)
    exchange(*hosts)
    working = first.objects
    first.objects = StateObjects("s3://nowhere/state", "http://127.0.0.1:9")
    first.restart()
    first.answer(car)
    with pytest.raises(OSError, match="state store"):
        first.copy()
    assert first.figures()["total_predictions"] == 2
    first.objects = working
    first.restart()
    first.answer(car)
    exchange(*hosts)
    assert [host.figures()["total_predictions"] for host in hosts] == [2 + 1] * 2


def test_a_copy_that_fails_in_between_is_repeated(hosts, car, monkeypatch):
    first, second = hosts
    first.answer(car)
    exchange(*hosts)
    first.answer(car)
    with monkeypatch.context() as patch:
        patch.setattr(StateObjects, "replace", refusing)
        with pytest.raises(OSError, match="refused"):
            first.copy()
    first.answer(car)
    exchange(*hosts)
    ((_, manifest),) = second.manifests.of_day(day_of(first.clock()))
    assert [file.generation for file in manifest.files.values()] == [0]
    assert verify_copies(second.objects, second.folder).faults == []
    assert second.figures()["total_predictions"] == 3


def refusing(*_: object) -> None:
    raise OSError("refused")


def test_changed_copies_are_found(hosts, car):
    first, second = hosts
    for _ in range(3):
        first.answer(car)
    exchange(*hosts)
    day = day_of(first.clock())
    name = day_document(first.exchange.host, day)
    manifest = DayManifest.decode(first.objects.read(name).content)
    (copy,) = manifest.files.values()
    part = part_name(first.exchange.host, copy, copy.parts[0])
    content = first.objects.read(part).content
    first.objects.write(part, content.replace(b"100000.0", b"999999.0", 1))
    (fault,) = verify_copies(second.objects, second.folder).faults
    assert f"{copy.name}: a line after line 0 was changed" in fault
    first.objects.delete([part])
    (fault,) = verify_copies(second.objects, second.folder).faults
    assert "is missing" in fault
    first.objects.write(part, content)
    copy.head = "0" * 64
    first.objects.write(name, manifest.encode())
    faults = verify_copies(second.objects, second.folder).faults
    assert any("the manifest of" in fault for fault in faults)
    assert any("not that of the log" in one for one in verify_copies(
        first.objects, first.folder).faults)  # fmt: skip


def test_deleted_days_leave_the_store(hosts, car):
    first, second = hosts
    first.answer(car)
    first.sales.put(report_on(new_id(), 110.0, 10.0))
    exchange(*hosts)
    assert second.sales.figures()
    first.log.close()
    first.sales.close()
    first.log.flush()
    assert remove_before(first.folder, "9999-01-01", first.checkpoints) == 2
    exchange(*hosts)
    assert second.figures()["total_predictions"] == 0
    assert second.sales.figures() == []
    assert list((second.folder / HOSTS_FOLDER / first.exchange.host).iterdir()) == []


def test_records_of_a_deleted_caller_leave_the_store(hosts, car):
    first, second = hosts
    first.shift_s = -2 * DAY_S
    first.restart()
    for caller in ("kept", "gone", "kept"):
        first.answer(car, caller=caller)
    first.copy()
    first.log.close()
    second.exchange.pull()
    day = day_of(first.clock())
    ((_, before),) = second.manifests.of_day(day)
    assert erase_caller(first.folder, "gone", day_of(second.clock()), first.checkpoints) == 1
    be_quiet()
    first.restart()
    exchange(*hosts)
    ((_, after),) = second.manifests.of_day(day)
    (copy,) = after.files.values()
    assert copy.sums.keys() == {"kept"}
    assert copy.sums["kept"].successes == 2
    (old,) = before.files.values()
    stored = [first.objects.read(part_name(first.exchange.host, old, one)) for one in old.parts]
    assert stored == [None]
    assert verify_copies(second.objects, second.folder).faults == []


def test_a_folder_that_is_not_mounted_deletes_no_copies(hosts, car):
    first, second = hosts
    first.answer(car)
    exchange(*hosts)
    aside = first.folder.rename(first.folder.with_name("aside"))
    first.folder.mkdir()
    with pytest.raises(OSError, match="is not the audit log"):
        first.exchange.copy()
    first.folder.rmdir()
    aside.rename(first.folder)
    exchange(*hosts)
    assert second.figures()["total_predictions"] == 1


# Recorded once


def test_a_host_that_is_alive_says_what_it_has_recorded(hosts, car):
    first, second = hosts
    made, never = first.answer(car), new_id()
    with first.answering():
        first.sign()
        assert second.records.recorded({made, never}) == {made}
        write_segment(first.folder, "batch-x-0", first.clock(), segment(1))
        name = f"predictions_{day_of(first.clock())}.batch-x-0.jsonl"
        assert second.records.with_files([name, "predictions_2026-01-01.b.jsonl"]) == {name}


def test_a_host_that_is_alive_and_silent_is_waited_for(hosts, monkeypatch):
    first, second = hosts
    first.sign()
    ask = second.records._questions.ask
    monkeypatch.setattr(
        second.records._questions, "ask", lambda wanted, known: ask(wanted, known, 0.1)
    )
    with pytest.raises(AuditUnavailable) as failure:
        second.records.recorded({new_id()})
    assert first.exchange.host in failure.value.params["reason"]


def test_copies_of_a_dead_host_count(hosts, car):
    first, second = hosts
    made = first.answer(car)
    exchange(*hosts)
    assert second.records.recorded({made, new_id()}) == {made}


def test_what_a_dead_host_had_recorded_is_counted_once_when_it_comes_back(hosts, car):
    first, second = hosts
    exchange(*hosts)
    made, other = first.answer(car, price=50.0), first.answer(car, price=70.0)
    # It dies before it has copied them; the message comes to the second host.
    assert second.records.recorded({made}) == set()
    second.answer(car, made, price=50.0)
    exchange(second)
    assert second.figures()["total_predictions"] == 1
    first.restart()
    be_quiet()
    exchange(*hosts)
    exchange(*hosts)
    for host in hosts:
        found = host.figures()
        assert (found["total_predictions"], found["average_price"]) == (2, 60.0)
        assert host.search.find(other)["id"] == other
    assert verify_copies(second.objects, second.folder).faults == []
    report = verify_log(
        first.folder, first.settings.checkpoints_folder, first.settings.checkpoint_key_file
    )
    assert report.faults == []
