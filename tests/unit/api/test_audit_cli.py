"""`carprice audit verify` finds what was tampered with."""

import pytest
from click.testing import CliRunner

from api.audit_cli import audit
from shared.adapters.jsonl_audit import GENESIS, chain, file_name


@pytest.fixture
def folder(tmp_path):
    """Two files of three records each."""
    for writer in ("one", "two"):
        bodies = [b'{"id":"%s-%d","price_mad":1.0}' % (writer.encode(), n) for n in range(3)]
        block, _, _ = chain(bodies, GENESIS)
        (tmp_path / file_name("2026-01-01", writer)).write_bytes(block)
    return tmp_path


def verify(folder):
    return CliRunner().invoke(audit, ["verify", "--folder", str(folder)])


def test_an_untouched_log_is_whole(folder):
    result = verify(folder)
    assert (result.exit_code, result.stdout) == (
        0, "6 records in 2 files are whole, 0 files are not\n",
    )  # fmt: skip


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
def test_what_was_tampered_with_is_named(folder, tamper, says):
    path = folder / file_name("2026-01-01", "two")
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    result = verify(folder)
    assert result.exit_code == 1
    assert f"{path.name}: {says}" in result.stderr
    assert "1 files are not" in result.stdout
