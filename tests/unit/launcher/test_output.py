"""Which lines of the processes are shown on the terminal, and which only go to log files."""

import io
import json
from pathlib import Path

import pytest

from launcher.output import Output, terminal_text


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
