"""Run `shared.tabular.tables.child` on a file, and take what it writes."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, Protocol

import orjson

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.table import FileKind
from shared.logging import get_logger

BLOCK_BYTES = 1 << 20
PROGRESS_INTERVAL_S = 5.0
REPORT_MAX_BYTES = 65_536
CHILD_ENV = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
"""Arrow's own pools ask for far more memory than they use, which its limit would count."""

INHERITED_ENV = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""What the reader may know of the worker's environment, which holds passwords."""

log = get_logger("batch.table")


class ByteSink(Protocol):
    """What takes bytes: a file, or a writer of the blob store."""

    def write(self, data: bytes, /) -> object:
        """Write the next bytes."""
        ...


class TableReadRequest(NamedTuple):
    """What is to be read."""

    kind: FileKind
    sheet: str | None
    headers: tuple[str, ...]
    """What the caller calls the columns."""
    max_bytes: int
    """Most bytes that may come out."""
    header_row: int | None = None
    """Number of the row that the caller names as the header of a sheet."""
    max_rows: int | None = None
    """Rows below the header that are read, for a preview; None: all."""


class ReadCancelled(Exception):
    """Nobody wants the rows any more."""


class ReaderKilled(Exception):
    """Somebody else ended the reader, when memory was short for instance: worth another try."""


def read_table(
    source: BinaryIO,
    target: ByteSink,
    order: TableReadRequest,
    spool: Path,
    should_continue: Callable[[], bool],
) -> dict[str, Any]:
    """Write the rows of a workbook or Parquet file to `target`; what the reader found besides.

    Args:
        source: the file, from the blob store.
        target: where the numbered CSV goes.
        order: what is to be read.
        spool: folder for a copy of a file that is no local one; it has no name there, so
            nothing is left of it after a crash.
        should_continue: called every few seconds; whether to.

    Raises:
        UnreadableUpload: it is refused, or its reader died of it.
        ReadCancelled: `should_continue` said no.
        ReaderKilled: the reader was ended from outside.
    """
    with _local(source, spool, should_continue) as file, tempfile.TemporaryFile() as report:
        child = _start(file, report, order)
        try:
            _copy(child, target, should_continue)
            status = child.wait()
        finally:
            child.kill()
            child.wait()
            _close(child)
        found = _last_line(report)
    if found is None and status == -signal.SIGKILL:
        raise ReaderKilled
    if found is None:
        log.warning("table_reader_died", status=status, kind=order.kind)
        # By its limits, or by the file: either way not on another try.
        raise UnreadableUpload([FieldProblem("/file", "table-too-large")])
    if "problems" in found:
        raise UnreadableUpload(
            [FieldProblem(pointer, code, **params) for pointer, code, params in found["problems"]]
        )
    return found


def _local(source: BinaryIO, spool: Path, should_continue: Callable[[], bool]) -> IO[bytes]:
    """The file itself if it lies on this machine, or a copy of it."""
    try:
        return os.fdopen(os.dup(source.fileno()), "rb")
    except OSError:  # io.UnsupportedOperation is one: it lies in another machine's store
        spool.mkdir(parents=True, exist_ok=True)
        copy = tempfile.TemporaryFile(dir=spool)  # noqa: SIM115 - the caller closes it
        while block := source.read(BLOCK_BYTES):
            copy.write(block)
            if not should_continue():
                copy.close()
                raise ReadCancelled from None
        copy.flush()
        return copy


def _start(
    file: IO[bytes], report: IO[bytes], order: TableReadRequest
) -> "subprocess.Popen[bytes]":
    payload = order._asdict() | {"fd": file.fileno()}
    return subprocess.Popen(
        [sys.executable, "-m", "shared.tabular.tables.child", orjson.dumps(payload).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=report,
        pass_fds=(file.fileno(),),
        env={name: os.environ[name] for name in INHERITED_ENV if name in os.environ} | CHILD_ENV,
    )


def _copy(
    child: "subprocess.Popen[bytes]", target: ByteSink, should_continue: Callable[[], bool]
) -> None:
    """Write what the child writes, to its end."""
    if child.stdout is None:
        raise RuntimeError("the child has no output")
    rows = child.stdout.fileno()
    poll = select.poll()  # select() refuses descriptors from 1024 on
    poll.register(rows, select.POLLIN)
    while True:
        ready = poll.poll(PROGRESS_INTERVAL_S * 1000)
        if not should_continue():
            raise ReadCancelled
        if ready:
            block = os.read(rows, BLOCK_BYTES)
            if not block:
                return
            target.write(block)


def _close(child: "subprocess.Popen[bytes]") -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _last_line(report: IO[bytes]) -> dict[str, Any] | None:
    """What the child said at its end; None if it did not live to say it."""
    size = report.seek(0, os.SEEK_END)
    report.seek(max(0, size - REPORT_MAX_BYTES))
    lines = report.read().splitlines()
    try:
        found = orjson.loads(lines[-1])
    except (IndexError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None
