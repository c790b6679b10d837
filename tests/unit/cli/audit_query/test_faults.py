"""A query says which records are not proven, and never counts them; columns are never believed."""

import os
import shutil
import threading

import pytest

from shared.audit.chain import GENESIS_HASH, chain, file_name
from shared.audit.checkpoints import checkpoint_path
from shared.audit.columns.parts import Part
from shared.audit.erasure import erase_caller
from shared.audit.retention import remove_before
from shared.audit.signing import read_key
from tests.audit_queries import DAY, Log, found, query
from tests.audit_segments import audit_record


@pytest.fixture
def log(tmp_path, car, monkeypatch):
    """Three files of answers and a batch; files are never taken for those of a new process."""
    monkeypatch.setattr("shared.audit.verification.OPENING_S", -1.0)
    log = Log(tmp_path)
    log.write(car, 4, "one")
    log.write(car, 5, "two", caller="garage")
    log.write_batch("b", 6)
    return log


ONE = file_name(DAY, "one")
BATCH = file_name(DAY, "batch-b-0")


def edited(lines):
    return [lines[0], lines[1].replace(b"100000.0", b"900000.0"), *lines[2:]]


def rechained(lines):
    """Other records with a valid chain."""
    bodies = [line[: line.index(b',"prev"')].replace(b"100000", b"900000") + b"}" for line in lines]
    return [chain(bodies, GENESIS_HASH)[0]]


FAULTS = [
    (ONE, edited, "line 2 was changed"),
    (ONE, lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 was changed"),
    (ONE, lambda lines: lines[:-1], "the end is missing"),
    (ONE, lambda lines: [*lines[:-1], lines[-1][:-9]], "the end is missing"),
    (ONE, lambda lines: [*lines, lines[-1][:30]], "line 5 is torn"),
    (ONE, lambda lines: [*lines, b"\0\0\0\n"], "line 5 was changed"),
    (ONE, rechained, "the chain computed again"),
    (ONE, lambda _lines: [], "the end is missing"),
    (BATCH, lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "from 1 to 6 was changed"),
    (BATCH, lambda lines: lines[:3], "the end is missing"),
]


@pytest.mark.parametrize("is_known", [False, True], ids=["first query", "after a query"])
@pytest.mark.parametrize(("name", "change", "says"), FAULTS)
def test_a_file_with_a_fault_is_reported_and_not_counted(log, name, change, says, is_known):
    if is_known:
        assert len(found(log)) == 15
    log.change(name, change)
    for _ in range(2):
        done = query(log, "--group-by", "kind", "--json")
        assert done.exit_code == 3
        assert f"{name}: " in done.stderr
        assert says in done.stderr
        assert "records that are not proven were left out" in done.stderr
        counts = '{"kind": "predict", "records": 5}' if name == ONE else '"records": 9}'
        assert counts in done.stdout


def test_a_foreign_file_and_a_copied_segment_are_not_counted(log, tmp_path, car):
    other = Log(tmp_path / "other")
    foreign = other.write(car, 3, "foreign")
    shutil.copy(other.folder / foreign, log.folder)
    copy = file_name(DAY, "batch-copy-0")
    shutil.copy(log.folder / BATCH, log.folder / copy)
    done = query(log, "--json")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 15)
    for name in (foreign, copy):
        assert f"{name}: the file is not in the inventory" in done.stderr


def test_a_removed_file_and_an_unreadable_one_are_reported(log):
    (log.folder / ONE).unlink()
    (log.folder / BATCH).unlink()
    (log.folder / BATCH).mkdir()
    done = query(log, "--json")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 5)
    assert f"{ONE}: the file was removed" in done.stderr
    assert f"{BATCH}: " in done.stderr


def test_a_missing_checkpoint_is_reported(log):
    checkpoint_path(log.place.checkpoints, ONE).unlink()
    done = query(log, "--json")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 11)
    assert f"{ONE}: its checkpoint is missing" in done.stderr


