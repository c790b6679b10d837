"""`carprice audit verify` finds manipulated records."""

import shutil

import pytest
from click.testing import CliRunner

from cli.audit.commands import audit
from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name
from shared.audit.checkpoints import Checkpoints
from shared.audit.log import AuditLog
from tests.audit_segments import AT, audit_record
from tests.audit_segments import segment as log_segment
from worker.batches.audit_segments import encode_segment


@pytest.fixture
def folder(tmp_path):
    """Two files of three records each."""
    for writer in ("one", "two"):
        bodies = [b'{"id":"%s-%d","price_mad":1.0}' % (writer.encode(), n) for n in range(3)]
        block, _, _ = chain(bodies, GENESIS_HASH)
        (tmp_path / file_name("2026-01-01", writer)).write_bytes(block)
    return tmp_path


def verify(folder):
    return CliRunner().invoke(audit, ["verify", "--folder", str(folder)])


@pytest.fixture
def home(tmp_path, monkeypatch, car):
    """A home whose audit log has three records and checkpoints."""
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    checkpoints = Checkpoints(
        tmp_path / "audit", tmp_path / "audit-checkpoints", tmp_path / "audit-checkpoints.key",
        lambda: AT,
    )  # fmt: skip
    log = AuditLog(tmp_path / "audit", "w", lambda: AT, checkpoints=checkpoints)
    log.append([audit_record(car, number) for number in range(3)])
    log.close()
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(audit, arguments)


def test_an_unchanged_log_is_valid(folder):
    result = verify(folder)
    assert (result.exit_code, result.stdout) == (
        3, "6 records in 2 files are whole, 0 files are not\n",
    )  # fmt: skip
    assert "it is unknown whether files" in result.stderr


def test_a_missing_log_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path / "nobody"))
    result = CliRunner().invoke(audit, ["verify"])
    assert result.exit_code == 2
    assert "no audit log at" in result.stderr


def segment(count):
    """The segment of a batch: its last line proves all."""
    return encode_segment({"id": f"b-{n}", "price_mad": float(n)} for n in range(1, count + 1))


def test_unchanged_segments_of_batches_are_valid(folder):
    for number in range(1, 5):
        (folder / file_name("2026-01-01", f"batch-b-{number}")).write_bytes(segment(number))
    result = verify(folder)
    assert result.stdout == "16 records in 6 files are whole, 0 files are not\n"


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"2.0", b"9.0"), *lines[2:]], "1 to 4 was"),
        (lambda lines: [*lines[:3], lines[3].replace(b"4.0", b"9.0")], "1 to 4 was"),
        (lambda lines: [lines[0], *lines[2:]], "1 to 3 was"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "1 to 4 was"),
        (lambda lines: lines[:3], "what stood after line 3 is missing"),
        (lambda lines: [*lines, lines[3]], "line 5 was"),
        (lambda lines: [lines[0], b"garbage\n", *lines[1:]], "1 to 2 was"),
        (lambda lines: [*lines[:2], lines[2][:-9]], "line 3 is torn"),
    ],
    ids=["changed", "seal", "missing", "reordered", "unsealed", "more", "garbage", "torn"],
)
def test_a_segment_that_was_tampered_with_is_named(folder, tamper, says):
    path = folder / file_name("2026-01-01", "batch-b-0")
    path.write_bytes(b"".join(tamper(segment(4).splitlines(keepends=True))))
    result = verify(folder)
    assert result.exit_code == 1
    assert f"{path.name}: " in result.stderr
    assert says in result.stderr


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (
            lambda lines: [lines[0], lines[1].replace(b"1.0", b"2.0"), lines[2]],
            "line 2 was changed",
        ),
        (lambda lines: [lines[0], lines[2]], "line 2 was changed"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1 was changed"),
        (lambda lines: [lines[0], lines[1], lines[2][:-9]], "line 3 is torn"),
        (lambda lines: [lines[0], b"garbage\n"], "line 2 was changed"),
    ],
    ids=["changed", "missing", "reordered", "torn", "garbage"],
)
def test_a_file_that_was_tampered_with_is_named(folder, tamper, says):
    path = folder / file_name("2026-01-01", "two")
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    result = verify(folder)
    assert result.exit_code == 1
    assert f"{path.name}: {says}" in result.stderr
    assert "1 files are not" in result.stdout


def test_a_log_with_checkpoints_is_complete(home):
    for arguments in (["verify"], ["verify", "--folder", str(home / "audit")]):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "3 records in 1 files are whole, 0 files are not" in result.stdout
        assert "inventory since 2026-" in result.stdout


def test_a_copied_log_is_compared_with_the_checkpoints_that_are_named(home, tmp_path):
    copy = tmp_path / "copy" / "audit"
    shutil.copytree(home / "audit", copy)
    assert run("verify", "--folder", str(copy)).exit_code == 3
    (path,) = copy.iterdir()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    result = run(
        "verify", "--folder", str(copy), "--checkpoints", str(home / "audit-checkpoints"),
        "--key-file", str(home / "audit-checkpoints.key"),
    )  # fmt: skip
    assert result.exit_code == 1
    assert "the end is missing" in result.stderr


def test_a_log_whose_last_records_were_removed_is_not_complete(home):
    (path,) = (home / "audit").iterdir()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    result = run("verify")
    assert result.exit_code == 1
    assert "the end is missing" in result.stderr


def test_unlisted_files_are_adopted_after_an_update(home):
    old = home / "audit" / file_name(day_of(AT), "batch-old-0")
    old.write_bytes(log_segment(4))
    assert run("verify").exit_code == 1
    assert old.name in run("adopt").stdout
    assert run("verify").exit_code == 0
    assert run("adopt").stdout == "0 files were added to the inventory\n"


def test_days_and_callers_are_deleted_on_request(home):
    assert "records of nobody" in run("delete", "--caller", "nobody", "--yes").stdout
    assert run("delete", "--before", "yesterday", "--yes").exit_code == 2
    assert run("delete", "--yes").exit_code == 2
    assert "0 files" in run("delete", "--before", day_of(AT), "--yes").stdout
    result = run("delete", "--before", day_of(AT + 86_400), "--yes")
    assert "1 file of days before" in result.stdout
    assert list((home / "audit").glob("*.jsonl")) == []
    assert run("verify").exit_code == 0
