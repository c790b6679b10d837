"""A part: what became of a chunk's rows. One blob with four sections and a head."""

import struct
from typing import BinaryIO, NamedTuple

import msgpack

from shared.adapters.batch_files import part_name
from shared.batch_ports import BlobStore
from shared.domain.batch import RowCounts
from shared.domain.ids import BatchId
from shared.metrics import PriceTally

_HEAD_LENGTH = struct.Struct(">I")


NOTHING_VALUED = PriceTally.of(())


class Part(NamedTuple):
    """Sections of the result files, as they will stand there, without header lines."""

    counts: RowCounts
    results: bytes
    errors: bytes
    rejected: bytes
    audit: bytes = b""
    """The audit segment of the rows that were valued: it is published from here only."""
    tally: PriceTally = NOTHING_VALUED
    """Their prices, for the metrics."""

    @property
    def sections(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The sections, in the order of the blob."""
        return self.results, self.errors, self.rejected, self.audit


class PartHead(NamedTuple):
    """What stands before the sections."""

    counts: RowCounts
    lengths: tuple[int, int, int, int]
    """Bytes of the sections."""
    tally: PriceTally


def write_part(blobs: BlobStore, batch_id: BatchId, chunk: int, part: Part) -> None:
    """Write a part: from now on its chunk is done."""
    counts = [part.counts.valid, part.counts.invalid, part.counts.failed]
    lengths = [len(section) for section in part.sections]
    head = msgpack.packb([counts, lengths, part.tally])
    with blobs.write(batch_id, part_name(chunk)) as blob:
        blob.write(_HEAD_LENGTH.pack(len(head)) + head)
        for section in part.sections:
            blob.write(section)


def read_head(blob: BinaryIO) -> PartHead:
    """Read a part's head; its first section comes next."""
    (length,) = _HEAD_LENGTH.unpack(blob.read(_HEAD_LENGTH.size))
    (valid, invalid, failed), lengths, tally = msgpack.unpackb(blob.read(length))
    counts = RowCounts(valid=valid, invalid=invalid, failed=failed)
    return PartHead(counts, tuple(lengths), PriceTally(*tally))


def read_section(blob: BinaryIO, length: int) -> bytes:
    """Read the next section of a part.

    Raises:
        EOFError: the part is cut off.
    """
    section = blob.read(length)
    if len(section) != length:
        raise EOFError(f"a part ends after {len(section)} of {length} bytes")
    return section


def read_part(blobs: BlobStore, batch_id: BatchId, chunk: int) -> Part | None:
    """A chunk's part; None if the chunk is not done."""
    try:
        with blobs.read(batch_id, part_name(chunk)) as blob:
            head = read_head(blob)
            results, errors, rejected, audit = (read_section(blob, each) for each in head.lengths)
    except FileNotFoundError:
        return None
    return Part(head.counts, results, errors, rejected, audit, head.tally)


def part_counts(blobs: BlobStore, batch_id: BatchId, chunk: int) -> RowCounts | None:
    """Counts of a chunk's part; None if the chunk is not done."""
    try:
        with blobs.read(batch_id, part_name(chunk)) as blob:
            return read_head(blob).counts
    except FileNotFoundError:
        return None
