"""From plain rows to a part: the work of `batch_rows` and `batch_audit`, on whole columns."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
import orjson
from numpy.typing import NDArray

from data.coded_columns import CodedColumn, Column
from shared.adapters.audit_segments import seal
from shared.domain.batch import (
    VERDICT_COLUMNS,
    BatchManifest,
    RowCounts,
    RowStatus,
    kept_columns,
)
from shared.metrics import PriceTally
from shared.schemas.asking_price import ASKING_PRICE, asking_column
from worker.runtime import plain_kernels
from worker.services.batch_part import Part
from worker.services.batch_rows import (
    PRICE_INDEXES,
    VALUE_MAX_CHARS,
    RowErrors,
    csv_lines,
    error_lines,
    key_column,
    reasons_of,
)
from worker.services.batch_verdict import verdict_cells
from worker.services.plain_cells import IS_DECIMAL, IS_NUMBER, NAMES, NUMBERS, SLOTS, CellTable
from worker.services.plain_chunk import PlainChunk

ENDING_BYTES = 160
"""More than prices and status of a row take in a result file."""

RECORD_BYTES = 160
"""More than prices and row numbers take in an audit record."""

NUMBER_BYTES = 40
"""More than a field's name and plain number take in it."""

_NAMES = [orjson.dumps({name: 0})[1:-2] for name in NAMES]
_NAME_ENDS = np.array(list(accumulate(map(len, _NAMES))))
_ALL_NAMES = b"".join(_NAMES)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlainRows:
    """Rows that were read, and what their cells mean; n rows."""

    chunk: PlainChunk
    places: NDArray[np.int64]
    """(n, 3) line in the chunk, first byte, byte after the last cell."""
    codes: NDArray[np.int32]
    """(fields, n) code of each cell; -1: it is a plain number."""
    numbers: NDArray[np.float64]
    """(fields, n) of the fields that are numbers; NaN: no value."""
    columns: Mapping[str, int]
    """Column of each field that the file has."""
    is_good: NDArray[np.bool_]
    """(n,) whether no cell breaks a rule."""
    asking_mad: NDArray[np.float64] | None
    """(n,) what is asked, NaN where nothing is; None if the file does not say."""

    @property
    def good(self) -> int:
        """How many rows are in order."""
        return int(np.count_nonzero(self.is_good))

    def cars(self, table: CellTable) -> dict[str, Column]:
        """The good rows as columns for the model."""
        found: dict[str, Column] = {}
        for name in self.columns:
            slot = SLOTS[name]
            if name in NUMBERS:
                found[name] = self.numbers[slot][self.is_good]
            else:
                codes = self.codes[slot][self.is_good].astype(np.int64)
                found[name] = CodedColumn(table.values, codes)
        return found


def read_rows(chunk: PlainChunk, manifest: BatchManifest, table: CellTable) -> PlainRows | None:
    """Read and validate rows; None if they need the general reader."""
    header, columns = manifest.dialect.header, manifest.dialect.column_of
    if len(kept_columns(header)) != len(header):
        return None
    raw = np.frombuffer(chunk.text, np.uint8)
    lines = chunk.text.count(b"\n")
    slots = np.full(len(header), -1, dtype=np.int64)
    for name, index in columns.items():
        slots[index] = SLOTS[name]
    asking = asking_column(manifest.dialect)
    if asking is not None:
        slots[asking] = SLOTS[ASKING_PRICE]
    places = np.empty((lines, 3), dtype=np.int64)
    codes = np.full((len(SLOTS), lines), -1, dtype=np.int32)
    numbers = np.zeros((len(SLOTS), lines))
    table.make_room(lines * (len(columns) + 1), len(chunk.text))
    rows = plain_kernels.read_rows(
        raw, ord(manifest.dialect.delimiter), slots, IS_NUMBER, table.limits, table.slots,
        table.keys, table.arena, table.filled, places, codes, numbers,
    )  # fmt: skip
    table.learn()
    if rows != len(chunk):
        return None
    codes, numbers = codes[:, :rows], numbers[:, :rows]
    used = [SLOTS[name] for name in columns]
    is_good = np.logical_not(table.refused(codes[used]).any(axis=0))
    for name in {*columns, ASKING_PRICE} & NUMBERS.keys():
        coded = codes[SLOTS[name]] >= 0
        numbers[SLOTS[name]][coded] = table.numbers[codes[SLOTS[name]][coded]]
    return PlainRows(
        chunk=chunk,
        places=places[:rows],
        codes=np.ascontiguousarray(codes),
        numbers=np.ascontiguousarray(numbers),
        columns=columns,
        is_good=is_good,
        asking_mad=None if asking is None else numbers[SLOTS[ASKING_PRICE]].copy(),
    )


