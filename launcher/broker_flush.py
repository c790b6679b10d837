"""Calls fsync on the append-only files of the embedded broker: `python -m launcher.broker_flush`.

It is a separate process because the server, when it calls fsync itself, acknowledges commands that
it holds only in its own memory (docs/adr/0031). It may be killed and restarted at any time.
"""

import os
import socket
import sys
import time
from pathlib import Path

from launcher.embedded import AOF_FOLDER, FULL_DISK_ERRORS
from shared.redis.servers import socket_path
from shared.settings import Settings, SettingsError

FLUSH_INTERVAL_S = 1.0
"""Pause after each flush; a power failure loses what was written in it and during the flush."""

ANSWER_TIMEOUT_S = 2.0


def fsync_aof_files(folder: Path) -> None:
    """Call fsync on every append-only file of a folder.

    Raises:
        OSError: fsync failed. The data may be lost for good: the system reports that only once.
    """
    for path in folder.glob("*.aof"):
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # the server has rewritten it meanwhile
            continue
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def main() -> int:
    """Flush until a signal arrives or the disk fails.

    After a failed fsync the broker writes its data to new files. On a full disk it is asked again
    until it has done so; after another error this process ends, which the supervisor reports.
    """
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        return _fail(str(error), 2)
    folder = settings.home.resolve() / "broker" / AOF_FOLDER
    damaged: set[Path] = set()
    while True:
        try:
            fsync_aof_files(folder)
            if damaged & _base_files(folder):
                _rewrite_aof(settings)
        except OSError as error:
            is_new = not damaged
            damaged = _base_files(folder)
            remedy = _rewrite_aof(settings)
            if error.errno not in FULL_DISK_ERRORS or is_new:
                _fail(f"the disk does not take what the broker acknowledged: {error}; {remedy}")
            if error.errno not in FULL_DISK_ERRORS:
                return 1
        time.sleep(FLUSH_INTERVAL_S)


def _base_files(folder: Path) -> set[Path]:
    """The base files, which get other names when the broker has rewritten its data."""
    return set(folder.glob("*.base.*"))


def _rewrite_aof(settings: Settings) -> str:
    """Make the server write its data to new files, including the data that fsync lost."""
    # Importing the client library would take four times the memory of this process.
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(ANSWER_TIMEOUT_S)
            server.connect(str(socket_path(settings, "broker")))
            server.sendall(b"BGREWRITEAOF\r\n")
            answer = server.recv(200).decode(errors="replace").strip()
    except OSError as error:
        answer = f"-{error}"
    if answer.startswith("-"):
        return f"and the broker does not write its files anew: {answer[1:]}"
    return "the broker writes all it remembers into new files"


def _fail(message: str, code: int = 1) -> int:
    print(f"broker_flush: {message}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
