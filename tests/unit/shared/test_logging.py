"""Logs say what failed and where, and nothing of the values that callers sent."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.logging import configure_logging, get_logger

SECRET = "0612345678"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a configured process writes to standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    output = io.StringIO()
    monkeypatch.setattr("sys.stderr", output)
    configure_logging("info", "test")
    yield output
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def line(written: io.StringIO) -> dict[str, str]:
    members: dict[str, str] = json.loads(written.getvalue())
    return members


def fail() -> None:
    try:
        float(f"seller {SECRET}")
    except ValueError as error:
        raise KeyError(SECRET) from error


def test_the_text_of_an_exception_is_left_out_of_its_stack(
    written: io.StringIO,
) -> None:
    try:
        fail()
    except KeyError as error:
        get_logger("test").exception("step_failed", step="3", error=str(error))
    found = line(written)
    assert SECRET not in json.dumps(found)
    assert (found["event"], found["step"], found["error"]) == (
        "step_failed", "3", "KeyError",
    )  # fmt: skip
    assert "ValueError" in found["exception"]
    assert "in fail" in found["exception"]


def test_a_message_of_a_library_about_an_exception_is_logged_without_its_arguments(
    written: io.StringIO,
) -> None:
    try:
        fail()
    except KeyError as error:
        text = str(error)
        logging.getLogger("celery.worker").exception("Task %s raised %s", "value", text)
    found = line(written)
    assert SECRET not in json.dumps(found)
    assert found["event"] == "Task %s raised %s"
    assert "KeyError" in found["exception"]


def test_the_text_of_a_failed_system_call_is_kept(written: io.StringIO) -> None:
    error = OSError(28, "No space left on device", "/home/audit")
    get_logger("test").error("not_written", exc_info=error)
    assert "No space left on device: '/home/audit'" in line(written)["exception"]
