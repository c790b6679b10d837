"""Sums the lines of files of the audit log: `python -m shared.audit.sum_files FOLDER < names`.

Run as a program it prints the sums of each named file as a line, as `sums/<day>.ndjson` has them.
"""

import contextlib
import os
import sys
from pathlib import Path

from shared.audit.chain import last_hash
from shared.audit.sums import FileSums, StoredSums
from shared.logging import get_logger

READ_BYTES = 1 << 20
NICENESS = 10

log = get_logger("audit.stats")


def sum_lines(path: Path, start: int = 0) -> StoredSums:
    """Sum the complete lines from offset `start` on; a line that is no record is skipped.

    The size of the result is the offset of its end in the file.

    Raises:
        OSError: the file cannot be read.
    """
    sums, rest, end = FileSums(), b"", start
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(READ_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                try:
                    sums.add_line(line)
                except (KeyError, TypeError, ValueError) as error:
                    log.warning("audit_line_unreadable", file=path.name, error=repr(error))
        # A last line without line feed is being written or was cut off by a crash.
        end = file.tell() - len(rest)
    return StoredSums(path.name, end, last_hash(path, end) or "", sums)


def main() -> None:
    """Sum the files named by the lines of the standard input."""
    os.nice(NICENESS)
    folder = Path(sys.argv[1])
    for name in sys.stdin.read().splitlines():
        with contextlib.suppress(FileNotFoundError):
            sys.stdout.buffer.write(sum_lines(folder / name).encode())


if __name__ == "__main__":
    main()
