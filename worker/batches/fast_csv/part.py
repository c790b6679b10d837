"""Writes the part of fast CSV rows: result sections and audit segment, on whole columns.

The bytes are those of the general engine (`worker.batches.rows.engine`).
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from shared.blobs.parts import Part
from shared.domain.batch import BatchManifest, RowCounts
from shared.domain.files.notes import AskingSides
from shared.domain.valuation import QUANTILE_LEVELS
from shared.tabular.cells import csv_cell, csv_lines
from worker.batches.asking_prices import verdict_cells
from worker.batches.audit_segments import seal_last_line
from worker.batches.engine import (
    PRICE_INDEXES,
    Estimates,
    RowErrors,
    asking_sides,
    audit_members,
    error_lines,
    key_column,
    pair_error,
    rejection_reasons,
    row_error,
    summary_error,
)
from worker.batches.fast_csv import write_kernels
from worker.batches.fast_csv.interner import (
    FIELD_INDEX,
    IS_DECIMAL,
    NAMES,
    StringInterner,
    decode_cell,
)
from worker.batches.fast_csv.notes import count_notes, find_noted
from worker.batches.fast_csv.pairs import PairMatches
from worker.batches.fast_csv.rows import FastCsvRows
from worker.batches.fast_csv.text_columns import TextColumns, write_text_columns
from worker.batches.model_notes import without_high_mileages
from worker.batches.names import NAME_FIELDS

PRICES_MAX_BYTES = 80
"""Upper bound of the prices of a row in the result file."""

RECORD_MAX_BYTES = 160
"""Upper bound of prices and row numbers in an audit record."""

NUMBER_MAX_BYTES = 40
"""Upper bound of a field's name and whole number in an audit record."""

SEAL_MAX_BYTES = 400
"""Upper bound of the two hashes and their names in the last record."""


class _NothingValued(NamedTuple):
    """The estimates of a chunk without valid rows."""

    quantiles_mad: NDArray[np.float64] = np.zeros((0, len(QUANTILE_LEVELS)))
    model_known: NDArray[np.bool_] = np.zeros(0, np.bool_)
    notes: NDArray[np.int64] = np.zeros(0, np.int64)
    without_effect: Sequence[str] = ()


NOTHING_VALUED: Estimates = _NothingValued()

Texts = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Texts concatenated, and where each ends."""

_MEMBER_STARTS = [orjson.dumps({name: 0})[1:-2] for name in NAMES]


def joined(texts: Sequence[bytes]) -> Texts:
    """Concatenate texts."""
    ends = np.array(list(accumulate(map(len, texts))), dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), ends


def make_part(
    rows: FastCsvRows,
    manifest: BatchManifest,
    interner: StringInterner,
    valued: Estimates | None,
    *,
    at: float,
    elapsed_ms: float,
) -> Part:
    """Write the sections and the audit segment.

    Args:
        rows: the rows that were read.
        manifest: of their batch.
        interner: of their codes.
        valued: estimates of the valid rows; None: a dry run.
        at: Unix time of the estimate, seconds.
        elapsed_ms: time that the chunk took.
    """
    quantiles = None if valued is None else valued.quantiles_mad
    prices = None if quantiles is None else quantiles[:, PRICE_INDEXES].T
    cents = _cents(prices, rows.is_valid)
    rejected = np.flatnonzero(~rows.is_valid)
    errors: RowErrors = {}
    reasons: Mapping[int, str] = {}
    if rejected.size:
        errors = _row_errors(rows, manifest, interner, rejected)
        reasons = rejection_reasons(errors, manifest)
    noted = find_noted(rows, interner)
    model_known = notes = None
    if valued is not None:
        model_known = valued.model_known
        notes = without_high_mileages(valued.notes, noted.high_mileages)
    matches = PairMatches.of(rows.pairs, rows.pair_numbers, rows.is_valid, model_known, notes)
    text_columns = write_text_columns(
        manifest, matches, noted, reasons,
        has_verdicts=rows.asking_mad is not None,
    )  # fmt: skip
    verdicts = _verdicts(rows, manifest, valued)
    results, own = _results(rows, manifest, cents, verdicts, text_columns)
    audit: bytes | memoryview = b""
    if prices is not None and rows.valid:
        template = _record_template(manifest, at, elapsed_ms)
        audit = _audit_segment(rows, interner, cents, matches, template)
    sides = AskingSides()
    if quantiles is not None and rows.asking_mad is not None:
        sides = asking_sides(rows.asking_mad[rows.is_valid], quantiles)
    return Part(
        RowCounts(valid=rows.valid, invalid=len(rejected)),
        results,
        error_lines(errors) if errors else b"",
        _rejected(rows, manifest, results, own, reasons),
        audit,
        () if prices is None else np.sort(prices[0]).tolist(),
        count_notes(rows, matches, noted, notes, valued.without_effect if valued else ()),
        sides,
        rows.lines.tolist(),
    )


def _cents(prices: NDArray[np.float64] | None, is_valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Prices of all rows in cents, (3, n); (0, n) in a dry run."""
    if prices is None:
        return np.zeros((0, len(is_valid)), dtype=np.int64)
    spread = np.zeros((len(prices), len(is_valid)), dtype=np.int64)
    spread[:, is_valid] = np.rint(prices * 100)
    return spread


