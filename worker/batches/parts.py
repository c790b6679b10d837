"""A part: what became of a chunk's rows. One blob with three sections and a head.

The audit records of the rows lie in a blob of their own, which becomes a file of the audit log by a
link, without being copied. It is durable before the part is: a part never lacks its records.
"""

from typing import NamedTuple

import msgpack

from shared.blobs.batch_files import audit_name, part_name
from shared.blobs.parts import HEAD_LENGTH, PartHead, decode_part_head
from shared.blobs.stores import BlobStore
from shared.domain.batch import RowCounts
from shared.domain.ids import BatchId
from shared.metrics import PriceHistogram

EMPTY_PRICE_TALLY = PriceHistogram.of(())


class Part(NamedTuple):
    """Sections of the result files, as they will stand there, without header lines."""

    counts: RowCounts
    results: bytes
    errors: bytes
    rejected: bytes
    audit: bytes | memoryview = b""
    """The audit segment of the rows that were valued."""
    histogram: PriceHistogram = EMPTY_PRICE_TALLY
    """Their prices, for the metrics."""

    @property
    def sections(self) -> tuple[bytes, bytes, bytes]:
        """The sections, in the order of the blob."""
        return self.results, self.errors, self.rejected

    @property
    def head(self) -> PartHead:
        """What stands before the sections."""
        results, errors, rejected = map(len, self.sections)
        recorded = self.counts.valid if self.audit else 0
        return PartHead(self.counts, (results, errors, rejected), recorded, self.histogram)


def write_part(blobs: BlobStore, batch_id: BatchId, chunk: int, part: Part) -> None:
    """Write a part: from now on its chunk is done."""
    counts, lengths, recorded, histogram = part.head
    packed = msgpack.packb(
        [[counts.valid, counts.invalid, counts.failed], lengths, recorded, histogram]
    )
    records = {audit_name(chunk): [part.audit]} if part.audit else {}
    whole = [HEAD_LENGTH.pack(len(packed)), packed, *part.sections]
    blobs.write_all(batch_id, records | {part_name(chunk): whole}, uncached=records)


def read_part_head(blobs: BlobStore, batch_id: BatchId, chunk: int) -> PartHead | None:
    """The head of a chunk's part; None if the chunk is not done."""
    try:
        with blobs.read(batch_id, part_name(chunk)) as blob:
            return decode_part_head(blob)
    except FileNotFoundError:
        return None