def make_plain_part(
    rows: PlainRows,
    manifest: BatchManifest,
    table: CellTable,
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
    hundredths = _spread(prices, rows.is_good)
    rejected = np.flatnonzero(~rows.is_good)
    errors = _row_errors(rows, manifest, table, rejected)
    reasons = reasons_of(errors, manifest)
    results, own = _results(rows, manifest, hundredths, _verdicts(rows, quantiles), reasons)
    audit = b""
    if prices is not None:
        audit = _audit(rows, table, hundredths, _frame(manifest, at, elapsed_ms))
    return Part(
        RowCounts(valid=len(rows.is_good) - len(rejected), invalid=len(rejected)),
        results,
        error_lines(errors),
        _rejected(rows, results, own, reasons),
        audit,
        PriceTally.of(() if prices is None else np.sort(prices[0]).tolist()),
    )


def _row_errors(
    rows: PlainRows, manifest: BatchManifest, table: CellTable, rejected: NDArray[np.int64]
) -> RowErrors:
    """What is wrong with the rejected rows, as the error report says it."""
    header = manifest.dialect.header
    keys = _row_keys(rows, manifest, rejected)
    lines = dict(zip(rejected.tolist(), (rows.places[rejected, 0]).tolist(), strict=True))
    errors: RowErrors = {row: [] for row in lines}
    for name, index in rows.columns.items():
        codes = rows.codes[SLOTS[name]][rejected]
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
    rows: PlainRows, manifest: BatchManifest, rejected: NDArray[np.int64]
) -> dict[int, str]:
    """What the caller calls these rows, if there is a column for that."""
    column = key_column(manifest)
    if column is None:
        return {}
    keys = {}
    for row in rejected.tolist():
        _, start, stop = rows.places[row].tolist()
        keys[row] = rows.chunk.text[start:stop].decode().split(manifest.dialect.delimiter)[column]
    return keys


def _rejected(
    rows: PlainRows, results: bytes, own: NDArray[np.int64], reasons: Mapping[int, str]
) -> bytes:
    """The lines of the file of rejected rows."""
    lines = []
    for row, reason in reasons.items():
        start, stop = own[row].tolist()
        line = rows.chunk.first_line + int(rows.places[row, 0])
        lines.append(b"%s,%d,%s\n" % (results[start:stop], line, _quoted(reason)))
    return b"".join(lines)


