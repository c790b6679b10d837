"""A part: what became of a chunk's rows. One blob with four sections and a head."""

from typing import NamedTuple

import msgpack

from shared.adapters.batch_files import part_name
from shared.adapters.batch_parts import HEAD_LENGTH, read_head, read_section
from shared.batch_ports import BlobStore
from shared.domain.batch import RowCounts
from shared.domain.ids import BatchId
from shared.metrics import PriceTally

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


def write_part(blobs: BlobStore, batch_id: BatchId, chunk: int, part: Part) -> None:
    """Write a part: from now on its chunk is done."""
    counts = [part.counts.valid, part.counts.invalid, part.counts.failed]
    lengths = [len(section) for section in part.sections]
    head = msgpack.packb([counts, lengths, part.tally])
    with blobs.write(batch_id, part_name(chunk)) as blob:
        blob.write(HEAD_LENGTH.pack(len(head)) + head)
        for section in part.sections:
            blob.write(section)


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
