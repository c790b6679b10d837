"""The part blob: the results of one chunk. Workers write and assemble it, the API reads it early.

A part is a length-prefixed msgpack head followed by three sections: the chunk's lines of the
results, of the error report and of the rejected rows, without header lines. The audit records of
the rows are a blob of their own, so that it can become a file of the audit log by a hard link. That
blob is durable before the part is: no part lacks its records.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, BinaryIO, NamedTuple

import msgpack

from shared.blobs.batch_files import PARTS, RESULTS, audit_name, chunk_of, part_name
from shared.blobs.row_lines import LineRun, line_runs
from shared.blobs.stores import BlobStore
from shared.domain.batch import (
    REJECTED_COLUMNS,
    BatchManifest,
    RowCounts,
    result_header,
    source_columns,
)
from shared.domain.errors import record_errors
from shared.domain.files.notes import AskingSides, NoteCount
from shared.domain.ids import BatchId
from shared.metrics import PriceHistogram
from shared.tabular.cells import csv_lines, escape_header

HEAD_LENGTH = struct.Struct(">I")
HEAD_MAX_BYTES = 1 << 16
"""Larger than most heads."""
BLOCK_BYTES = 1 << 18


class PartHead(NamedTuple):
    """What precedes the sections."""

    counts: RowCounts
    lengths: tuple[int, int, int]
    """Bytes of the sections."""
    recorded: int
    """Number of audit records in the blob beside the part."""
    histogram: PriceHistogram
    """Prices of the valued rows, for the metrics."""
    notes: Sequence[NoteCount] = ()
    """Notes on the valid rows."""
    asking_sides: AskingSides = AskingSides()
    line_runs: Sequence[LineRun] = ()
    """Lines of the rows in the file; empty in parts of older versions."""

    def encode(self) -> bytes:
        """Encode the head; the inverse of `decode_part_head`."""
        packed: bytes = msgpack.packb([list(self.counts), *self[1:]])
        return HEAD_LENGTH.pack(len(packed)) + packed


class Part(NamedTuple):
    """The results of one chunk, before they are written."""

    counts: RowCounts
    results: bytes
    errors: bytes
    rejected: bytes
    audit: bytes | memoryview = b""
    """The audit segment of the valued rows."""
    prices_mad: Sequence[float] = ()
    """Prices of the valued rows, in any order."""
    notes: Sequence[NoteCount] = ()
    asking_sides: AskingSides = AskingSides()
    lines: Sequence[int] = ()
    """Line of each row in the file, ascending."""

    @property
    def head(self) -> PartHead:
        """The head of the part's blob."""
        return PartHead(
            counts=self.counts,
            lengths=(len(self.results), len(self.errors), len(self.rejected)),
            recorded=self.counts.valid if self.audit else 0,
            histogram=PriceHistogram.of(self.prices_mad),
            notes=self.notes,
            asking_sides=self.asking_sides,
            line_runs=line_runs(self.lines),
        )


def write_part(blobs: BlobStore, batch_id: BatchId, chunk: int, part: Part) -> PartHead:
    """Write a part, which makes its chunk done; return its head."""
    head = part.head
    records = {audit_name(chunk): [part.audit]} if part.audit else {}
    whole = [head.encode(), part.results, part.errors, part.rejected]
    blobs.write_all(batch_id, records | {part_name(chunk): whole}, uncached=records)
    return head


def read_part_head(blobs: BlobStore, batch_id: BatchId, chunk: int) -> PartHead | None:
    """Read the head of a chunk's part; None if the chunk is not done."""
    name = part_name(chunk)
    try:
        start = blobs.load(batch_id, name, HEAD_MAX_BYTES)
    except FileNotFoundError:
        return None
    if len(start) == HEAD_MAX_BYTES:
        (length,) = HEAD_LENGTH.unpack_from(start)
        if HEAD_LENGTH.size + length > HEAD_MAX_BYTES:
            start = blobs.load(batch_id, name, HEAD_LENGTH.size + length)
    return decode_part_head(io.BytesIO(start))


