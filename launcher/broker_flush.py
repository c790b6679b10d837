"""Has the disk take the embedded broker's files each second: `python -m launcher.broker_flush`.

A process beside the server, because the server holds back acknowledged commands while it waits for
the disk itself (docs/adr/0031). It may be killed and started again at any time.
"""

import os
import socket
import sys
import time
from pathlib import Path

from launcher.embedded import AOF_FOLDER
from shared.redis.servers import socket_path
from shared.settings import Settings, SettingsError

FLUSH_INTERVAL_S = 1.0
"""Pause after each flush: a loss of power costs the broker what came in it and during the flush."""

ANSWER_TIMEOUT_S = 2.0


def fsync_aof_files(folder: Path) -> None:
    """Flush the append-only files of a folder to the disk, as many as there are just now.

    Raises:
        OSError: the disk refuses; what it was to take may never be on it, because the system
            reports such a loss once only.
    """
    for path in folder.glob("*.aof"):
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # the server has written it anew meanwhile
            continue
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def main() -> int:
    """Flush until a signal comes, or the disk refuses."""
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        return _fail(str(error), 2)
    try:
        while True:
            fsync_aof_files(settings.home.resolve() / "broker" / AOF_FOLDER)
            time.sleep(FLUSH_INTERVAL_S)
    except OSError as error:
        cure = _rewrite_aof(settings)
        return _fail(f"the disk does not take what the broker acknowledged: {error}; {cure}")


def _rewrite_aof(settings: Settings) -> str:
    """Have the server write all it remembers into new files; what the disk lost is in there."""
    # The client library would take four times the memory of this process, for one line.
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
