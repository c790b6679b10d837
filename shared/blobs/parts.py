"""How parts are read: by the worker that puts them together, and by the API before that.

A part is the outcome of one chunk: a head, then its sections of the result files.
"""

import csv
import io
import struct
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import BinaryIO, NamedTuple

import msgpack

from shared.blobs.batch_files import PARTS, RESULTS, chunk_of
from shared.blobs.stores import BlobStore
from shared.domain.batch import (
    REJECTED_COLUMNS,
    BatchManifest,
    RowCounts,
    result_header,
    source_columns,
)
from shared.domain.ids import BatchId
from shared.metrics import PriceHistogram
from shared.tabular.cells import escape_header
from shared.tabular.headers import asking_column_index

HEAD_LENGTH = struct.Struct(">I")
BLOCK_BYTES = 1 << 18


class PartHead(NamedTuple):
    """What stands before the sections."""

    counts: RowCounts
    lengths: tuple[int, int, int]
    """Bytes of the sections."""
    recorded: int
    """How many rows have an audit record, in the blob beside the part."""
    histogram: PriceHistogram


def decode_part_head(blob: BinaryIO) -> PartHead:
    """Read a part's head; its first section comes next."""
    (length,) = HEAD_LENGTH.unpack(blob.read(HEAD_LENGTH.size))
    (valid, invalid, failed), lengths, recorded, histogram = msgpack.unpackb(blob.read(length))
    counts = RowCounts(valid=valid, invalid=invalid, failed=failed)
    return PartHead(counts, tuple(lengths), recorded, PriceHistogram(*histogram))


def read_section(blob: BinaryIO, length: int) -> bytes:
    """Read the next section of a part.

    Raises:
        EOFError: the part is cut off.
    """
    section = blob.read(length)
    if len(section) != length:
        raise EOFError(f"a part ends after {len(section)} of {length} bytes")
    return section


def header_lines(manifest: BatchManifest) -> tuple[bytes, bytes, bytes]:
    """What the result files begin with: results, errors, rejected."""
    header = manifest.dialect.header
    own = escape_header([header[index] for index in source_columns(header)])
    verdicts = asking_column_index(manifest.dialect) is not None
    ours = result_header(header, verdicts=verdicts)[len(own) :]
    return _csv_line([*own, *ours]), b"", _csv_line([*own, *REJECTED_COLUMNS])


def contiguous_parts(blobs: BlobStore, batch_id: BatchId) -> list[str]:
    """The parts from the first one up to the first that is not there yet."""
    names = enumerate(blobs.names(batch_id, PARTS))
    return [name for _, name in takewhile(lambda one: one[0] == chunk_of(one[1]), names)]


def partial_results(blobs: BlobStore, manifest: BatchManifest) -> Iterator[bytes]:
    """The results of a batch that is under way, up to the first chunk that is not done.

    They are how the result file will begin. If the batch ends meanwhile, the parts go and that
    file is there: the rest comes from it.
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


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    # A carriage return alone must be quoted too; the writer thinks of its own line end only.
    if any("\r" in cell for cell in cells):
        csv.writer(line, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    else:
        csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