def split_part(part: bytes) -> tuple[PartHead, list[memoryview]]:
    """The head and the sections of a whole part.

    Raises:
        EOFError, UnreadableRecord: as of `decode_part_head`.
    """
    blob = io.BytesIO(part)
    head = decode_part_head(blob)
    start, sections = blob.tell(), []
    for length in head.lengths:
        sections.append(memoryview(part)[start : start + length])
        start += length
    if start > len(part):
        raise EOFError(f"a part ends after {len(part)} of {start} bytes")
    return head, sections


def decode_part_head(blob: BinaryIO) -> PartHead:
    """Read the head from an open part; its first section comes next.

    Raises:
        EOFError: the part is truncated.
        UnreadableRecord: its content cannot be understood.
    """
    (length,) = HEAD_LENGTH.unpack(read_section(blob, HEAD_LENGTH.size))
    packed = read_section(blob, length)
    with record_errors():
        return _part_head(msgpack.unpackb(packed))


def _part_head(values: Sequence[Any]) -> PartHead:
    # A part of an older version has no notes; further values of a newer one are ignored.
    counts, lengths, recorded, histogram, *later = values
    notes, sides, runs, *_ = (*later, (), (), ())
    return PartHead(
        RowCounts(*counts[:3]),
        tuple(lengths),
        recorded,
        PriceHistogram(*histogram[: len(PriceHistogram._fields)]),
        [NoteCount.from_list(each) for each in notes],
        AskingSides(*sides[:3]),
        list(map(LineRun.from_list, runs)),
    )


def read_section(blob: BinaryIO, length: int) -> bytes:
    """Read the next section of an open part.

    Raises:
        EOFError: the part is truncated.
    """
    section = blob.read(length)
    if len(section) != length:
        raise EOFError(f"a part ends after {len(section)} of {length} bytes")
    return section


def header_lines(manifest: BatchManifest) -> tuple[bytes, bytes, bytes]:
    """The header lines of the result files: results, errors, rejected."""
    header, dialect = manifest.dialect.header, manifest.dialect
    source = escape_header([header[index] for index in source_columns(header)])
    ours = result_header(header, verdicts=dialect.asking_index is not None)[len(source) :]
    results, rejected = (
        [[name] for name in [*source, *added]] for added in (ours, REJECTED_COLUMNS)
    )
    delimiter = manifest.result_delimiter
    return csv_lines(results, delimiter), b"", csv_lines(rejected, delimiter)


def contiguous_parts(blobs: BlobStore, batch_id: BatchId) -> list[str]:
    """Names of the parts from the first up to the first missing one."""
    names = enumerate(blobs.names(batch_id, PARTS))
    return [name for _, name in takewhile(lambda one: one[0] == chunk_of(one[1]), names)]


def partial_results(blobs: BlobStore, manifest: BatchManifest) -> Iterator[bytes]:
    """The results of an unfinished batch, up to the first chunk that is not done.

    They are a prefix of the final result file. If the batch ends meanwhile, its parts are deleted;
    the rest is then read from the result file.
    """
    head, _, _ = header_lines(manifest)
    yield head
    sent = len(head)
    for name in contiguous_parts(blobs, manifest.id):
        try:
            with blobs.read(manifest.id, name) as part:
                section = read_section(part, decode_part_head(part).lengths[0])
        except FileNotFoundError:
            yield from read_blocks(blobs.read(manifest.id, RESULTS), sent, None)
            return
        yield section
        sent += len(section)


def read_blocks(blob: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    """The bytes of a blob from `start` up to, not including, `stop`; to its end if that is None."""
    with blob:
        blob.seek(start)
        while block := blob.read(BLOCK_BYTES if stop is None else min(BLOCK_BYTES, stop - start)):
            start += len(block)
            yield block