def test_without_checkpoints_the_records_are_shown_with_a_warning(log):
    shutil.rmtree(log.place.checkpoints)
    log.place.key_file.unlink()
    done = query(log, "--json")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 15)
    assert "it is unknown whether records are missing" in done.stderr
    assert log.columns == []


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_columns_that_somebody_edited_are_not_believed(log, suffix):
    expected = sorted(found(log), key=str)
    for share in range(40):
        found(log)  # makes what the last change has spoilt
        path = next(path for path in log.columns if path.suffix == suffix)
        flip(path, path.stat().st_size * share // 40)
        assert sorted(found(log), key=str) == expected


def test_columns_with_a_description_of_another_part_are_not_believed(log, car):
    found(log)
    forged = log.columns
    log.write(car, 2, "three", days=1, price=1.0)
    expected = sorted(found(log), key=str)
    data = next(path for path in forged if path.suffix == ".parquet")
    other = next(path for path in log.columns if path not in forged and path.suffix == ".parquet")
    shutil.copy(other, data)
    assert sorted(found(log), key=str) == expected


def test_deleted_columns_are_made_again(log):
    expected = sorted(found(log), key=str)
    assert log.columns
    shutil.rmtree(log.folder / "columns")
    assert sorted(found(log), key=str) == expected
    assert log.columns


def test_lines_are_read_where_columns_cannot_be_written(log):
    (log.folder / "columns").write_text("no folder")
    assert len(found(log)) == 15


def test_a_file_that_cannot_be_written_is_refused(log, tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = query(log, "--parquet", str(tmp_path / "file" / "found.parquet"))
    assert done.exit_code == 1
    assert "file" in done.stderr


def test_two_parts_with_the_same_lines_are_counted_once(log):
    assert len(found(log)) == 15
    made = log.columns
    for path in made:
        shutil.copy(path, path.with_name(path.name.replace(".0", ".1")))
    assert len(log.columns) == 2 * len(made)
    assert len(found(log)) == 15
    assert len(log.columns) == len(made)


def test_columns_of_a_file_whose_later_lines_were_never_proven_are_not_used(log, monkeypatch):
    monkeypatch.setattr("shared.audit.columns.spans.SPAN_BYTES", 500)
    monkeypatch.setattr("shared.audit.columns.building.SPAN_BYTES", 500)
    log.change(ONE, lambda lines: [*rechained(lines[:1]), *lines[1:]])
    assert query(log, "--id", "id-one-0").exit_code == 3
    key = read_key(log.place.key_file)
    parts = [Part.read(path, key) for path in log.columns if path.suffix == ".json"]
    assert parts
    assert ONE not in {name for part in parts for name in part.files}


def test_a_large_file_is_cut_into_spans_and_counted_once(log, car, monkeypatch):
    for module in ("spans", "building"):
        monkeypatch.setattr(f"shared.audit.columns.{module}.SPAN_BYTES", 1000)
    log.write(car, 50, "large")
    assert len(found(log)) == 65
    assert len(log.columns) > 20
    assert len(found(log, "--id", "id-large-31")) == 1
    assert len({row["id"] for row in found(log)}) == 65


def test_parts_that_do_not_reach_the_line_that_proves_them_are_made_again(log, car, monkeypatch):
    """As after a query that was killed: nobody has compared their lines with the checkpoint."""
    for module in ("spans", "building"):
        monkeypatch.setattr(f"shared.audit.columns.{module}.SPAN_BYTES", 1000)
    name = log.write(car, 50, "large")
    found(log)
    key = read_key(log.place.key_file)
    parts = [Part.read(path, key) for path in log.columns if path.suffix == ".json"]
    of_file = [part for part in parts if name in part.files]
    max(of_file, key=lambda part: part.spans[-1].end).delete()
    assert len(found(log)) == 65
    assert not [part for part in of_file if part.path.exists()]


def test_deleted_records_are_not_in_columns(log):
    assert len(found(log, "--caller", "garage")) == 5
    erase_caller(log.folder, "garage", "9999-01-01", log.checkpoints())
    assert log.columns == []
    assert found(log, "--caller", "garage") == []
    assert len(found(log)) == 10
    for path in log.folder.rglob("*"):
        assert not path.is_file() or b"garage" not in path.read_bytes()


def test_columns_of_deleted_days_are_deleted(log, car):
    log.write(car, 2, "later", days=1)
    assert len(found(log)) == 17
    remove_before(log.folder, "2026-09-22", log.checkpoints())
    assert {path.name[:10] for path in log.columns} == {"2026-09-22"}
    assert len(found(log)) == 2


def test_a_query_of_a_day_leaves_the_columns_of_other_days_alone(log, car):
    log.write(car, 2, "later", days=50)
    assert len(found(log)) == 17
    made = log.columns
    assert len(made) == 6
    for arguments in (["--day", DAY], ["--from", "2026-11-01"], ["--to", "2001-01-01"]):
        found(log, *arguments)
        assert log.columns == made
    assert len(found(log)) == 17
    assert log.columns == made


def test_records_are_found_while_they_are_written(log, car):
    """A query sees all that was written before it, and nothing twice."""
    written, stop = [0], threading.Event()

    def write():
        writer = log.writer("live")
        while not stop.is_set() and written[0] < 3000:
            log_lines = [f"live-{written[0] + at}" for at in range(10)]
            writer.append([audit_record(car, name, caller="live") for name in log_lines])
            written[0] += 10
            if written[0] % 500 == 0:
                writer.flush()
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            before = written[0]
            rows = log.records(texts={"caller": "live"})
            after = written[0] + 10
            assert before <= len(rows) <= after
            assert len({row["id"] for row in rows}) == len(rows)
    finally:
        stop.set()
        thread.join()
    assert len(log.records(texts={"caller": "live"})) == written[0]


def test_a_torn_line_of_a_killed_process_is_no_fault(log, car):
    writer = log.writer("killed")
    writer.append([audit_record(car, number, caller="killed") for number in range(3)])
    writer.flush()
    path = log.folder / file_name(DAY, "killed")
    with path.open("ab") as file:
        file.write(b'{"id":"id-9","at":')
    done = query(log, "--caller", "killed", "--json")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)
    os.truncate(path, path.stat().st_size - 18)
    writer.append([audit_record(car, 4, caller="killed")])
    done = query(log, "--caller", "killed", "--json")
    assert len(done.stdout.splitlines()) == 4
    assert "1 record is after the last checkpoint of its file" in done.stderr
    writer.close()
