"""Which lines of the processes are shown on the terminal, and which only go to log files."""

import errno
import io
import json
from pathlib import Path

import pytest

from launcher.output import REPAIR_HINT, Output, terminal_text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain words", "plain words"),
        ("", None),
        ("{not json", "{not json"),
        ('{"other": "json"}', '{"other": "json"}'),
        (json.dumps({"event": "job_submitted", "level": "info"}), None),
        (
            json.dumps({"event": "cache_down", "level": "warning", "at": "now", "tries": 3}),
            "warning: cache_down tries=3",
        ),
        (
            json.dumps(
                {"event": "boom", "level": "error", "exception": "Traceback\n x\nValueError: y\n"}
            ),
            "error: boom ValueError: y",
        ),
    ],
)
def test_only_warnings_and_plain_lines_reach_the_terminal(line: str, shown: str | None) -> None:
    assert terminal_text(line) == shown


def test_every_line_reaches_the_file(tmp_path: Path) -> None:
    output = Output(tmp_path, ["api"], io.StringIO())
    quiet = json.dumps({"event": "quiet", "level": "info"})
    output.relay("api", quiet.encode())
    output.relay("api", b"bytes \xff that are no text")
    assert (tmp_path / "api.log").read_text() == f"{quiet}\nbytes \ufffd that are no text\n"


def test_a_closed_terminal_does_not_end_the_service(tmp_path: Path) -> None:
    class ClosedTerminal(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text)

    output = Output(tmp_path, ["api"], ClosedTerminal())
    output.relay("api", b"one")
    output.say("two")
    output.announce("three")
    assert (tmp_path / "api.log").read_text() == "one\n"
    assert (tmp_path / "carprice.log").read_text().endswith(" two\n")


class FullDisk(io.StringIO):
    """A terminal whose file is on a disk that is full at first."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_terminal_on_a_full_disk_is_used_again_when_there_is_space(tmp_path: Path) -> None:
    terminal = FullDisk()
    output = Output(tmp_path, ["api"], terminal)
    output.say("lost")
    terminal.is_full = False
    output.say("shown")
    assert "shown" in terminal.getvalue()


def test_a_log_file_continues_after_a_full_disk_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(tmp_path, ["api"], io.StringIO())
    output.relay("api", b"before")
    log = tmp_path / "api.log"
    log.rename(tmp_path / "kept.log")
    log.symlink_to("/dev/full")
    (handler,) = output._files["api"].handlers
    handler.close()
    for line in (b"one", b"two", b"three"):
        output.relay("api", line)
    log.unlink()
    output.relay("api", b"after")
    assert (tmp_path / "kept.log").read_text() == "before\n"
    assert log.read_text() == ("3 lines are missing here: they could not be written\nafter\n")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("* Ready to accept connections unix", None),
        ("# WARNING Memory overcommit must be enabled! Without it, more", None),
        ("# Valkey is now ready to exit, bye bye...", None),
        ("# Something is wrong", "Something is wrong"),
        (
            "# Bad file format reading the append only file a.aof: make a backup",
            REPAIR_HINT.format(
                error="Bad file format reading the append only file a.aof: make a backup"
            ),
        ),
        (
            "# Error writing to the AOF file: No space left on device",
            "Error writing to the AOF file: No space left on device",
        ),
    ],
)
def test_of_the_servers_lines_only_errors_reach_the_terminal(text: str, shown: str | None) -> None:
    assert terminal_text(f"17:M 29 Nov 2026 13:49:21.976 {text}") == shown


def test_the_stop_of_a_server_is_not_shown() -> None:
    line = "12716:signal-handler (1795969959) Received SIGTERM scheduling shutdown..."
    assert terminal_text(line) is None


def test_a_full_disk_is_shown_once_per_process_and_minute(tmp_path: Path) -> None:
    terminal = io.StringIO()
    output = Output(tmp_path, ["beat", "broker"], terminal)
    for _ in range(3):
        output.relay("beat", b"MISCONF Errors writing to the AOF file: No space left on device")
        output.relay("broker", b"1:M 29 Nov 2026 13:49:21.976 # Short write while writing")
        output.relay("beat", b"OSError: [Errno 28] No space left on device")
    shown = terminal.getvalue().splitlines()
    assert len(shown) == 2
    assert all("the disk is full; trying again until there is space" in line for line in shown)


STACK = """Traceback (most recent call last):
  File "redis/connection.py", line 1, in connect
    sock = self.retry()
           ^^^^^^^^^^^^
ConnectionRefusedError: [Errno 111] Connection refused

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "kombu/connection.py", line 2, in _ensure
redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused."""


def test_an_outage_is_shown_as_one_line_per_process_without_tracebacks(tmp_path: Path) -> None:
    terminal = io.StringIO()
    output = Output(tmp_path, ["beat", "flower"], terminal)
    for name in ("beat", "flower"):
        for line in STACK.splitlines() * 5:
            output.relay(name, line.encode())
        output.relay(name, b'{"event": "Cannot connect to redis://", "level": "error"}')
    shown = terminal.getvalue().splitlines()
    assert len(shown) == 2
    assert all("a server does not answer; trying again (see logs/" in line for line in shown)
    assert (tmp_path / "beat.log").read_text().count("Traceback") == 10


def test_other_tracebacks_are_shown_as_their_last_line(tmp_path: Path) -> None:
    terminal = io.StringIO()
    output = Output(tmp_path, ["api"], terminal)
    for line in ("Traceback (most recent call last):", '  File "x.py"', "ValueError: no", "on"):
        output.relay("api", line.encode())
    assert [line.split("| ")[1] for line in terminal.getvalue().splitlines()] == [
        "ValueError: no", "on",
    ]  # fmt: skip
