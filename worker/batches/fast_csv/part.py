"""From plain rows to a part: the work of `batch_rows`, on whole columns."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.domain.batch import VERDICT_COLUMNS, BatchManifest, RowCounts, RowStatus
from shared.metrics import PriceHistogram
from worker.batches.fast_csv import write_kernels
from worker.batches.fast_csv.audit import audit_segment
from worker.batches.fast_csv.interner import FIELD_INDEX, StringInterner, chars, decode_cell, ends
from worker.batches.fast_csv.rows import FastCsvRows
from worker.batches.parts import Part
from worker.batches.rows.part import (
    PRICE_INDEXES,
    VALUE_MAX_CHARS,
    RowErrors,
    csv_lines,
    error_lines,
    key_column,
    rejection_reasons,
)
from worker.batches.rows.verdicts import verdict_cells

SUFFIX_MAX_BYTES = 160
"""More than prices and status of a row take in a result file."""


def make_fast_csv_part(
    rows: FastCsvRows,
    manifest: BatchManifest,
    table: StringInterner,
    quantiles: NDArray[np.float64] | None,
    *,
    at: float,
    elapsed_ms: float,
) -> Part:
    """The sections of the result files, and the audit segment.

    Args:
        rows: from `read_rows`.
        manifest: of their batch.
        table: what their codes mean.
        quantiles: (good rows, levels) prices in MAD; None: nothing is valued.
        at: Unix time of the estimate.
        elapsed_ms: what the chunk took; it stands in each of its records.
    """
    prices = None if quantiles is None else quantiles[:, PRICE_INDEXES].T
    cents = _scatter_cents(prices, rows.is_valid)
    rejected = np.flatnonzero(~rows.is_valid)
    errors = _row_errors(rows, manifest, table, rejected)
    reasons = rejection_reasons(errors, manifest)
    results, own = _results(rows, manifest, cents, _verdicts(rows, quantiles), reasons)
    audit: bytes | memoryview = b""
    if prices is not None:
        audit = audit_segment(rows, manifest, table, cents, at=at, elapsed_ms=elapsed_ms)
    return Part(
        RowCounts(valid=len(rows.is_valid) - len(rejected), invalid=len(rejected)),
        results,
        error_lines(errors),
        _rejected(rows, results, own, reasons),
        audit,
        PriceHistogram.of(() if prices is None else np.sort(prices[0]).tolist()),
    )


def _row_errors(
    rows: FastCsvRows, manifest: BatchManifest, table: StringInterner, rejected: NDArray[np.int64]
) -> RowErrors:
    """What is wrong with the rejected rows, as the error report says it."""
    header = manifest.dialect.header
    keys = _row_keys(rows, manifest, rejected)
    lines = dict(zip(rejected.tolist(), (rows.positions[rejected, 0]).tolist(), strict=True))
    errors: RowErrors = {row: [] for row in lines}
    for name, index in rows.columns.items():
        codes = rows.codes[FIELD_INDEX[name]][rejected]
        wrong = table.refused(codes)
        for row, code in zip(rejected[wrong].tolist(), codes[wrong].tolist(), strict=True):
            errors[row].append(
                {
                    "line": rows.chunk.first_line + lines[row],
                    "row_key": keys.get(row),
                    "column": header[index],
                    "field": name,
                    "value": table.text(code)[:VALUE_MAX_CHARS],
                    "code": table.refusals[code],
                }
            )
    return errors


def _row_keys(
    rows: FastCsvRows, manifest: BatchManifest, rejected: NDArray[np.int64]
) -> dict[int, str]:
    """What the caller calls these rows, if there is a column for that."""
    column = key_column(manifest)
    if column is None:
        return {}
    keys = {}
    for row in rejected.tolist():
        _, start, stop = rows.positions[row].tolist()
        keys[row] = decode_cell(rows.text[start:stop]).split(chr(rows.delimiter))[column]
    return keys


def _rejected(
    rows: FastCsvRows, results: bytes, own: NDArray[np.int64], reasons: Mapping[int, str]
) -> bytes:
    """The lines of the file of rejected rows."""
    lines = []
    for row, reason in reasons.items():
        start, stop = own[row].tolist()
        line = rows.chunk.first_line + int(rows.positions[row, 0])
        lines.append(b"%s,%d,%s\n" % (results[start:stop], line, _quoted(reason)))
    return b"".join(lines)


def _scatter_cents(
    prices: NDArray[np.float64] | None, is_valid: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Prices of all rows in cents, (3, n); no columns if nothing is valued."""
    if prices is None:
        return np.zeros((0, len(is_valid)), dtype=np.int64)
    spread = np.zeros((len(prices), len(is_valid)), dtype=np.int64)
    spread[:, is_valid] = np.rint(prices * 100)
    return spread


def _verdicts(rows: FastCsvRows, quantiles: NDArray[np.float64] | None) -> Sequence[bytes]:
    """What stands after each row's prices; nothing if the file asks no prices."""
    if quantiles is None or rows.asking_mad is None:
        return [b""] * len(rows.is_valid)
    cells = csv_lines(verdict_cells(rows.asking_mad[rows.is_valid], quantiles)).splitlines()
    lines = iter(cells)
    return [b"," + next(lines) if is_valid else b"" for is_valid in rows.is_valid.tolist()]


def _results(
    rows: FastCsvRows,
    manifest: BatchManifest,
    cents: NDArray[np.int64],
    verdicts: Sequence[bytes],
    reasons: Mapping[int, str],
) -> tuple[bytes, NDArray[np.int64]]:
    """The lines of the result file, and where each row's own cells stand in them."""
    suffix_ids = np.full(len(rows.is_valid), -1, dtype=np.int64)
    # Many rows are rejected for the same reason.
    kinds = {reason: kind for kind, reason in enumerate(dict.fromkeys(reasons.values()))}
    suffix_ids[list(reasons)] = [kinds[reason] for reason in reasons.values()]
    blank = b"," * (4 if rows.asking_mad is None else 4 + len(VERDICT_COLUMNS))
    texts = [
        blank + b"%s,%s\n" % (RowStatus.REJECTED.encode(), _quoted(reason)) for reason in kinds
    ]
    if manifest.options.dry_run:
        good = blank + b"%s,\n" % RowStatus.VALID.encode()
    else:
        good = b",%s,\n" % RowStatus.VALUED.encode()
    longest = max([SUFFIX_MAX_BYTES + max(map(len, verdicts), default=0), *map(len, texts)])
    # A cell takes at most two quotes besides its own bytes, and its own quotes are written twice.
    own_size = len(rows.text) + 2 * len(manifest.dialect.header) * len(rows.is_valid)
    own_size += rows.text.count(b'"') + len(rows.escapes)
    out = np.empty(own_size + longest * len(rows.is_valid), dtype=np.uint8)
    own = np.empty((len(rows.is_valid), 2), dtype=np.int64)
    written = write_kernels.write_results(
        chars(rows.text), rows.delimiter, rows.positions, suffix_ids,
        cents, chars(b"".join(verdicts)), ends(verdicts), chars(b"".join(texts)),
        ends(texts), chars(good), rows.escapes, own, out,
    )  # fmt: skip
    return out[:written].tobytes(), own


@lru_cache(maxsize=4096)
def _quoted(reason: str) -> bytes:
    """A reason as it stands in a CSV."""
    return csv_lines([[reason]])[:-1]
