"""The audit records of plain rows: the work of `batch_audit`, on whole columns."""

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from shared.domain.batch import BatchManifest
from worker.batches.audit_segments import seal_last_line
from worker.batches.fast_csv import write_kernels
from worker.batches.fast_csv.interner import (
    FIELD_INDEX,
    IS_DECIMAL,
    NAMES,
    StringInterner,
    chars,
    ends,
)
from worker.batches.fast_csv.rows import FastCsvRows
from worker.batches.rows.audit import shared_members

RECORD_MAX_BYTES = 160
"""More than prices and row numbers take in an audit record."""

NUMBER_MAX_BYTES = 40
"""More than a field's name and plain number take in it."""

SEAL_MAX_BYTES = 400
"""More than two hashes and their names take in the last record."""

_NAMES = [orjson.dumps({name: 0})[1:-2] for name in NAMES]
_NAME_ENDS = ends(_NAMES)
_ALL_NAMES = b"".join(_NAMES)


def audit_segment(
    rows: FastCsvRows,
    manifest: BatchManifest,
    table: StringInterner,
    cents: NDArray[np.int64],
    *,
    at: float,
    elapsed_ms: float,
) -> bytes | memoryview:
    """The audit segment: a record for each valued row, as `batch_audit` has them.

    Args:
        rows: of a chunk.
        manifest: of their batch.
        table: what their codes mean.
        cents: (3, n) price, low and high of all rows.
        at: Unix time of the estimate.
        elapsed_ms: what the chunk took; it stands in each record.
    """
    if not rows.good:
        return b""
    template = _record_template(manifest, at, elapsed_ms)
    order = np.array([FIELD_INDEX[name] for name in rows.columns], dtype=np.int64)
    # Memory that is not written to is never taken from the system.
    longest = max(table.longest_fragment, NUMBER_MAX_BYTES)
    size = sum(map(len, template)) + RECORD_MAX_BYTES + len(order) * (longest + 1)
    out = np.empty(rows.good * size + SEAL_MAX_BYTES, dtype=np.uint8)
    last = np.zeros(1, dtype=np.int64)
    written = write_kernels.write_audit(
        order, rows.is_valid, rows.chunk.first_row, rows.codes, rows.numbers, IS_DECIMAL,
        chars(_ALL_NAMES), _NAME_ENDS, table.fragments, table.fragment_ends,
        cents, chars(b"".join(template)), ends(template), out, last,
    )  # fmt: skip
    line = seal_last_line(out[: last[0]].data, out[last[0] : written].tobytes())
    end = last[0] + len(line)
    out[last[0] : end] = chars(line)
    # What the loop wrote is what goes to the disk: these are the most bytes of a chunk.
    return out[:end].data


def _record_template(manifest: BatchManifest, at: float, elapsed_ms: float) -> Sequence[bytes]:
    """What is the same in all records, cut where rows, features and prices are put in."""
    shared = orjson.dumps(shared_members(manifest, at, elapsed_ms))
    return (
        b'{"id":"%s-' % manifest.id.encode(),
        b'",%s,"row":' % shared[1:-1],
        b',"features":{',
        b'},"price_mad":',
        b',"low_mad":',
        b',"high_mad":',
        b"}\n",
    )
