"""The general chunk engine: rows parsed as cells and validated by column.

It defines the result: the fast CSV engine must write the same bytes.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from shared.blobs.parts import Part
from shared.domain.batch import (
    NAME_COLUMNS,
    PRICE_COLUMNS,
    VERDICT_COLUMNS,
    BatchManifest,
    RowCounts,
    RowStatus,
    source_columns,
)
from shared.domain.clock import Clock
from shared.domain.notes import AskingSides, NoteCount, NoteCounter
from shared.domain.reading import Match
from shared.fields.columns import CellError
from shared.tabular.cells import csv_lines, escape_column
from shared.tabular.column_names import ASKING_PRICE
from worker.batches.asking_prices import verdict_cells
from worker.batches.audit_segments import encode_segment
from worker.batches.engine import (
    PRICE_INDEXES,
    EstimatePrices,
    RowErrors,
    RowNote,
    ValidatorFor,
    asking_sides,
    audit_members,
    batch_language,
    constant_values,
    count_missing,
    error_lines,
    key_column,
    pair_error,
    rejection_reasons,
    row_error,
    row_notes,
)
from worker.batches.names import (
    NAME_FIELDS,
    ReadPair,
    audit_name_members,
    count_names,
    final_match,
    name_cells,
    read_pair,
)
from worker.batches.rows.chunk import CellChunk
from worker.batches.steps import ATTEMPTS_EXHAUSTED


class ReadRows(NamedTuple):
    """The result of validating and reading a chunk of n rows."""

    valid: Sequence[int]
    """Indexes of the valid rows in the chunk."""
    values: Mapping[str, Sequence[Any]]
    """Their normal forms by field; a field that the file lacks has no entry."""
    names: Sequence[ReadPair]
    """(n,) brand and model of all rows."""
    errors: RowErrors
    """The errors of the other rows."""
    notes: Mapping[int, Sequence[RowNote]]
    """What was ignored in valid rows, by index of the row."""


class PricedRows(NamedTuple):
    """Prices of the valid rows of a chunk, in order, MAD."""

    price_mad: Sequence[float]
    low_mad: Sequence[float]
    high_mad: Sequence[float]
    verdicts: Sequence[Sequence[Any]] = ()
    """Cells of `VERDICT_COLUMNS`, if the file has asking prices."""
    model_known: Sequence[bool] | None = None
    """Whether the model has statistics of each car's model; None: nothing was valued."""
    asking_sides: AskingSides = AskingSides()


NO_PRICES = PricedRows((), (), ())


