"""Output of the processes: all lines go to log files, relevant lines also to the terminal."""

import contextlib
import datetime as dt
import json
import logging
import logging.handlers
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from launcher.embedded import FULL_DISK_ERRORS
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _

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
"""Messages of libraries while a server does not answer."""
FULL_DISK_PATTERN = re.compile(
    r"no space left on device|disk quota exceeded|database or disk is full|misconf|short write"
    r"|\[errno (28|122)\]",
    re.IGNORECASE,
)
"""Messages while a disk is full; a broker that cannot write its file refuses with MISCONF."""
SERVER_LINE = re.compile(r"\d+:[A-Z] \d\d? \w+ \d{4} [\d:.]+ (?P<level>[.*#-]) (?P<text>.*)")
"""A line of Valkey; the level `#` is a warning."""
SERVER_NOTICE = re.compile(
    r"WARNING Memory overcommit|WARNING:? |.* is now ready to exit|Received SIG"
)
"""Warnings about the machine, and what it says when it is stopped."""
SERVER_SIGNAL = re.compile(r"\d+:signal-handler \(\d+\) ")
"""What a server says about a signal, in a form of its own."""
SERVER_FILE_ERROR = re.compile(
    r"(reading|open) the append only file|AOF (file .*exist|manifest)|reading RDB|RDB (file|CRC)"
    r"|load(ing)? DB|Unknown command",
    re.IGNORECASE,
)
"""Messages about a file that cannot be read."""
REPAIR_HINT = mark("{error} - stop the service and run `carprice repair-broker`")
OUTAGE_QUIET_S = 60.0
"""After this time without such a message, the next one counts as another outage."""
TRACEBACK_END = re.compile(r"[A-Za-z_][\w.]*(?:: .*)?$")
"""The last line of a traceback: class and message of the exception."""
TRACEBACK_LINK = re.compile(r"(During handling of|The above exception was|Traceback \()")


def terminal_text(line: str) -> str | None:
    """The text of a line on the terminal; None if it only goes to the file.

    JSON log lines below the level warning are not shown, nor are those of the embedded servers.
    Other lines are.
    """
    if not line.strip():
        return None
    if SERVER_SIGNAL.match(line):
        return None
    if entry := SERVER_LINE.fullmatch(line):
        return _server_text(entry["level"], entry["text"])
    try:
        record = json.loads(line) if line.startswith("{") else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or "event" not in record:
        return line
    if record.get("level") not in SHOWN_LEVELS:
        return None
    rest = [f"{key}={value}" for key, value in record.items() if key not in HIDDEN_FIELDS]
    last_line = str(record.get("exception", "")).strip().splitlines()[-1:]
    return " ".join([f"{record['level']}: {record['event']}", *rest, *last_line])


def _server_text(level: str, text: str) -> str | None:
    """The text of a line of an embedded server."""
    if level != "#" or SERVER_NOTICE.match(text):
        return None
    return _(REPAIR_HINT).format(error=text) if SERVER_FILE_ERROR.search(text) else text


class TerminalFilter:
    """Filters the lines of one process: no tracebacks, and one line for each outage."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_traceback = False
        self._shown_at: dict[str, float] = {}

    def text(self, line: str) -> str | None:
        """The text of a line on the terminal; None if it only goes to the file."""
        shown = terminal_text(line)
        if shown is None or self._is_traceback(shown):
            return None
        if FULL_DISK_PATTERN.search(shown):
            return self._once(_("the disk is full; trying again until there is space"))
        if OUTAGE_PATTERN.search(shown):
            return self._once(_("a server does not answer; trying again"))
        return shown

    def _once(self, text: str) -> str | None:
        """A text with the name of the log; None if it was due a short time ago, too."""
        now, before = time.monotonic(), self._shown_at.get(text, float("-inf"))
        self._shown_at[text] = now
        if now - before < OUTAGE_QUIET_S:
            return None
        return _("{text} (see {file})").format(text=text, file=f"logs/{self._name}.log")

    def _is_traceback(self, line: str) -> bool:
        """Whether a line belongs to a traceback, except its last line with the exception."""
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
            folder: of the files `<name>.log`.
            names: of the processes.
            terminal: standard output if not given.
        """
        self._terminal = sys.stdout if terminal is None else terminal
        self._printer = Printer(
            self._terminal,
            width=max(map(len, [SUPERVISOR_NAME, *names])),
            colour=not os.environ.get("NO_COLOR"),
        )
        self._colours = dict(zip(names, get_colours(), strict=False))
        self._files = {
            name: _log_file(folder / f"{name}.log") for name in [SUPERVISOR_NAME, *names]
        }
        self._filters = {name: TerminalFilter(name) for name in names}
        self._terminal_gone = False

    def relay(self, name: str, line: bytes) -> None:
        """Write a line of a process."""
        text = line.decode(errors="replace").rstrip()
        self._files[name].info(text)
        shown = self._filters[name].text(text)
        if shown is not None:
            self._print(name, shown)

    def say(self, text: str) -> None:
        """Write a line of the supervisor."""
        now = dt.datetime.now(tz=dt.UTC)
        self._files[SUPERVISOR_NAME].info("%s %s", now.isoformat(timespec="seconds"), text)
        self._print(SUPERVISOR_NAME, text)

    def announce(self, text: str) -> None:
        """Write several lines to the terminal only, without prefix."""
        self._to_terminal(lambda: print(text, file=self._terminal, flush=True))

    def _print(self, name: str, text: str) -> None:
        local_now = dt.datetime.now().astimezone()
        message = Message("line", text, local_now, name, self._colours.get(name))
        self._to_terminal(lambda: self._printer.write(message))

    def _to_terminal(self, write: Callable[[], None]) -> None:
        """Write to the terminal; the service goes on if the terminal has been closed.

        A file on a full disk gets the lines again that come when there is space.
        """
        if self._terminal_gone:
            return
        try:
            write()
        except OSError as error:
            self._terminal_gone = error.errno not in FULL_DISK_ERRORS


class LogFileHandler(logging.handlers.RotatingFileHandler):
    """Rotating file that drops lines while they cannot be written, and then says how many."""

    _dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, preceded by the number of lines dropped before it."""
        if self._dropped:
            count, self._dropped = self._dropped, 0
            text = f"{count} lines are missing here: they could not be written"
            super().emit(logging.makeLogRecord({"msg": text}))
            if self._dropped:
                self._dropped += count
                return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Count a line that cannot be written; the next one opens the file again."""
        self._dropped += 1
        if self.stream is not None:
            stream, self.stream = self.stream, None  # as `close` does
            with contextlib.suppress(OSError):  # it tries to write what it holds
                stream.close()


def _log_file(path: Path) -> logging.Logger:
    """A logger that writes lines without prefix to a rotating file."""
    # Not by `getLogger`: two runs in one interpreter would share handlers.
    logger = logging.Logger(path.stem)  # noqa: LOG001
    handler = LogFileHandler(
        path, maxBytes=LOG_FILE_MAX_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    return logger
