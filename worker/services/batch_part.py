"""A part: what became of a chunk's rows. One blob with three sections and a head."""

import struct
from typing import BinaryIO, NamedTuple

import msgpack

from shared.adapters.batch_files import part_name
from shared.batch_ports import BlobStore
from shared.domain.batch import RowCounts
from shared.domain.ids import BatchId

_HEAD_LENGTH = struct.Struct(">I")


class Part(NamedTuple):
    """Sections of the result files, as they will stand there, without header lines."""

    counts: RowCounts
    results: bytes
    errors: bytes
    rejected: bytes

    @property
    def sections(self) -> tuple[bytes, bytes, bytes]:
        """The three sections, in the order of the blob."""
        return self.results, self.errors, self.rejected


class PartHead(NamedTuple):
    """What stands before the sections."""

    counts: RowCounts
    lengths: tuple[int, int, int]
    """Bytes of the sections."""


def write_part(blobs: BlobStore, batch_id: BatchId, chunk: int, part: Part) -> None:
    """Write a part: from now on its chunk is done."""
    counts = [part.counts.valid, part.counts.invalid, part.counts.failed]
    head = msgpack.packb([counts, [len(section) for section in part.sections]])
    with blobs.write(batch_id, part_name(chunk)) as blob:
        blob.write(_HEAD_LENGTH.pack(len(head)) + head)
        for section in part.sections:
            blob.write(section)


def read_head(blob: BinaryIO) -> PartHead:
    """Read a part's head; its first section comes next."""
    (length,) = _HEAD_LENGTH.unpack(blob.read(_HEAD_LENGTH.size))
    (valid, invalid, failed), lengths = msgpack.unpackb(blob.read(length))
    counts = RowCounts(valid=valid, invalid=invalid, failed=failed)
    return PartHead(counts, tuple(lengths))


def part_counts(blobs: BlobStore, batch_id: BatchId, chunk: int) -> RowCounts | None:
    """Counts of a chunk's part; None if the chunk is not done."""
    try:
        with blobs.read(batch_id, part_name(chunk)) as blob:
            return read_head(blob).counts
    except FileNotFoundError:
        return None
