"""The bulk path from upload to results: every row once, in order, whatever happens on the way."""

import csv
import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.audit.chain import ChainVerifier
from shared.blobs.batch_files import part_name
from shared.domain.batch import RESULT_COLUMNS, Batch, BatchOutcome, RowCounts
from shared.domain.clock import DAY_S, month_at
from shared.domain.errors import BatchExpired, BatchNotFound, BrokerUnavailable
from shared.domain.files.notes import NoteCount
from shared.domain.ids import BatchId, CallerId, new_id
from shared.domain.job import JobState
from shared.queue.names import TaskName
from shared.redis import keys
from tests.batch_parts import BAD_ROW, CALLER, GOOD_ROW, HEADER, BulkPath, cars_csv
from tests.conftest import Servers


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


OTHER = CallerId("somebody else")


def rows_of(path: BulkPath, batch: Batch, name: str = "results.csv") -> list[dict[str, str]]:
    text = io.StringIO(path.text(batch, name))
    return list(csv.DictReader(text, delimiter=batch.manifest.result_delimiter))


def refs(path: BulkPath, batch: Batch) -> list[str]:
    return [row["ref"] for row in rows_of(path, batch)]


def numbered(rows: int) -> list[str]:
    return [f"R{number}" for number in range(1, rows + 1)]


def file_of(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows]).encode()


# The usual way


@pytest.mark.parametrize("rows", [1, 9, 10, 11, 137])
def test_every_row_is_priced_once_and_in_order(path: BulkPath, rows: int) -> None:
    batch = path.run(cars_csv(rows))
    assert batch.progress.state is JobState.SUCCEEDED
    assert batch.progress.outcome is BatchOutcome.COMPLETE
    assert batch.progress.counts == RowCounts(valid=rows)
    assert batch.progress.total == rows
    assert refs(path, batch) == numbered(rows)
    for row in rows_of(path, batch):
        price = 300_000.0 - float(row["km_driven"])
        assert float(row["price_mad"]) == max(price, 5_000.0)
        assert float(row["low_mad"]) < float(row["price_mad"]) < float(row["high_mad"])
        assert (row["row_status"], row["row_error"]) == ("valued", "")


def test_the_intervals_hold_for_the_month_in_which_the_batch_was_accepted(path: BulkPath) -> None:
    accepted = month_at(path.clock.now)
    batch_id = path.accept(cars_csv(30))
    path.clock.now += 40 * DAY_S
    path.drain()
    assert path.get(batch_id).progress.state is JobState.SUCCEEDED
    assert path.model.months == {accepted}
    assert month_at(path.clock.now) > accepted


def test_every_valued_row_has_one_audit_record_in_an_unbroken_chain(path: BulkPath) -> None:
    batch = path.run(cars_csv(25) + b"R26,Toyota,,1800,x,y,z,,\n")
    lines = path.audit_lines()
    records = [orjson.loads(line) for line in lines]
    assert [record["id"] for record in records] == [
        f"{batch.manifest.id}-{number}" for number in range(1, 26)
    ]
    assert {record["batch_id"] for record in records} == {batch.manifest.id}
    assert records[0]["features"]["fuel"] in ("Petrol", "Diesel", "Hybrid")
    for file in path.audit_folder.glob("*.jsonl"):
        chain = ChainVerifier()
        assert all(map(chain.follow, file.read_bytes().splitlines(keepends=True)))
        assert chain.verified > chain.open == 0


def test_nothing_is_left_of_the_work_after_the_end(path: BulkPath) -> None:
    batch = path.run(cars_csv(25))
    kept = sorted(item.name for item in (path.folder / "batches" / batch.manifest.id).iterdir())
    results = ["rejected.csv", "results.csv"]
    assert kept == ["errors.ndjson", "final.json", "lines", "manifest.json", *results]


