"""What the processes print: everything to files, what a person needs to the terminal."""

import datetime as dt
import json
import logging
import logging.handlers
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

LOG_FILE_MAX_BYTES = 10_000_000
LOG_FILES_KEPT = 3
SHOWN_LEVELS = {"warning", "error", "critical"}
NOT_SHOWN_FIELDS = {"event", "level", "at", "process", "exception"}
OWN_NAME = "carprice"


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
    rest = [f"{key}={value}" for key, value in record.items() if key not in NOT_SHOWN_FIELDS]
    last_line = str(record.get("exception", "")).strip().splitlines()[-1:]
    return " ".join([f"{record['level']}: {record['event']}", *rest, *last_line])


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
        self._printer = Printer(self._terminal, width=max(map(len, [OWN_NAME, *names])))
        self._colours = dict(zip(names, get_colours(), strict=False))
        self._files = {name: _log_file(folder / f"{name}.log") for name in [OWN_NAME, *names]}
        self._terminal_gone = False

    def relay(self, name: str, line: bytes) -> None:
        """Pass on one line of a process."""
        text = line.decode(errors="replace").rstrip()
        self._files[name].info(text)
        shown = terminal_text(text)
        if shown is not None:
            self._print(name, shown)

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        now = dt.datetime.now(tz=dt.UTC)
        self._files[OWN_NAME].info("%s %s", now.isoformat(timespec="seconds"), text)
        self._print(OWN_NAME, text)

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
