"""What of the processes' output a person sees, and what goes to the files only."""

import io
import json
from pathlib import Path

import pytest

from api.launcher.output import Output, terminal_text


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
