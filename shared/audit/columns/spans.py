"""Parts of files of the log, whose lines are verified before they become columns."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from shared.audit.chain import GENESIS_HASH, ChainVerifier, last_hash
from shared.audit.columns.schema import Lines, table_of

READ_BYTES = 8 << 20
SPAN_BYTES = 64 << 20
"""A larger file is read in spans of about this length."""


class NotProvenError(Exception):
    """The lines of a span are not those whose hash is known, or are no records."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stamp:
    """What changes with a file."""

    size: int
    changed_ns: int
    """The later of the times at which content and entry of the file were changed."""

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """That of a file now; raises `OSError`."""
        found = path.stat()
        return cls(found.st_size, max(found.st_mtime_ns, found.st_ctime_ns))


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Lines of a file from offset `start` to `end`, between two lines with known hashes."""

    file: str
    start: int
    end: int
    prev: str
    """Hash before the first line."""
    head: str
    """Hash of the last line; "" of an empty span."""
    stamp: Stamp
    """Of the file, before the lines were read."""
    proven_at: int
    """Offset of the line of a checkpoint that proves them, with the spans between."""


def cut(path: Path, span: Span) -> Iterator[Span]:
    """Cut a span at lines with hashes; a segment of a batch, which has one, stays whole.

    Raises:
        OSError: the file cannot be read.
    """
    start, prev = span.start, span.prev
    with path.open("rb") as file:
        while span.end - start > SPAN_BYTES:
            file.seek(start + SPAN_BYTES)
            file.readline()
            at = file.tell()
            head = last_hash(path, at) if at < span.end else None
            if head is None:
                break
            yield dataclasses.replace(span, start=start, end=at, prev=prev, head=head)
            start, prev = at, head
    yield dataclasses.replace(span, start=start, prev=prev)


def tables(folder: Path, span: Span) -> Iterator[pa.Table]:
    """The records of a span.

    Raises:
        OSError: the file cannot be read.
        NotProvenError: the lines are not those that the hash of the last one proves, or no records.
            Tables that came before must not be used.
    """
    chain = ChainVerifier(span.prev)
    waiting, offset = b"", span.start
    with (folder / span.file).open("rb") as file:
        file.seek(span.start)
        rest = b""
        while file.tell() < span.end:
            read = file.read(min(READ_BYTES, span.end - file.tell()))
            if not read:
                raise NotProvenError
            block = rest + read
            whole = block.rfind(b"\n") + 1
            block, rest = block[:whole], block[whole:]
            done = chain.follow_all(block)
            if done is None:
                raise NotProvenError
            waiting += block
            proven = len(waiting) - (len(block) - done) if done else 0
            if proven:
                yield _table(Lines(waiting[:proven], span.file, offset))
                waiting, offset = waiting[proven:], offset + proven
    if rest or waiting or chain.head != (span.head or GENESIS_HASH):
        raise NotProvenError


def _table(lines: Lines) -> pa.Table:
    try:
        return table_of(lines)
    except (ValueError, pa.ArrowException) as error:
        raise NotProvenError(str(error)) from error


def is_as_read(folder: Path, span: Span) -> bool:
    """Whether the last line of a span is still where it was."""
    try:
        return last_hash(folder / span.file, span.end) == span.head
    except OSError:
        return False


def line_at(path: Path, offset: int) -> bytes:
    """The line that begins at an offset; raises `OSError`."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.readline()
