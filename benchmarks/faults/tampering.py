"""Whether `carprice audit verify` accepts the log after all faults, and finds removed records."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.check import Result
from benchmarks.faults.running_service import RunningService

REMOVED_LINES = 50


def verify_log(service: RunningService) -> Result:
    """Verify the log of a stopped service, then copies of it that were tampered with."""
    result = Result(fault="audit log verified; removed lines and files are found")
    folder = service.home / "audit"
    verified = service.run("audit", "verify")
    if verified.returncode:
        result.remarks.append(f"after the faults: {verified.stdout[:1000]}{verified.stderr[:500]}")
    files = sorted(folder.glob("predictions_*.jsonl"), key=lambda path: path.stat().st_size)
    for what, path in (("the last lines", files[-1]), ("a file", files[0])):
        with _kept(path):
            if what == "a file":
                path.unlink()
            else:
                lines = path.read_bytes().splitlines(keepends=True)
                path.write_bytes(b"".join(lines[:-REMOVED_LINES]))
            if service.exit_code("audit", "verify") != 1:
                result.remarks.append(f"{what} removed from {path.name}: not found")
    return result


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Put a file back as it was."""
    copy = path.with_suffix(".copy")
    shutil.copy2(path, copy)
    try:
        yield
    finally:
        copy.replace(path)
