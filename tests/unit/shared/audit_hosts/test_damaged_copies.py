"""Copies of audit logs that are damaged: in the store, and on the disk of a host."""

import pytest

from shared.audit.chain import day_of
from shared.audit.columns.hosts import HostColumns
from shared.audit.columns.selection import Selection
from shared.audit.hosts.identity import HOSTS_FOLDER
from shared.audit.hosts.manifests import day_document, days_document
from shared.audit.hosts.verification import verify_copies
from shared.domain.ids import new_id
from tests.audit_hosts import Host
from tests.unit.shared.audit_hosts.test_two_hosts import exchange, report_on


@pytest.mark.parametrize("document", [day_document, lambda host, _: days_document(host)])
def test_a_damaged_document_of_one_host_does_not_hide_the_others(
    hosts, car, tmp_path, servers, document
):
    first, second = sorted(hosts, key=lambda host: host.exchange.host)
    reader = Host(tmp_path / "reader", first.objects, servers.broker, "reader")
    first.answer(car)
    exchange(first)
    name = document(first.exchange.host, day_of(first.clock()))
    intact = first.objects.read(name).content
    first.objects.write(name, intact[: len(intact) // 2])
    second.answer(car)
    second.copy()
    with pytest.raises(OSError, match="cannot be read"):
        reader.exchange.pull()
    assert reader.figures()["total_predictions"] == 1, "that of the intact host"
    first.objects.write(name, intact)
    reader.exchange.pull()
    assert reader.figures()["total_predictions"] == 2


def zeroed_end(content: bytes) -> bytes:
    """What a power failure leaves of blocks that were not written."""
    return content[:-40] + bytes(40)


def zeroed_and_cut(content: bytes) -> bytes:
    """The same, of a file that has grown since."""
    return content[: len(content) // 3] + bytes(40)


@pytest.mark.parametrize("damage", [zeroed_end, zeroed_and_cut])
def test_damaged_copies_of_sale_reports_are_replaced_at_the_next_start(hosts, damage):
    first, second = hosts
    for number in range(3):
        first.sales.put(report_on(new_id(), 100.0 + number, 10.0))
    exchange(*hosts)
    (path,) = (second.folder / HOSTS_FOLDER / first.exchange.host).glob("outcomes_*.jsonl")
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    second.restart()
    exchange(*hosts)
    assert path.read_bytes() == intact
    assert second.sales.figures()[0].outcomes == 3


@pytest.mark.parametrize("document", [day_document, lambda host, _: days_document(host)])
@pytest.mark.parametrize("damaged", [0, 1])
def test_queries_and_verification_go_on_past_a_damaged_document(
    hosts, car, tmp_path, document, damaged
):
    in_order = sorted(hosts, key=lambda host: host.exchange.host)
    for host in in_order:
        host.answer(car)
        exchange(host)
    objects, bad = in_order[0].objects, in_order[damaged]
    name = document(bad.exchange.host, day_of(bad.clock()))
    content = objects.read(name).content
    objects.write(name, content[: len(content) // 2])
    report = verify_copies(objects, tmp_path)
    assert (report.hosts, report.records) == (2, 1)
    assert [bad.exchange.host in fault for fault in report.faults] == [True]
    columns = HostColumns(objects, tmp_path, ())
    found = list(columns.read(Selection(), ["id"]))
    assert sum(table.num_rows for table in found) == 1
    assert [bad.exchange.host in fault for fault in columns.faults] == [True]
