"""Audit records are found by id, in any file, without reading the whole log."""

import json
import time

import pytest

from api.sales.audit_search import ANSWER_WINDOW_S, JOB_WINDOW_S, AuditSearch
from shared.audit.chain import day_of, file_name
from shared.audit.log import AuditLog
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import new_id
from tests.audit_segments import write_segment
from worker.batches.audit_segments import encode_segment

NOON = 1_800_000_000.0


class Line:
    """A record with as much as the search needs."""

    def __init__(self, valuation_id, at):
        self.record = {"id": valuation_id, "at": at, "caller": "me", "price_mad": at}

    def to_json(self):
        return dict(self.record)


def write(folder, lines, writer="api-1"):
    """Write lines as a process would that lives at the time of the first one."""
    log = AuditLog(folder, writer, lambda: lines[0].record["at"])
    log.append(lines)
    log.close()


def lines_of(count, start=NOON, step_s=1.0):
    return [Line(new_id(start + n * step_s), start + n * step_s + 0.01) for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_every_record_of_a_file_is_found(tmp_path, count):
    lines = lines_of(count)
    write(tmp_path, lines)
    search = AuditSearch(tmp_path)
    for line in lines[:: max(1, count // 50)] + lines[-1:]:
        found = search.find(line.record["id"]) or {}
        assert {name: found.get(name) for name in line.record} == line.record


def test_a_record_is_found_in_the_file_of_any_process(tmp_path):
    lines = [lines_of(20), lines_of(20), lines_of(20)]
    for number, each in enumerate(lines):
        write(tmp_path, each, f"worker-{number}")
    search = AuditSearch(tmp_path)
    assert all(search.find(each[7].record["id"]) for each in lines)


def test_an_unknown_id_is_not_found(tmp_path):
    write(tmp_path, lines_of(100))
    search = AuditSearch(tmp_path)
    assert search.find(new_id(NOON + 50)) is None
    assert search.find(new_id(NOON - 86_400 * 3)) is None
    assert AuditSearch(tmp_path / "nothing").find(new_id(NOON)) is None


def test_an_answer_after_midnight_is_in_the_next_days_file(tmp_path):
    midnight = 86_400 * (NOON // 86_400 + 1)
    line = Line(new_id(midnight - 1), midnight + 1)
    write(tmp_path, [line])
    assert (tmp_path / file_name(day_of(midnight), "api-1")).exists()
    assert AuditSearch(tmp_path).find(line.record["id"])


def test_a_job_that_ended_late_is_found_where_it_ended(tmp_path):
    late = Line(new_id(NOON), NOON + 3 * JOB_WINDOW_S)
    between = lines_of(20, NOON + 2 * JOB_WINDOW_S)
    write(tmp_path, [*lines_of(100), *between, late])
    search = AuditSearch(tmp_path)
    assert search.find(late.record["id"]) is None
    assert search.find(late.record["id"], ended_at=NOON + 3 * JOB_WINDOW_S + 0.2)


def test_a_job_recorded_minutes_later_is_found_without_its_end(tmp_path):
    late = Line(f"{new_id(NOON)}-3", NOON + 10 * ANSWER_WINDOW_S)
    write(tmp_path, [*lines_of(100), late])
    assert AuditSearch(tmp_path).find(late.record["id"])


def test_a_row_of_a_batch_is_found_in_its_chunk(tmp_path):
    batch_id = new_id(NOON)
    for chunk, rows in enumerate(((1, 2, 4), (7, 8), (9,))):
        records = [{"id": f"{batch_id}-{row}", "at": NOON, "price_mad": row} for row in rows]
        write_segment(tmp_path, f"batch-{batch_id}-{chunk}", NOON, encode_segment(records))
    search = AuditSearch(tmp_path)
    for row in (1, 4, 7, 8, 9):
        found = search.find(f"{batch_id}-{row}") or {}
        assert found.get("price_mad") == row
    for row in (0, 3, 5, 10):
        assert search.find(f"{batch_id}-{row}") is None


def test_files_added_later_are_found(tmp_path):
    search = AuditSearch(tmp_path)
    first, second = lines_of(1), lines_of(1, NOON + 1)
    write(tmp_path, first, "one")
    assert search.find(first[0].record["id"])
    time.sleep(0.02)
    write(tmp_path, second, "two")
    assert search.find(second[0].record["id"])


def test_an_incomplete_line_is_ignored(tmp_path):
    lines = lines_of(50)
    write(tmp_path, lines)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps({"id": new_id(NOON + 51)}).encode()[:20])
    assert AuditSearch(tmp_path).find(lines[-1].record["id"])
    path.write_bytes(whole[:-5])
    assert AuditSearch(tmp_path).find(lines[-1].record["id"]) is None
    path.write_bytes(b"")
    assert AuditSearch(tmp_path).find(lines[-1].record["id"]) is None


def test_a_log_that_cannot_be_read_is_an_outage(tmp_path):
    lines = lines_of(3)
    write(tmp_path, lines)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditUnavailable):
        AuditSearch(tmp_path).find(lines[0].record["id"])
