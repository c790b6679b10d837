"""An audit log of tests, with checkpoints, and queries over it."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli.audit.commands import audit
from shared.audit.chain import day_of, file_name
from shared.audit.checkpoints import Checkpoints
from shared.audit.columns.names import COLUMNS
from shared.audit.columns.opening import open_log
from shared.audit.columns.places import LogPlace
from shared.audit.columns.selection import Selection
from shared.audit.log import AuditLog
from shared.domain.clock import DAY_S
from tests.audit_segments import AT, audit_record, write_segment
from worker.batches.audit_segments import encode_segment

DAY = day_of(AT)


def segment_of(batch_id: str, count: int, **members: Any) -> bytes:
    """The lines of a chunk, as a bulk worker writes them."""
    features = {"company": "kia", "model": "picanto", "year": 2018}
    return encode_segment(
        {
            "id": f"{batch_id}-{row}", "at": AT, "caller": "portal", "batch_id": batch_id,
            "model_version": "v1", "cached": False, "response_time_ms": 1.5, "status": "success",
            "row": row, "features": features, "price_mad": 1000.0 * row, "low_mad": 900.0 * row,
            "high_mad": 1100.0 * row, **members,
        }
        for row in range(1, count + 1)
    )  # fmt: skip


class Log:
    """An audit log with checkpoints in the home of a service."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.place = LogPlace(
            home / "audit", home / "audit-checkpoints", home / "audit-checkpoints.key"
        )
        self.now = AT

    @property
    def folder(self) -> Path:
        """The log."""
        return self.place.folder

    @property
    def columns(self) -> list[Path]:
        """The files of columns."""
        return sorted((self.folder / "columns").glob("*"))

    def checkpoints(self) -> Checkpoints:
        """Those of the log."""
        return Checkpoints(*self.place, lambda: self.now)

    def writer(self, name: str) -> AuditLog:
        """A process that records answers."""
        return AuditLog(self.folder, name, lambda: self.now, checkpoints=self.checkpoints())

    def write(self, car: Any, count: int, name: str = "w", *, days: int = 0, **record: Any) -> str:
        """Write records as a process does that then stops; return the name of the file."""
        self.now = AT + days * DAY_S
        writer = self.writer(name)
        for number in range(count):
            made = audit_record(car, f"{name}-{number}", **record)
            writer.append([dataclasses.replace(made, at=self.now)])
        writer.close()
        return file_name(day_of(self.now), name)

    def write_batch(self, batch_id: str, count: int, **members: Any) -> str:
        """Publish and list the segment of a batch; return the name of the file."""
        name = file_name(DAY, f"batch-{batch_id}-0")
        write_segment(
            self.folder, f"batch-{batch_id}-0", AT, segment_of(batch_id, count, **members)
        )
        self.checkpoints().list_files([self.folder / name])
        return name

    def change(self, name: str, change: Any) -> None:
        """Change the lines of a file, as somebody does who lacks the key."""
        path = self.folder / name
        lines = change(path.read_bytes().splitlines(keepends=True))
        path.unlink()  # a hard link of the lines stays as it was
        path.write_bytes(b"".join(lines))
        os.utime(path, (AT, AT))

    def records(self, **selection: Any) -> list[dict[str, Any]]:
        """The records of a selection; those without a fault."""
        wanted = Selection(**selection)
        log = open_log(self.place, wanted, lambda _done, _total: None)
        return [row for table in log.read(wanted, COLUMNS) for row in table.to_pylist()]


def query(log: Log, *arguments: str) -> Result:
    """Run `carprice audit query`."""
    return CliRunner().invoke(
        audit, ["query", *arguments], env={"CARPRICE_HOME": str(log.home)}, catch_exceptions=False
    )


def found(log: Log, *arguments: str) -> list[dict[str, Any]]:
    """What a query prints as JSON lines; it must find everything."""
    done = query(log, *arguments, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]
