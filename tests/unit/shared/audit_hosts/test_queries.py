"""`carprice audit query` on one of two hosts finds the records of both, each once."""

import json

import pytest
from click.testing import CliRunner

from cli.audit.commands import audit
from shared.audit.erasure import erase_caller
from shared.audit.hosts import copied_sums
from shared.audit.hosts.manifests import DayManifest, day_document, part_name
from shared.audit.hosts.takeovers import note_takeover
from shared.domain.clock import DAY_S
from tests.audit_queries import segment_of
from tests.audit_segments import write_segment
from tests.unit.shared.audit_hosts.test_two_hosts import exchange


@pytest.fixture
def query(hosts, monkeypatch):
    """Run the command on the first host."""
    host = hosts[0]
    monkeypatch.setattr("cli.audit.query_run.StateObjects.of", lambda _settings: host.objects)

    def run(*arguments):
        return CliRunner().invoke(
            audit,
            ["query", "--json", *arguments],
            env={"CARPRICE_HOME": str(host.settings.home), "AUDIT_PATH": ""},
            catch_exceptions=False,
        )

    return run


def rows(done):
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_records_of_all_hosts_are_found(hosts, car, query):
    first, second = hosts
    first.answer(car, caller="garage")
    far = second.answer(car, caller="garage", price=200.0)
    exchange(*hosts)
    assert len(rows(query("--caller", "garage"))) == 2
    (row,) = rows(query("--id", far))
    assert row["price_mad"] == 200.0
    assert row["file"].startswith(second.exchange.host)
    (group,) = rows(query("--group-by", "caller", "--mean", "price_mad"))
    assert (group["records"], group["mean_price_mad"]) == (2, 50_100.0)


def test_a_segment_that_two_hosts_have_is_found_once(hosts, query):
    at = hosts[0].clock()
    for host in hosts:
        write_segment(host.folder, "batch-same-0", at, segment_of("same", 7))
        host.checkpoints.list_files(list(host.folder.glob("*.jsonl")))
    exchange(*hosts)
    assert len(rows(query())) == 7


@pytest.mark.parametrize("asked", ["that came back", "that is alive"])
def test_a_record_that_another_host_had_to_write_is_counted_once(hosts, car, query, asked):
    first, second = hosts
    silent, other = (first, second) if asked == "that came back" else (second, first)
    first.answer(car)
    second.answer(car)
    exchange(*hosts)
    made = silent.answer(car)
    other.answer(car, made)
    note_takeover(first.objects, silent.exchange.host, {made}, other.exchange.host)
    silent.log.flush()  # its checkpoint, which a thread writes otherwise
    silent.restart()
    exchange(*hosts)
    exchange(*hosts)
    assert len(rows(query("--id", made))) == 1
    assert len(rows(query())) == 3
    assert [host.figures()["total_predictions"] for host in hosts] == [3, 3]


def test_records_that_a_host_deleted_are_found_nowhere(hosts, car, query, monkeypatch):
    first, second = hosts
    first.answer(car)
    second.shift_s = -DAY_S
    second.restart()
    second.answer(car, caller="gone")
    second.answer(car, caller="stays")
    exchange(*hosts)
    assert len(rows(query("--caller", "gone"))) == 1
    second.log.close()
    erase_caller(second.folder, "gone", "9999-01-01", second.checkpoints)
    monkeypatch.setattr(copied_sums, "QUIET_S", -1.0)
    second.restart()
    exchange(*hosts)
    assert rows(query("--caller", "gone")) == []
    assert len(rows(query("--caller", "stays"))) == 1


def test_a_changed_copy_is_reported_and_not_counted(hosts, car, query):
    first, second = hosts
    first.answer(car)
    second.answer(car)
    exchange(*hosts)
    host, objects = second.exchange.host, second.objects
    day = json.loads(objects.read(f"audit/{host}/days.json").content).popitem()[0]
    manifest = DayManifest.decode(objects.read(day_document(host, day)).content)
    (copy,) = manifest.files.values()
    name = part_name(host, copy, copy.parts[0])
    objects.write(name, objects.read(name).content.replace(b"100000.0", b"900000.0"))
    done = query()
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 1)
    assert f"({host}): {copy.name}: a line after line 0 was changed" in done.stderr