def _row_errors(
    rows: FastCsvRows,
    manifest: BatchManifest,
    interner: StringInterner,
    rejected: NDArray[np.int64],
) -> RowErrors:
    """The errors of the rejected rows, in the order of the columns."""
    header = manifest.dialect.header
    names = list(rows.columns)
    fields = [FIELD_INDEX[name] for name in names]
    codes = rows.codes[fields][:, rejected]
    lines = rows.lines[rejected].tolist()
    keys: Sequence[str | None] = [None] * len(rejected)
    if (key := key_column(manifest)) is not None:
        keys = [_cells(rows, row)[key] for row in rejected.tolist()]
    numbers = rejected.tolist()
    errors: RowErrors = {row: [] for row in numbers}
    for field, nth in np.argwhere(interner.refused_matrix(codes)).tolist():
        code = int(codes[field, nth])
        errors[numbers[nth]].append(
            row_error(
                lines[nth], interner.refusals[code],
                row_key=keys[nth], column=header[rows.columns[names[field]]], field=names[field],
                value=interner.text(code),
            )
        )  # fmt: skip
    for nth in np.flatnonzero(~rows.pairs.is_read(rows.pair_numbers[rejected])).tolist():
        found = errors[numbers[nth]]
        pair = rows.pairs.pairs[rows.pair_numbers[numbers[nth]]]
        if pair.is_summary:
            found.clear()
        if pair.is_blank:
            summary = summary_error(lines[nth], _cells(rows, numbers[nth]), header, keys[nth])
            if summary is not None:
                errors[numbers[nth]] = [summary]
                continue
        if not any(error["field"] in NAME_FIELDS for error in found):
            cells = _cells(rows, numbers[nth])
            written = {name: cells[rows.columns[name]] for name in NAME_FIELDS & set(rows.columns)}
            found.append(
                pair_error(lines[nth], pair, rows.columns, header, keys[nth], written=written)
            )
    return errors


def _cells(rows: FastCsvRows, row: int) -> list[str]:
    """The cells of a row."""
    _, start, stop = rows.positions[row].tolist()
    return decode_cell(rows.text[start:stop]).split(chr(rows.delimiter))


def _verdicts(rows: FastCsvRows, manifest: BatchManifest, valued: Estimates | None) -> Texts:
    """What follows each row's prices; empty if the file has no asking prices."""
    if valued is None or rows.asking_mad is None:
        return np.zeros(0, np.uint8), np.zeros(len(rows.is_valid), np.int64)
    delimiter = manifest.result_delimiter
    asking_mad = rows.asking_mad[rows.is_valid]
    columns = verdict_cells(asking_mad, valued.quantiles_mad, valued.model_known, valued.notes)
    cells = csv_lines(columns, delimiter)
    lines, comma = iter(cells.splitlines()), delimiter.encode()
    return joined([comma + next(lines) if valid else b"" for valid in rows.is_valid.tolist()])