def test_french_numbers_headers_and_spellings_are_read(path: BulkPath) -> None:
    batch = path.run(
        "\ufeffMarque;Modèle;Année;Carburant;Boîte;Kilométrage;Cylindrée\n"
        "Citroën;C3;2019;Essence;Manuelle;145 000 km;1.560,5\n"
        'VW;"Golf\nVII";2018;Gasoil;Auto;90.000;1 968\n'.encode()
    )
    assert batch.progress.counts == RowCounts(valid=2)
    assert [row["price_mad"] for row in rows_of(path, batch)] == ["155000.0", "210000.0"]
    features = orjson.loads(path.audit_lines()[0])["features"]
    assert (features["company"], features["engine_cc"]) == ("citroen", 1560.5)


# Bad rows


def test_bad_rows_are_reported_cell_by_cell_and_sink_no_other_row(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW, BAD_ROW, GOOD_ROW + ",extra", GOOD_ROW), key_column="model")
    assert batch.progress.outcome is BatchOutcome.WITH_ERRORS
    assert batch.progress.counts == RowCounts(valid=2, invalid=2)
    statuses = [row["row_status"] for row in rows_of(path, batch)]
    assert statuses == ["valued", "rejected", "rejected", "valued"]
    year, ragged = path.errors(batch)
    assert (year["line"], year["column"], year["value"], year["code"], year["row_key"]) == (
        3, "year", "1890", "out-of-range", "Corolla",
    )  # fmt: skip
    assert "from 1990" in year["message"]
    assert (ragged["line"], ragged["column"], ragged["code"]) == (4, None, "wrong-cell-count")
    assert ragged["message"] == "Number of cells in the row: 7 instead of 6."


def test_the_error_report_speaks_the_language_of_whoever_reads_it(path: BulkPath) -> None:
    batch = path.run(file_of(BAD_ROW), language="en")
    assert path.errors(batch, "fr")[0]["message"].startswith("Champ « Année » : attendu")
    assert "Year of first registration: expected" in rows_of(path, batch)[0]["row_error"]


def test_a_batch_in_arabic_has_arabic_reasons_and_notes(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW.replace("25000", "a lot"), BAD_ROW), language="ar")
    noted, refused = rows_of(path, batch)
    assert noted["row_notes"].startswith("قيمة مُهملة: الحقل «المسافة المقطوعة»: المنتظر عدد")
    assert refused["row_error"].startswith("الحقل «سنة أول تسجيل»: المنتظر عدد صحيح من 1990")


def test_a_batch_in_a_language_of_another_version_is_answered_in_french(path: BulkPath) -> None:
    (row,) = rows_of(path, path.run(file_of(BAD_ROW), language="de"))
    assert row["row_error"].startswith("Champ « Année »")


def test_the_rejected_rows_can_be_corrected_and_uploaded_again(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW, BAD_ROW))
    (row,) = rows_of(path, batch, "rejected.csv")
    assert row["row_line"] == "3"
    fixed = path.text(batch, "rejected.csv").replace("1890", "1990").replace("a lot", "120000")
    again = path.run(fixed.encode())
    assert again.progress.outcome is BatchOutcome.COMPLETE
    header = path.text(again).splitlines()[0]
    assert header == f"{HEADER},{','.join(RESULT_COLUMNS)}"


def test_an_unreadable_optional_cell_is_noted_and_its_row_valued(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW, GOOD_ROW.replace("25000", "a lot")), language="en")
    assert batch.progress.outcome is BatchOutcome.COMPLETE
    clean, noted = rows_of(path, batch)
    assert (clean["row_notes"], clean["row_status"]) == ("", "valued")
    assert noted["row_notes"].startswith("Value ignored: Odometer: expected a number")
    assert "a lot" in noted["row_notes"]
    assert NoteCount("km_driven", "not-a-number", 1, ("a lot",)) in batch.progress.notes
    assert NoteCount("km_driven", "missing-field", 1) in batch.progress.notes