def _spread(prices: NDArray[np.float64] | None, is_good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Prices of all rows in hundredths, (3, n); no columns if nothing is valued."""
    if prices is None:
        return np.zeros((0, len(is_good)), dtype=np.int64)
    spread = np.zeros((len(prices), len(is_good)), dtype=np.int64)
    spread[:, is_good] = np.rint(prices * 100)
    return spread


def _verdicts(rows: PlainRows, quantiles: NDArray[np.float64] | None) -> Sequence[bytes]:
    """What stands after each row's prices; nothing if the file asks no prices."""
    if quantiles is None or rows.asking_mad is None:
        return [b""] * len(rows.is_good)
    cells = csv_lines(verdict_cells(rows.asking_mad[rows.is_good], quantiles)).splitlines()
    lines = iter(cells)
    return [b"," + next(lines) if is_good else b"" for is_good in rows.is_good.tolist()]


def _results(
    rows: PlainRows,
    manifest: BatchManifest,
    hundredths: NDArray[np.int64],
    verdicts: Sequence[bytes],
    reasons: Mapping[int, str],
) -> tuple[bytes, NDArray[np.int64]]:
    """The lines of the result file, and where each row's own cells stand in them."""
    endings = np.full(len(rows.is_good), -1, dtype=np.int64)
    # Many rows are rejected for the same reason.
    kinds = {reason: kind for kind, reason in enumerate(dict.fromkeys(reasons.values()))}
    endings[list(reasons)] = [kinds[reason] for reason in reasons.values()]
    blank = b"," * (4 if rows.asking_mad is None else 4 + len(VERDICT_COLUMNS))
    texts = [
        blank + b"%s,%s\n" % (RowStatus.REJECTED.encode(), _quoted(reason)) for reason in kinds
    ]
    if manifest.options.dry_run:
        good = blank + b"%s,\n" % RowStatus.VALID.encode()
    else:
        good = b",%s,\n" % RowStatus.VALUED.encode()
    longest = max([ENDING_BYTES + max(map(len, verdicts), default=0), *map(len, texts)])
    # A cell takes at most two quotes besides its own bytes.
    own_size = len(rows.chunk.text) + 2 * len(manifest.dialect.header) * len(rows.is_good)
    out = np.empty(own_size + longest * len(rows.is_good), dtype=np.uint8)
    own = np.empty((len(rows.is_good), 2), dtype=np.int64)
    written = plain_kernels.write_results(
        _signs(rows.chunk.text), ord(manifest.dialect.delimiter), rows.places, endings,
        hundredths, _signs(b"".join(verdicts)), _ends(verdicts), _signs(b"".join(texts)),
        _ends(texts), _signs(good), own, out,
    )  # fmt: skip
    return out[:written].tobytes(), own


def _audit(
    rows: PlainRows, table: CellTable, hundredths: NDArray[np.int64], frame: Sequence[bytes]
) -> bytes:
    """The audit segment: a record for each valued row."""
    if not rows.good:
        return b""
    order = np.array([SLOTS[name] for name in rows.columns], dtype=np.int64)
    # Memory that is not written to is never taken from the system.
    longest = max(np.diff(table.fragment_ends, prepend=0).max(initial=0), NUMBER_BYTES)
    size = sum(map(len, frame)) + RECORD_BYTES + len(order) * (int(longest) + 1)
    out, last = np.empty(rows.good * size, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    written = plain_kernels.write_audit(
        order, rows.is_good, rows.chunk.first_row, rows.codes, rows.numbers, IS_DECIMAL,
        _signs(_ALL_NAMES), _NAME_ENDS, _signs(table.fragments), table.fragment_ends,
        hundredths, _signs(b"".join(frame)), _ends(frame), out, last,
    )  # fmt: skip
    return seal(out[: last[0]].data, out[last[0] : written].tobytes())


def _frame(manifest: BatchManifest, at: float, elapsed_ms: float) -> Sequence[bytes]:
    """What is the same in all records, cut where rows, features and prices are put in."""
    shared = orjson.dumps(
        {
            "at": at,
            "caller": manifest.caller,
            "batch_id": manifest.id,
            "model_version": manifest.model_version,
            "cached": False,
            "response_time_ms": round(elapsed_ms, 3),
            "status": "success",
        }
    )
    return (
        b'{"id":"%s-' % manifest.id.encode(),
        b'",%s,"row":' % shared[1:-1],
        b',"features":{',
        b'},"price_mad":',
        b',"low_mad":',
        b',"high_mad":',
        b"}\n",
    )


@lru_cache(maxsize=4096)
def _quoted(reason: str) -> bytes:
    """A reason as it stands in a CSV."""
    return csv_lines([[reason]])[:-1]


def _signs(text: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(text, np.uint8)


def _ends(texts: Sequence[bytes]) -> NDArray[np.int64]:
    return np.array(list(accumulate(map(len, texts))), dtype=np.int64)
