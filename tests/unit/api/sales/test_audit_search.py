"""Audit records are found by id, in any file, without reading the whole log."""

import json
import time

import pytest

from api.sales.audit_search import ANSWER_WINDOW_S, JOB_WINDOW_S, AuditSearch
from shared.audit.chain import day_of, file_name
from shared.audit.log import AuditLog
from shared.audit.verification import verify_log
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


def write_all(log, *lines):
    """Write lines to an open log."""
    log.append(lines)


class Clocks:
    """The time of day, which a test sets, and a clock that is never set."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.set_by_s = 0.0

    def now(self):
        return NOON + self.elapsed_s + self.set_by_s

    def monotonic(self):
        return self.elapsed_s


def record_across_steps(folder, steps_s):
    """Records every second, some of an id made a moment before the clock is set; all lines."""
    clocks = Clocks()
    log = AuditLog(folder, "api-1", clocks.now, monotonic=clocks.monotonic)
    lines = []

    def record(count, made_at=None):
        for _ in range(count):
            clocks.elapsed_s += 1.0
            at = clocks.now()
            lines.append(Line(new_id(made_at or at - 0.01), at))
            log.append(lines[-1:])

    record(200)
    for step_s in steps_s:
        made_at = clocks.now()
        clocks.set_by_s += step_s
        record(3, made_at)
        record(200)
    log.close()
    return lines


@pytest.mark.parametrize(
    "steps_s",
    [(-3600,), (3600,), (-3600, 3600), (-20,), (5,), (-5 * 86_400,), (5 * 86_400, -5 * 86_400)],
)
def test_every_record_is_found_although_the_clock_was_set(tmp_path, steps_s):
    lines = record_across_steps(tmp_path, steps_s)
    search = AuditSearch(tmp_path)
    missing = [number for number, line in enumerate(lines) if not search.find(line.record["id"])]
    assert missing == []
    assert not verify_log(tmp_path).faults


def test_a_record_on_its_way_while_the_clock_is_set_twice_is_found(tmp_path):
    clocks = Clocks()
    log = AuditLog(tmp_path, "worker-1", clocks.now, monotonic=clocks.monotonic)
    line = Line(new_id(clocks.now()), NOON)
    for step_s in (-7200, 300):
        clocks.elapsed_s += 1.0
        clocks.set_by_s += step_s
        log.append(lines_of(1, clocks.now()))
    write_all(log, line)
    assert AuditSearch(tmp_path).find(line.record["id"])


def test_a_record_of_a_process_that_saw_the_step_later_is_found(tmp_path):
    clocks = Clocks()
    log = AuditLog(tmp_path, "worker-1", clocks.now, monotonic=clocks.monotonic)
    log.append(lines_of(50))
    clocks.elapsed_s = 60.0
    line = Line(new_id(NOON + 60 - 3600), NOON + 65)
    write_all(log, *lines_of(3, NOON + 62), line)
    clocks.set_by_s = -3600.0
    log.append(lines_of(50, clocks.now()))
    assert AuditSearch(tmp_path).find(line.record["id"])