def _results(
    rows: FastCsvRows,
    manifest: BatchManifest,
    cents: NDArray[np.int64],
    verdicts: Texts,
    text_columns: TextColumns,
) -> tuple[bytes, NDArray[np.int64]]:
    """The lines of the result file, and (n, 2) where each row's own cells stand in them."""
    longest = int(np.diff(verdicts[1], prepend=0).max(initial=0))
    longest += PRICES_MAX_BYTES + max(map(len, text_columns.texts), default=0)
    # A cell takes at most two quotes besides its own bytes, and its own quotes are written twice.
    own_size = len(rows.text) + 2 * len(manifest.dialect.header) * len(rows.is_valid)
    own_size += rows.text.count(b'"') + len(rows.formula_starts)
    out = np.empty(own_size + longest * len(rows.is_valid), dtype=np.uint8)
    own = np.empty((len(rows.is_valid), 2), dtype=np.int64)
    written = write_kernels.write_results(
        np.frombuffer(rows.text, np.uint8), rows.delimiter, ord(manifest.result_delimiter),
        rows.positions, rows.is_valid, cents, *verdicts, text_columns.ids,
        *joined(text_columns.texts),
        rows.formula_starts, own, out,
    )  # fmt: skip
    return out[:written].tobytes(), own


def _rejected(
    rows: FastCsvRows,
    manifest: BatchManifest,
    results: bytes,
    own: NDArray[np.int64],
    reasons: Mapping[int, str],
) -> bytes:
    """The lines of the file of rejected rows."""
    delimiter = manifest.result_delimiter
    lines = []
    for row, reason in reasons.items():
        start, stop = own[row].tolist()
        cells = results[start:stop], b"%d" % rows.lines[row], csv_cell(reason, delimiter)
        lines.append(delimiter.encode().join(cells) + b"\n")
    return b"".join(lines)


def _audit_segment(
    rows: FastCsvRows,
    interner: StringInterner,
    cents: NDArray[np.int64],
    matches: PairMatches,
    template: Sequence[bytes],
) -> memoryview:
    """The audit segment: one record per valid row, of which there is at least one."""
    fields = [FIELD_INDEX[name] for name in rows.columns if name not in NAME_FIELDS]
    order = np.array(fields, dtype=np.int64)
    stated = {name: value for name, value in rows.constants.items() if value is not None}
    constants = b"," + orjson.dumps(stated)[1:-1] if stated else b""
    heads = [each.audit_head + constants if each.pair.reading else b"" for each in matches.distinct]
    # Pages that are never written take no memory: the bound may be generous.
    longest = max(interner.longest_fragment, NUMBER_MAX_BYTES)
    size = sum(map(len, template)) + RECORD_MAX_BYTES + len(order) * (longest + 1)
    size += max(map(len, heads))
    out = np.empty(rows.valid * size + SEAL_MAX_BYTES, dtype=np.uint8)
    last = np.zeros(1, dtype=np.int64)
    written = write_kernels.write_audit(
        order, rows.is_valid, rows.first_row, rows.codes, rows.numbers, IS_DECIMAL,
        *joined(_MEMBER_STARTS), interner.fragments.all, interner.fragment_ends.all, matches.ids,
        *joined(heads), cents, *joined(template), out, last,
    )  # fmt: skip
    line = seal_last_line(out[: last[0]].data, out[last[0] : written].tobytes())
    end = last[0] + len(line)
    out[last[0] : end] = np.frombuffer(line, np.uint8)
    # The audit records are most of a chunk's bytes: they are written to disk from this buffer.
    return out[:end].data


def _record_template(manifest: BatchManifest, at: float, elapsed_ms: float) -> Sequence[bytes]:
    """The parts that all records share, split where rows, features and prices are inserted."""
    shared = orjson.dumps(audit_members(manifest, at, elapsed_ms))
    return (
        b'{"id":"%s-' % manifest.id.encode(),
        b'",%s,"row":' % shared[1:-1],
        b",",
        b'},"price_mad":',
        b',"low_mad":',
        b',"high_mad":',
        b"}\n",
    )
