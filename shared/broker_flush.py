"""Has the disk take the embedded broker's files each second: `python -m shared.broker_flush`.

A process beside the server, because the server holds back acknowledged commands while it waits for
the disk itself (docs/adr/0031). It may be killed and started again at any time.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

from shared.embedded import APPEND_ONLY
from shared.settings import Settings, SettingsError

FLUSH_EVERY_S = 1.0
"""What a loss of power may cost the broker, and no more."""


def flush_files(folder: Path) -> None:
    """Flush the append-only files of a folder to the disk, as many as there are just now."""
    for path in folder.glob("*.aof"):
        # One that was renewed meanwhile is gone; of a broken disk the server's next write tells.
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def main() -> int:
    """Flush until a signal comes."""
    try:
        folder = Settings.from_env().home.resolve() / "broker" / APPEND_ONLY
    except SettingsError as error:
        print(f"broker_flush: {error}", file=sys.stderr)  # noqa: T201
        return 2
    while True:
        flush_files(folder)
        time.sleep(FLUSH_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