def test_each_row_says_what_was_read_of_its_names(path: BulkPath) -> None:
    slip = GOOD_ROW.replace("Toyota", "Toyotta")
    batch = path.run(file_of(GOOD_ROW, slip, GOOD_ROW.replace("Toyota,Corolla", "Nobody,Nix")))
    exact, corrected, unknown = rows_of(path, batch)
    assert (exact["read_as"], exact["match"]) == ("Toyota Corolla", "exact")
    assert exact["suggestions"] == ""
    assert (corrected["read_as"], corrected["match"]) == ("Toyota Corolla", "corrected")
    assert unknown["match"] == "exact"  # this model knows every name
    audit = [orjson.loads(line) for line in path.audit_lines()]
    assert "match" not in audit[0]
    assert audit[1]["given"] == {"company": "toyotta", "model": "corolla"}
    assert audit[1]["features"]["company"] == "toyota"
    notes = {note.code: note for note in batch.progress.notes}
    assert notes["name-corrected"].examples == ("toyotta corolla → Toyota Corolla",)


def test_a_row_without_brand_or_model_is_rejected_for_it(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW.replace("Toyota", ""), GOOD_ROW.replace("Corolla", "-")))
    assert batch.progress.counts.invalid >= 1
    assert [error["field"] for error in path.errors(batch)][-1] == "model"


def test_a_row_with_too_many_cells_keeps_all_of_them_among_the_rejected(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW + ",more,and more"))
    assert rows_of(path, batch, "rejected.csv")[0]["km_driven"] == "25000,more,and more"


def test_when_all_rows_are_bad_the_model_is_not_asked(path: BulkPath) -> None:
    batch = path.run(file_of(*[BAD_ROW] * 25))
    assert batch.progress.counts == RowCounts(invalid=25)
    assert batch.progress.outcome is BatchOutcome.WITH_ERRORS
    assert path.model.calls == 0
    assert path.audit_lines() == []


def test_columns_of_the_file_that_are_called_as_ours_are_kept(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW + ",99000", header=HEADER + ",price_mad"))
    (row,) = rows_of(path, batch)
    assert (row["price_mad"], row["carprice_price_mad"]) == ("99000", "275000.0")


def test_no_text_of_the_error_report_is_a_formula_for_a_spreadsheet(path: BulkPath) -> None:
    data = b"=ref,company,model,year\n=1+1,Toyota,Corolla,@SUM(A1)\n"
    batch = path.run(data, key_column="=ref")
    (error,) = path.errors(batch)
    assert (error["row_key"], error["value"]) == ("'=1+1", "'@SUM(A1)")
    assert error["column"] == "year"


def test_no_cell_is_a_formula_for_a_spreadsheet(path: BulkPath) -> None:
    notes = ["=1+1", "+212 600", "-5", "@cmd", "-x", "\tx", "'=a", "\uff1d1", "-"]
    rows = [f'{GOOD_ROW},"{note}"' for note in notes]
    batch = path.run(file_of(*rows, header=HEADER + ",note"))
    written = [row["note"] for row in rows_of(path, batch)]
    assert written == ["'=1+1", "+212 600", "-5", "'@cmd", "'-x", "'\tx", "''=a", "'\uff1d1", "-"]


# Options


def test_a_dry_run_reports_and_prices_nothing(path: BulkPath) -> None:
    batch = path.run(file_of(GOOD_ROW, BAD_ROW), dry_run=True)
    assert batch.progress.state is JobState.SUCCEEDED
    assert batch.progress.outcome is BatchOutcome.DRY_RUN
    assert batch.progress.counts == RowCounts(valid=1, invalid=1)
    rows = rows_of(path, batch)
    assert [row["row_status"] for row in rows] == ["valid", "rejected"]
    assert {row["price_mad"] for row in rows} == {""}
    assert (path.model.calls, path.audit_lines(), len(path.errors(batch))) == (0, [], 1)


def test_on_error_abort_ends_the_batch_at_the_first_bad_row(path: BulkPath) -> None:
    rows = [GOOD_ROW] * 200
    rows[15] = BAD_ROW
    batch = path.run(file_of(*rows), on_error="abort")
    assert batch.progress.state is JobState.FAILED
    assert batch.progress.outcome is BatchOutcome.ABORTED
    assert batch.progress.error == "row-rejected"
    assert batch.progress.counts.invalid == 1
    assert batch.progress.counts.done < 100
    assert len(rows_of(path, batch)) == batch.progress.counts.done