class GeneralEngine:
    """A `ChunkEngine` for every chunk."""

    def __init__(self, estimate: EstimatePrices, validator_for: ValidatorFor, clock: Clock) -> None:
        self._estimate = estimate
        self._validator_for = validator_for
        self._clock = clock

    def value(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """Value the rows of a chunk."""
        started = time.perf_counter()
        rows = self._read(manifest, chunk)
        if manifest.options.dry_run:
            return _make_part(manifest, chunk, rows, NO_PRICES)
        prices = self._price(manifest, rows) if rows.valid else NO_PRICES
        elapsed_ms = (time.perf_counter() - started) * 1000
        shared = audit_members(manifest, self._clock(), elapsed_ms)
        audit = encode_segment(_audit_records(shared, chunk, rows, prices))
        return _make_part(manifest, chunk, rows, prices, audit=audit)

    def fail(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """The part of a chunk that is given up: none of its rows has a price or an error."""
        rows = len(chunk)
        keys = _row_keys(manifest, chunk)
        errors = {
            row: [row_error(line, ATTEMPTS_EXHAUSTED, row_key=key)]
            for row, (line, key) in enumerate(zip(chunk.lines, keys, strict=True))
        }
        reason = rejection_reasons({0: errors[0]}, manifest)[0]
        has_asking = manifest.dialect.asking_index is not None
        prices = len(PRICE_COLUMNS) + has_asking * len(VERDICT_COLUMNS)
        blank = [""] * rows
        added = [*[blank] * (prices + len(NAME_COLUMNS) + 1), [str(RowStatus.FAILED)] * rows]
        added.append([reason] * rows)
        results = csv_lines([*_source_cells(manifest, chunk), *added], manifest.result_delimiter)
        return Part(RowCounts(failed=rows), results, error_lines(errors), b"")

    def _read(self, manifest: BatchManifest, chunk: CellChunk) -> ReadRows:
        """Validate all rows, column by column, and read their names.

        A row that cannot be read as a row has that one error; its cells are not looked at.
        """
        columns = manifest.dialect.column_indexes
        validator = self._validator_for(manifest.dialect)
        cells = {field: chunk.columns[index] for field, index in columns.items()}
        if (asking := manifest.dialect.asking_index) is not None:
            cells[ASKING_PRICE] = chunk.columns[asking]
        values, cell_errors, cell_notes = validator.validate(cells)
        constants = constant_values(manifest.dialect, validator)
        values = {field: [value] * len(chunk) for field, value in constants.items()} | values
        absent = [None] * len(chunk)
        names = [
            read_pair(*pair)
            for pair in zip(values.pop("company", absent), values.pop("model", absent), strict=True)
        ]
        errors = _row_errors(manifest, chunk, cell_errors, names)
        if errors:
            is_valid = [row not in errors for row in range(len(chunk))]
            values = {field: list(compress(column, is_valid)) for field, column in values.items()}
        notes: dict[int, list[RowNote]] = defaultdict(list)
        for row, field, code in cell_notes:
            if row not in errors:
                notes[row].append(RowNote(field, code, cells[field][row]))
        valid = [row for row in range(len(chunk)) if row not in errors]
        return ReadRows(valid, values, names, errors, notes)

    def _price(self, manifest: BatchManifest, rows: ReadRows) -> PricedRows:
        values = dict(rows.values)
        asking = values.pop(ASKING_PRICE, None)
        readings = [reading for row in rows.valid if (reading := rows.names[row].reading)]
        values["company"] = [reading.company for reading in readings]
        values["model"] = [reading.model for reading in readings]
        estimates = self._estimate(manifest.model_version, values, len(rows.valid))
        quantiles = estimates.quantiles_mad
        prices = PricedRows(*quantiles[:, PRICE_INDEXES].T.tolist())
        prices = prices._replace(model_known=estimates.model_known.tolist())
        if asking is None:
            return prices
        asking_mad = np.array(asking, dtype=np.float64)
        return prices._replace(
            verdicts=verdict_cells(asking_mad, quantiles),
            asking_sides=asking_sides(asking_mad, quantiles),
        )


def _row_errors(
    manifest: BatchManifest,
    chunk: CellChunk,
    cell_errors: Sequence[CellError],
    names: Sequence[ReadPair],
) -> RowErrors:
    """The errors of the rows that are rejected."""
    header, columns = manifest.dialect.header, manifest.dialect.column_indexes
    keys = _row_keys(manifest, chunk)
    errors: RowErrors = defaultdict(list)
    for row, (code, count) in chunk.faults.items():
        error = row_error(chunk.lines[row], code, row_key=keys[row])
        errors[row].append(error | {"found": count, "expected": len(header)})
    judged = set(chunk.faults)
    for row, field, code in cell_errors:
        if row not in chunk.faults:
            index = columns[field]
            error = row_error(
                chunk.lines[row], code, row_key=keys[row], column=header[index], field=field,
                value=chunk.columns[index][row],
            )  # fmt: skip
            errors[row].append(error)
            if field in NAME_FIELDS:
                judged.add(row)
    for row, pair in enumerate(names):
        if pair.reading is None and row not in judged:
            errors[row].append(pair_error(chunk.lines[row], pair, columns, header, keys[row]))
    return errors


def _row_keys(manifest: BatchManifest, chunk: CellChunk) -> Sequence[str | None]:
    """The cells that identify the rows in the error report; None without a key column."""
    key = key_column(manifest)
    return [None] * len(chunk) if key is None else chunk.columns[key]


def _source_cells(manifest: BatchManifest, chunk: CellChunk) -> list[Sequence[str]]:
    """The file's own columns as the result files repeat them."""
    kept = source_columns(manifest.dialect.header)
    return [escape_column(chunk.columns[index]) for index in kept]


def _audit_records(
    shared: Mapping[str, Any], chunk: CellChunk, rows: ReadRows, prices: PricedRows
) -> Iterator[dict[str, Any]]:
    """Records with the fields of `shared.domain.valuation.AuditRecord`, and the row."""
    fields = [name for name in rows.values if name != ASKING_PRICE]
    cars = zip(*(rows.values[name] for name in fields), strict=True)
    known = prices.model_known or ()
    valued = zip(rows.valid, cars, known, *prices[:3], strict=True)
    for index, car, model_known, price, low, high in valued:
        row, pair = chunk.first_row + index, rows.names[index]
        if pair.reading is None:
            raise ValueError(f"row {row} is valid without names")
        match = final_match(pair.reading, model_known=model_known)
        yield {
            "id": f"{shared['batch_id']}-{row}",
            **shared,
            "row": row,
            **audit_name_members(pair, match),
            "features": {
                "company": pair.reading.company,
                "model": pair.reading.model,
                **{
                    name: value
                    for name, value in zip(fields, car, strict=True)
                    if value is not None
                },
            },
            "price_mad": price,
            "low_mad": low,
            "high_mad": high,
        }


def _make_part(
    manifest: BatchManifest,
    chunk: CellChunk,
    rows: ReadRows,
    prices: PricedRows,
    *,
    audit: bytes = b"",
) -> Part:
    """The part of a chunk; `prices` are `NO_PRICES` if its valid rows were not valued."""
    reasons = rejection_reasons(rows.errors, manifest)
    source_cells = _source_cells(manifest, chunk)
    rejected = sorted(rows.errors)
    matches = _matches(rows, prices)
    return Part(
        RowCounts(valid=len(rows.valid), invalid=len(rows.errors)),
        csv_lines(
            [*source_cells, *_added_columns(manifest, rows, matches, reasons, prices)],
            manifest.result_delimiter,
        ),
        error_lines(rows.errors),
        csv_lines(
            [
                *([column[row] for row in rejected] for column in source_cells),
                [chunk.lines[row] for row in rejected],
                [reasons[row] for row in rejected],
            ],
            manifest.result_delimiter,
        ),
        audit,
        prices.price_mad,
        _count_notes(rows, matches),
        prices.asking_sides,
    )


class _RowMatch(NamedTuple):
    """The match of a row's names, and whether the model has statistics of its model."""

    match: Match
    model_known: bool


def _matches(rows: ReadRows, prices: PricedRows) -> list[_RowMatch | None]:
    """The matches of all rows; None for a row without names."""
    known = dict(zip(rows.valid, prices.model_known or (), strict=False))
    matches: list[_RowMatch | None] = []
    for row, pair in enumerate(rows.names):
        if pair.reading is None:
            matches.append(None)
        else:
            # Without an estimate, nothing says that the model lacks statistics.
            match = final_match(pair.reading, model_known=known.get(row, False))
            matches.append(_RowMatch(match, known.get(row, True)))
    return matches


def _count_notes(rows: ReadRows, matches: Sequence[_RowMatch | None]) -> tuple[NoteCount, ...]:
    """Counts of the notes on the valid rows."""
    counter = NoteCounter()
    for row in sorted(rows.notes):
        for note in rows.notes[row]:
            counter.add(note.field, note.code, 1, [note.cell])
    pairs: Counter[tuple[ReadPair, _RowMatch]] = Counter()
    pairs.update((rows.names[row], match) for row in rows.valid if (match := matches[row]))
    count_names(counter, ((pair, *match, count) for (pair, match), count in pairs.items()))
    values, valid = rows.values, len(rows.valid)
    count_missing(counter, lambda name: values[name].count(None) if name in values else valid)
    return counter.result()


def _added_columns(
    manifest: BatchManifest,
    rows: ReadRows,
    matches: Sequence[_RowMatch | None],
    reasons: Mapping[int, str],
    prices: PricedRows,
) -> list[Sequence[Any]]:
    """The columns that the result file has after the file's own."""
    language = batch_language(manifest)
    valid = RowStatus.VALID if manifest.options.dry_run else RowStatus.VALUED
    count = len(rows.names)
    status = [str(RowStatus.REJECTED if row in reasons else valid) for row in range(count)]
    columns = [*prices[:3], *prices.verdicts]
    if manifest.dialect.asking_index is not None and not prices.verdicts:
        columns += [()] * len(VERDICT_COLUMNS)
    if reasons or not prices.price_mad:
        columns = [_spread(column, count, rows.valid) for column in columns]
    names = [
        name_cells(pair.reading, match.match) if pair.reading and match else ("", "", "")
        for pair, match in zip(rows.names, matches, strict=True)
    ]
    notes = [
        ""
        if row in reasons
        else row_notes(
            rows.notes.get(row, ()), language, has_statistics=match is None or match.model_known
        )
        for row, match in enumerate(matches)
    ]
    texts = [reasons.get(row, "") for row in range(count)]
    return [*columns, *zip(*names, strict=True), notes, status, texts]


def _spread(values: Sequence[Any], count: int, valid: Sequence[int]) -> list[Any]:
    """The values of the valid rows as a column of all rows; blank where there is no value."""
    cells: list[Any] = [""] * count
    for row, value in zip(valid, values, strict=False):
        cells[row] = value
    return cells
