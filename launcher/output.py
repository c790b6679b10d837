"""What the processes print: everything to files, what a person needs to the terminal."""

import datetime as dt
import json
import logging
import logging.handlers
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

LOG_FILE_MAX_BYTES = 10_000_000
LOG_FILES_KEPT = 3
SHOWN_LEVELS = {"warning", "error", "critical"}
HIDDEN_FIELDS = {"event", "level", "at", "process", "exception"}
SUPERVISOR_NAME = "carprice"
OUTAGE_PATTERN = re.compile(
    r"connection (refused|reset|closed|aborted)|connection to broker|cannot connect to"
    r"|error \d+ connecting|error while reading from|connectionerror|timeout (reading|connecting)"
    r"|loading the dataset|broker_?unavailable|broken pipe",
    re.IGNORECASE,
)
"""What the libraries say while a server does not answer."""
OUTAGE_QUIET_S = 60.0
"""After this time without a word about it, the next word is about another outage."""
TRACEBACK_END = re.compile(r"[A-Za-z_][\w.]*(?:: .*)?$")
"""The last line of a stack: the exception's class, and what it says."""
TRACEBACK_LINK = re.compile(r"(During handling of|The above exception was|Traceback \()")


def terminal_text(line: str) -> str | None:
    """How a line of a process appears in the terminal; None if it goes to the file only.

    JSON log lines below warning stay in the file; the others are written for people.
    """
    if not line.strip():
        return None
    try:
        record = json.loads(line) if line.startswith("{") else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or "event" not in record:
        return line
    if record.get("level") not in SHOWN_LEVELS:
        return None
    return _readable(record)


def _readable(record: dict[str, Any]) -> str:
    """A log record in one line."""
    rest = [f"{key}={value}" for key, value in record.items() if key not in HIDDEN_FIELDS]
    last_line = str(record.get("exception", "")).strip().splitlines()[-1:]
    return " ".join([f"{record['level']}: {record['event']}", *rest, *last_line])


class TerminalFilter:
    """What one process has to say on the terminal: no stacks, one line for each outage."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_traceback = False
        self._outage_at = float("-inf")

    def text(self, line: str) -> str | None:
        """How a line appears; None if it goes to the file only."""
        shown = terminal_text(line)
        if shown is None or self._is_traceback(shown):
            return None
        if not OUTAGE_PATTERN.search(shown):
            return shown
        now, before = time.monotonic(), self._outage_at
        self._outage_at = now
        if now - before < OUTAGE_QUIET_S:
            return None
        return f"a server does not answer; trying again (see logs/{self._name}.log)"

    def _is_traceback(self, line: str) -> bool:
        """Whether a line is of a stack; its last line, which says what happened, is not."""
        if TRACEBACK_LINK.match(line):
            self._in_traceback = True
            return True
        if self._in_traceback and (line.startswith(" ") or not TRACEBACK_END.match(line)):
            return True
        self._in_traceback = False
        return False


class Output:
    """The terminal and one rotating log file per process."""

    def __init__(self, folder: Path, names: list[str], terminal: TextIO | None = None) -> None:
        """Open the files.

        Args:
            folder: where `<name>.log` is written.
            names: of the processes; they also give the width of the prefix.
            terminal: standard output when not given.
        """
        self._terminal = sys.stdout if terminal is None else terminal
        self._printer = Printer(self._terminal, width=max(map(len, [SUPERVISOR_NAME, *names])))
        self._colours = dict(zip(names, get_colours(), strict=False))
        self._files = {
            name: _log_file(folder / f"{name}.log") for name in [SUPERVISOR_NAME, *names]
        }
        self._filters = {name: TerminalFilter(name) for name in names}
        self._terminal_gone = False

    def relay(self, name: str, line: bytes) -> None:
        """Pass on one line of a process."""
        text = line.decode(errors="replace").rstrip()
        self._files[name].info(text)
        shown = self._filters[name].text(text)
        if shown is not None:
            self._print(name, shown)

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        now = dt.datetime.now(tz=dt.UTC)
        self._files[SUPERVISOR_NAME].info("%s %s", now.isoformat(timespec="seconds"), text)
        self._print(SUPERVISOR_NAME, text)

    def announce(self, text: str) -> None:
        """Several lines for a person, without a prefix."""
        self._to_terminal(lambda: print(text, file=self._terminal, flush=True))

    def _print(self, name: str, text: str) -> None:
        local_now = dt.datetime.now().astimezone()
        message = Message("line", text, local_now, name, self._colours.get(name))
        self._to_terminal(lambda: self._printer.write(message))

    def _to_terminal(self, write: Callable[[], None]) -> None:
        """Write, unless the terminal is gone: that must not end the service."""
        if self._terminal_gone:
            return
        try:
            write()
        except OSError:
            self._terminal_gone = True


def _log_file(path: Path) -> logging.Logger:
    """A logger that writes bare lines to one rotating file."""
    # A logger of its own: two runs in one interpreter must not share handlers by name.
    logger = logging.Logger(path.stem)  # noqa: LOG001
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=LOG_FILE_MAX_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    return logger