def test_an_upload_with_the_same_key_is_the_same_batch(path: BulkPath) -> None:
    data = cars_csv(5)
    first = path.accept(data, key="k")
    assert path.accept(data, key="k") == first
    assert path.accept(data, key="other") != first
    assert len(path.queue) == 2


# Ways to be lost


def test_tasks_that_come_twice_or_late_change_nothing(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(65))
    seen: list[tuple[TaskName, dict[str, Any]]] = []
    while path.queue:
        seen.append(path.queue[0])
        path.step()
        if len(seen) % 3 == 0 and len(seen) < 60:
            path.queue.append(seen[-1])
    expected = path.text(path.get(batch_id))
    path.queue.extend(seen)
    path.drain()
    batch = path.get(batch_id)
    assert path.text(batch) == expected
    assert batch.progress.counts == RowCounts(valid=65)
    assert refs(path, batch) == numbered(65)
    assert len(path.audit_lines()) == 65


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_lost_messages_are_sent_again(path: BulkPath, every: int) -> None:
    """Whichever message is lost, before it was seen by anybody, the sweep finds it."""
    batch_id = path.accept(cars_csv(135))
    lost = 0
    for number in range(400):
        if not path.queue:
            if path.get(batch_id).progress.state.is_terminal:
                break
            path.clock.now += 31
            path.sweep.sweep()
            continue
        if number % (every + 1) == 0 and lost < 12:
            path.queue.popleft()
            lost += 1
        else:
            path.step()
    batch = path.get(batch_id)
    assert lost > 3
    assert batch.progress.outcome is BatchOutcome.COMPLETE
    assert batch.progress.counts == RowCounts(valid=135)
    assert refs(path, batch) == numbered(135)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing after it runs."""


def kill_at(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, call: int) -> None:
    """Die at the given call of a method, once."""
    original, calls = getattr(target, name), iter(range(1, 1_000_000))

    def dying(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments, **options)

    monkeypatch.setattr(target, name, dying)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        ("store", "begin", 1),
        ("store", "begin", 4),
        ("store", "record_split", 1),
        ("store", "record_split", 2),
        ("store", "finish_chunk", 2),
        ("store", "advance", 1),
        ("store", "advance", 4),
        ("store", "finish", 1),
        ("files", "write_split_state", 1),
        ("files", "write_split_state", 2),
        ("files", "write_final", 1),
        ("files", "delete_intermediates", 1),
        ("blobs", "write", 1),
        ("blobs", "write", 4),
        ("blobs", "write_all", 1),
        ("blobs", "write_all", 4),
        ("blobs", "write_all", 9),
        ("blobs", "read", 9),
        ("blobs", "load", 9),
        ("blobs", "load_all", 1),
        ("blobs", "mark_ended", 1),
        ("model", "estimate_columns", 2),
    ],
)
def test_a_worker_that_dies_anywhere_loses_no_row_and_counts_none_twice(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch, owner: str, name: str, call: int
) -> None:
    batch_id = path.accept(cars_csv(75))
    kill_at(monkeypatch, getattr(path, owner), name, call)
    deaths = 0
    for _ in range(300):
        if not path.queue:
            if path.get(batch_id).progress.state.is_terminal:
                break
            path.clock.now += 31
        try:
            if path.queue:
                path.step()
            else:
                path.sweep.sweep()
        except Killed:
            deaths += 1
    batch = path.get(batch_id)
    assert deaths == 1
    assert batch.progress.outcome is BatchOutcome.COMPLETE
    assert batch.progress.counts == RowCounts(valid=75)
    assert refs(path, batch) == numbered(75)
    assert len(path.audit_lines()) == 75


def test_a_broker_that_loses_its_memory_is_refilled_from_the_files(path: BulkPath) -> None:
    data = cars_csv(135)
    batch_id = path.accept(data)
    for _ in range(7):
        path.step()
    path.queue.clear()
    path.client.flushall()
    assert path.get(batch_id).progress.state is JobState.QUEUED
    batch = path.sweep_until_ended(batch_id)
    assert batch.progress.counts == RowCounts(valid=135)
    assert refs(path, batch) == numbered(135)
    assert path.model.rows == 135, "what was done before is not done again"


def test_a_broker_that_loses_its_memory_before_the_file_is_cut_has_it_cut(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(35))
    path.queue.clear()
    path.client.flushall()
    assert refs(path, path.sweep_until_ended(batch_id)) == numbered(35)


def test_what_the_broker_forgets_of_an_ended_batch_is_read_from_the_files(path: BulkPath) -> None:
    batch = path.run(cars_csv(5))
    path.client.flushall()
    assert path.get(batch.manifest.id) == batch
    path.sweep.sweep()
    assert not path.queue


def test_messages_that_cannot_be_sent_are_sent_later(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(35))
    path.is_broker_down = True
    path.step()
    assert not path.queue
    path.is_broker_down = False
    path.clock.now += 31
    assert refs(path, path.sweep_until_ended(batch_id)) == numbered(35)


# Chunks that fail


def test_a_poison_chunk_is_given_up_and_the_others_are_not(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(45))

    def poison() -> None:
        if path.reading == "R21":
            raise ValueError("a car that no forest survives")

    path.model.fault = poison
    batch = path.sweep_until_ended(batch_id)
    assert batch.progress.state is JobState.SUCCEEDED
    assert batch.progress.outcome is BatchOutcome.PARTIAL
    assert batch.progress.counts == RowCounts(valid=35, failed=10)
    rows = rows_of(path, batch)
    assert [row["ref"] for row in rows] == numbered(45)
    failed = [row for row in rows if row["row_status"] == "failed"]
    assert [row["ref"] for row in failed] == numbered(30)[20:]
    assert all(row["row_error"] for row in failed)


def test_a_batch_of_which_no_row_could_be_valued_has_failed(path: BulkPath) -> None:
    def broken() -> None:
        raise ValueError("no model")

    path.model.fault = broken
    batch = path.sweep_until_ended(path.accept(cars_csv(15)))
    assert (batch.progress.state, batch.progress.error) == (JobState.FAILED, "attempts-exhausted")
    assert batch.progress.counts == RowCounts(failed=15)
    assert refs(path, batch) == numbered(15)


def test_a_full_disk_holds_the_batch_up_and_does_not_end_it(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = path.accept(cars_csv(45))
    path.step()

    def full(*_: Any, **__: Any) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(path.blobs, "write", full)
    monkeypatch.setattr(path.blobs, "write_all", full)
    for _ in range(20):
        path.drain()
        path.clock.now += 20
        path.sweep.sweep()
    assert path.get(batch_id).progress.state is JobState.RUNNING
    monkeypatch.undo()
    batch = path.sweep_until_ended(batch_id)
    assert batch.progress.counts == RowCounts(valid=45)
    assert refs(path, batch) == numbered(45)


def test_an_audit_log_that_cannot_be_written_holds_the_batch_up(path: BulkPath) -> None:
    path.audit_folder.write_text("a file where the folder should be")
    batch_id = path.accept(cars_csv(15))
    for _ in range(10):
        path.drain()
        path.clock.now += 20
        path.sweep.sweep()
    assert path.get(batch_id).progress.counts.done == 0
    path.audit_folder.unlink()
    assert path.sweep_until_ended(batch_id).progress.counts == RowCounts(valid=15)
    assert len(path.audit_lines()) == 15


def test_a_file_that_cannot_be_cut_ends_its_batch(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = path.accept(cars_csv(15))

    def broken(_: BatchId) -> None:
        raise RuntimeError("for ever")

    monkeypatch.setattr(path.files, "split_state", broken)
    batch = path.sweep_until_ended(batch_id)
    assert (batch.progress.state, batch.progress.error) == (JobState.FAILED, "attempts-exhausted")


def test_a_lost_part_is_told_and_not_papered_over(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(35))
    while path.queue[0][0] is not TaskName.ASSEMBLE_BATCH:
        path.step()
    path.blobs.remove(batch_id, [part_name(1)])
    path.drain()
    progress = path.get(batch_id).progress
    assert (progress.state, progress.error) == (JobState.FAILED, "rows-missing")


# Ends


def test_a_cancelled_batch_keeps_what_was_done(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(200))
    for _ in range(5):
        path.step()
    asked = path.batches.cancel(batch_id, CALLER)
    assert asked.progress.cancel_requested
    path.drain()
    batch = path.get(batch_id)
    assert (batch.progress.state, batch.progress.outcome) == (
        JobState.CANCELLED, BatchOutcome.CANCELLED,
    )  # fmt: skip
    done = batch.progress.counts.done
    assert 0 < done < 200
    assert refs(path, batch) == numbered(done)
    assert len(path.audit_lines()) == done


def test_a_batch_that_is_cancelled_before_its_start_ends_without_rows(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(20))
    path.batches.cancel(batch_id, CALLER)
    path.drain()
    batch = path.get(batch_id)
    assert batch.progress.state is JobState.CANCELLED
    assert rows_of(path, batch) == []


def test_an_ended_batch_expires_and_is_remembered_for_a_while(path: BulkPath) -> None:
    batch_id = path.run(cars_csv(5)).manifest.id
    path.clock.now += 1001
    path.client.flushall()
    path.sweep.sweep()
    with pytest.raises(BatchExpired):
        path.get(batch_id)
    with pytest.raises(BatchNotFound):
        path.batches.get(batch_id, OTHER)
    path.clock.now += 8 * 1001
    path.client.flushall()
    path.sweep.sweep()
    with pytest.raises(BatchNotFound):
        path.get(batch_id)
    assert list(path.blobs.batches()) == []


def test_another_callers_batch_does_not_exist(path: BulkPath) -> None:
    batch_id = path.accept(cars_csv(5))
    with pytest.raises(BatchNotFound):
        path.batches.get(batch_id, OTHER)


def test_what_an_upload_that_died_left_behind_is_deleted_after_a_day(path: BulkPath) -> None:
    with path.blobs.write(BatchId(new_id(path.clock.now)), "source") as blob:
        blob.write(b"half a file")
    path.sweep.sweep()
    assert len(list(path.blobs.batches())) == 1
    path.client.flushall()
    path.clock.now += 90_000
    path.sweep.sweep()
    assert list(path.blobs.batches()) == []


def test_an_upload_while_the_broker_is_away_leaves_nothing(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise BrokerUnavailable(reason="test")

    monkeypatch.setattr(path.store, "create", away)
    with pytest.raises(BrokerUnavailable):
        path.accept(cars_csv(5))
    assert list(path.blobs.batches()) == []


# Fairness


def test_a_small_batch_does_not_wait_behind_a_large_one(path: BulkPath) -> None:
    large = path.accept(cars_csv(2000))
    for _ in range(20):
        path.step()
    small = path.accept(cars_csv(10))
    steps = 0
    while not path.get(small).progress.state.is_terminal:
        path.step()
        steps += 1
    assert steps < 30
    assert path.get(large).progress.counts.done < 1000
    assert len(path.queue) <= 6, "a batch has its window on the queue, and no more"


def test_the_window_of_a_batch_follows_the_processes_that_are_alive(path: BulkPath) -> None:
    path.places = 12
    batch_id = path.accept(cars_csv(300))
    for _ in range(8):
        path.split.run(batch_id)
    leased = path.client.zrange(keys.batch_leases(batch_id), 0, -1)
    assert len([step for step in leased if step.isdigit()]) == path.places + 1
    path.drain()
    assert path.get(batch_id).progress.counts == RowCounts(valid=300)
