"""What is printed of a log is proven; foreign files and far days do not end a query."""

import os

import pyarrow as pa
import pytest
from pyarrow import parquet

from shared.audit.chain import file_name
from shared.audit.columns.groups import group
from shared.audit.columns.log import LogColumns
from shared.audit.erasure import erase_caller
from shared.audit.verification import ExpectedFiles
from tests.audit_queries import DAY, Log, found, query
from tests.audit_segments import audit_record


@pytest.fixture
def log(tmp_path, car, monkeypatch):
    """Answers of two callers; files are never taken for those of a new process."""
    monkeypatch.setattr("shared.audit.verification.OPENING_S", -1.0)
    log = Log(tmp_path)
    log.write(car, 4, "one")
    return log


def test_lines_that_were_changed_after_the_columns_were_made_are_not_printed(log, car):
    writer = log.writer("killed")
    writer.append([audit_record(car, f"open-{number}") for number in range(3)])
    writer.flush()
    assert len(query(log, "--lines").stdout.splitlines()) == 7
    assert log.columns
    path = log.folder / file_name(DAY, "killed")
    path.write_bytes(path.read_bytes().replace(b"100000.0", b"900000.0", 1))
    done = query(log, "--lines")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 4)
    assert f"{path.name}: line 1 was changed" in done.stderr
    assert "900000.0" not in done.stdout
    writer.close()


def test_lines_that_stand_elsewhere_after_a_deletion_are_not_printed(log, car, monkeypatch):
    name = file_name(DAY, "both")
    writer = log.writer("both")
    writer.append([audit_record(car, 1, caller="gone"), audit_record(car, 2), audit_record(car, 3)])
    writer.close()
    read = LogColumns.read

    def read_and_delete(*arguments):
        tables = list(read(*arguments))
        erase_caller(log.folder, "gone", "9999-01-01", log.checkpoints())
        return iter(tables)

    monkeypatch.setattr(LogColumns, "read", read_and_delete)
    done = query(log, "--lines")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 4)
    assert f"{name}: " in done.stderr


def test_a_file_that_is_begun_during_a_query_is_no_fault(log, car, monkeypatch):
    missing = ExpectedFiles.missing

    def begin_and_look(self, present):
        log.write(car, 1, "new", days=1)
        return missing(self, present)

    monkeypatch.setattr(ExpectedFiles, "missing", begin_and_look)
    assert len(found(log)) == 4
    assert len(found(log)) == 5


@pytest.mark.parametrize("day", ["2026-02-31", "9999-12-31", "0000-00-00"])
def test_a_file_of_no_day_is_reported(log, day):
    name = file_name(day, "x")
    (log.folder / name).write_bytes((log.folder / file_name(DAY, "one")).read_bytes())
    done = query(log, "--day", DAY, "--json")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 4)
    assert f"{name}: the file is not in the inventory" in done.stderr


@pytest.mark.parametrize("option", ["--day", "--from", "--to"])
@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_can_be_asked_for(log, option, day):
    wanted = 4 if (option, day) in {("--from", "0001-01-01"), ("--to", "9999-12-31")} else 0
    assert len(found(log, option, day)) == wanted


def test_a_query_that_finds_nothing_has_the_columns(log, tmp_path):
    target = tmp_path / "found.parquet"
    whole = query(log, "--csv").stdout.splitlines()[0]
    for more in ([], ["--limit", "2"]):
        assert query(log, "--caller", "nobody", "--csv", *more).stdout.splitlines() == [whole]
        assert query(log, "--caller", "nobody", "--parquet", str(target), *more).exit_code == 0
        assert parquet.read_table(target).num_columns == whole.count(",") + 1


def die() -> None:
    """End this process. (`os._exit` itself is a local function under coverage: not to be sent.)"""
    os._exit(9)


def test_lines_are_read_if_the_processes_that_make_columns_are_killed(log, monkeypatch):
    building = "shared.audit.columns.building"
    monkeypatch.setattr(f"{building}.SPAN_BYTES", 1)
    monkeypatch.setattr(f"{building}._be_modest", die)
    assert len(found(log)) == 4


def test_more_combinations_than_there_are_numbers_are_told_apart():
    names = ["kind", "caller", "brand", "model", "version", "error"]
    values = [f"value {number}" for number in range(3000)]
    table = pa.table({name: [*values, None, "value 7"] for name in names})
    rows = group([table], names, []).to_pylist()
    assert rows[0] == dict.fromkeys(names, "value 7") | {"records": 2}
    assert len(rows) == 3001
    assert all(len({row[name] for name in names}) == 1 for row in rows)


def test_the_superuser_gives_away_no_folder_to_which_a_link_leads(log, tmp_path):
    owner = os.geteuid()
    (tmp_path / "elsewhere").mkdir()
    (log.folder / "columns").symlink_to(tmp_path / "elsewhere")
    if owner == 0:
        os.chown(log.folder, 65534, 65534)
    assert len(found(log)) == 4
    assert (tmp_path / "elsewhere").stat().st_uid == owner
