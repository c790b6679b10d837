"""The general chunk engine: rows parsed as cells and validated by column.

It defines the result: the fast CSV engine must write the same bytes.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress
from typing import Any, NamedTuple, Self, TypeVar

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
from shared.domain.car import KM_HIGH
from shared.domain.clock import Clock
from shared.domain.notes import AskingSides, ModelNote, NoteCount, NoteCounter
from shared.domain.reading import Match, NameReading
from shared.domain.valuation import audit_names
from shared.fields.columns import CellError
from shared.messages.texts import Language
from shared.tabular.cells import csv_lines, escape_column
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.rows.chunk import CellChunk
from shared.tabular.rows.units import RowUnits, cells_by_field
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
    summary_error,
)
from worker.batches.mileages import MILEAGE, unusual_mileages
from worker.batches.model_notes import (
    count_model_notes,
    count_without_effect,
    note_example,
    without_high_mileages,
)
from worker.batches.names import (
    NAME_FIELDS,
    ReadPair,
    count_names,
    final_match,
    name_cells,
    read_pair,
)
from worker.batches.steps import ATTEMPTS_EXHAUSTED


class ReadRows(NamedTuple):
    """The result of validating and reading a chunk of n rows."""

    valid: Sequence[int]
    """Indexes of the valid rows in the chunk."""
    values: Mapping[str, Sequence[Any]]
    """Their normal forms by field; a field that the file lacks has no entry."""
    pairs: Sequence[ReadPair]
    """The distinct pairs of brand and model."""
    pair_numbers: Sequence[int]
    """(n,) index in `pairs` of all rows."""
    errors: RowErrors
    """The errors of the other rows."""
    notes: Mapping[int, Sequence[RowNote]]
    """What was ignored in valid rows, by index of the row."""
    changed_units: Sequence[NoteCount] = ()
    """Rows that are read in another unit than the first ones."""


class PricedRows(NamedTuple):
    """Prices of the valid rows of a chunk, in order, MAD."""

    price_mad: Sequence[float]
    low_mad: Sequence[float]
    high_mad: Sequence[float]
    verdicts: Sequence[Sequence[Any]] = ()
    """Cells of `VERDICT_COLUMNS`, if the file has asking prices."""
    model_known: Sequence[bool] | None = None
    """Whether the model has statistics of each car's model; None: nothing was valued."""
    notes: Any = None
    """Bits of `MODEL_NOTES`, an array; None: nothing was valued."""
    without_effect: Sequence[str] = ()
    """Fields of which no value changes a price."""
    asking_sides: AskingSides = AskingSides()


NO_PRICES = PricedRows((), (), ())
_NOT_READ = NameReading("", "", Match.UNKNOWN)
_Value = TypeVar("_Value")


class GeneralEngine:
    """A `ChunkEngine` for every chunk."""

    def __init__(self, estimate: EstimatePrices, validator_for: ValidatorFor, clock: Clock) -> None:
        self._estimate = estimate
        self._validator_for = validator_for
        self._clock = clock

    def value(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """Value the rows of a chunk."""
        started = time.perf_counter()
        marked, chunk = chunk, chunk.without_marks(manifest.dialect)
        rows = self._read(manifest, chunk, marked)
        if manifest.options.dry_run:
            names = ChunkNames.of(manifest, rows, NO_PRICES)
            return _make_part(manifest, chunk, rows, NO_PRICES, names)
        prices = self._price(manifest, rows) if rows.valid else NO_PRICES
        elapsed_ms = (time.perf_counter() - started) * 1000
        shared = audit_members(manifest, self._clock(), elapsed_ms)
        names = ChunkNames.of(manifest, rows, prices)
        audit = encode_segment(_audit_records(shared, chunk, rows, prices, names.rows))
        return _make_part(manifest, chunk, rows, prices, names, audit=audit)

    def fail(self, manifest: BatchManifest, chunk: CellChunk) -> Part:
        """The part of a chunk that is given up: none of its rows has a price or an error."""
        rows, chunk = len(chunk), chunk.without_marks(manifest.dialect)
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

    def _read(self, manifest: BatchManifest, chunk: CellChunk, marked: CellChunk) -> ReadRows:
        """Validate all rows, column by column, and read their names.

        A row that cannot be read as a row has that one error; its cells are not looked at.

        Args:
            manifest: of the batch.
            chunk: the rows, as they are quoted.
            marked: the same, with the marks of values of another type.
        """
        validator = self._validator_for(manifest.dialect)
        cells = cells_by_field(manifest.dialect, chunk)
        units = RowUnits(manifest.dialect, chunk)
        validated = cells if marked is chunk else cells_by_field(manifest.dialect, marked)
        values, cell_errors, cell_notes = validator.validate(validated, units.by_field)
        constants = constant_values(manifest.dialect, validator)
        values = {field: [value] * len(chunk) for field, value in constants.items()} | values
        absent = [None] * len(chunk)
        number_of: dict[tuple[str | None, str | None], int] = {}
        pair_numbers = [
            number_of.setdefault(pair, len(number_of))
            for pair in zip(values.pop("company", absent), values.pop("model", absent), strict=True)
        ]
        pairs = [read_pair(*pair) for pair in number_of]
        errors = _row_errors(manifest, chunk, cell_errors, pairs, pair_numbers, cells=cells)
        if errors:
            is_valid = [row not in errors for row in range(len(chunk))]
            values = {field: list(compress(column, is_valid)) for field, column in values.items()}
        notes: dict[int, list[RowNote]] = defaultdict(list)
        for row, field, code in cell_notes:
            if row not in errors:
                quoted = units.quote(field, code, row, cells[field][row])
                notes[row].append(RowNote(field, code, quoted))
        valid = [row for row in range(len(chunk)) if row not in errors]
        for index, code, km_driven in _unusual_mileages(values):
            notes[valid[index]].append(RowNote(MILEAGE, code, km_driven))
        changed = units.count_changed(cells)
        return ReadRows(valid, values, pairs, pair_numbers, errors, notes, changed)

    def _price(self, manifest: BatchManifest, rows: ReadRows) -> PricedRows:
        values = dict(rows.values)
        asking = values.pop(ASKING_PRICE, None)
        numbers = _of_valid(rows, rows.pair_numbers)
        readings = [pair.reading or _NOT_READ for pair in rows.pairs]
        for name, names in (
            ("company", [reading.company for reading in readings]),
            ("model", [reading.model for reading in readings]),
        ):
            values[name] = list(map(names.__getitem__, numbers))
        estimates = self._estimate(manifest.model_version, values, len(rows.valid))
        quantiles = estimates.quantiles_mad
        prices = PricedRows(*quantiles[:, PRICE_INDEXES].T.tolist())
        prices = prices._replace(
            model_known=estimates.model_known.tolist(),
            notes=without_high_mileages(estimates.notes, _high_mileages(rows)),
            without_effect=estimates.without_effect,
        )
        if asking is None:
            return prices
        asking_mad = np.array(asking, dtype=np.float64)
        return prices._replace(
            verdicts=verdict_cells(asking_mad, quantiles, estimates.model_known, estimates.notes),
            asking_sides=asking_sides(asking_mad, quantiles),
        )


def _high_mileages(rows: ReadRows) -> Sequence[int]:
    """Indexes of the valid rows whose mileage is very high for the age of the car."""
    noted = (row for row, found in rows.notes.items() if any(n.code == KM_HIGH for n in found))
    place = {row: index for index, row in enumerate(rows.valid)}
    return [place[row] for row in noted]


def _unusual_mileages(values: Mapping[str, Sequence[Any]]) -> Iterator[tuple[int, str, str]]:
    """See `unusual_mileages`, of valid rows."""
    if MILEAGE not in values:
        return iter(())
    years, km_driven = (np.array(values[name], dtype=np.float64) for name in ("year", MILEAGE))
    return unusual_mileages(years, km_driven, datetime.now(UTC).year)


def _row_errors(
    manifest: BatchManifest,
    chunk: CellChunk,
    cell_errors: Sequence[CellError],
    pairs: Sequence[ReadPair],
    pair_numbers: Sequence[int],
    *,
    cells: Mapping[str, Sequence[str]],
) -> RowErrors:
    """The errors of the rows that are rejected."""
    header, columns = manifest.dialect.header, manifest.dialect.column_indexes
    keys = _row_keys(manifest, chunk)
    errors: RowErrors = defaultdict(list)
    for row, (code, count) in chunk.faults.items():
        error = row_error(chunk.lines[row], code, row_key=keys[row])
        errors[row].append(error | {"found": count, "expected": len(header)})
    judged = set(chunk.faults)
    summaries = _summary_rows(pairs, pair_numbers)
    for row, error in _summaries_without_names(chunk, header, keys, pairs, pair_numbers):
        errors[row].append(error)
        judged.add(row)
        summaries.add(row)
    for row, field, code in cell_errors:
        if row not in chunk.faults and row not in summaries:
            index, value = columns[field], cells[field][row]
            if value != chunk.columns[index][row]:
                index = manifest.dialect.other_columns[field].index
            error = row_error(
                chunk.lines[row], code, row_key=keys[row], column=header[index], field=field,
                value=value,
            )  # fmt: skip
            errors[row].append(error)
            if field in NAME_FIELDS:
                judged.add(row)
    if any(pair.reading is None for pair in pairs):
        for row, number in enumerate(pair_numbers):
            if (pair := pairs[number]).reading is None and row not in judged:
                written = {name: cells[name][row] for name in NAME_FIELDS & cells.keys()}
                error = pair_error(
                    chunk.lines[row], pair, columns, header, keys[row], written=written
                )
                errors[row].append(error)
    return errors


def _summaries_without_names(
    chunk: CellChunk,
    header: Sequence[str],
    keys: Sequence[str | None],
    pairs: Sequence[ReadPair],
    pair_numbers: Sequence[int],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows that add up others and say so in another column, and their errors."""
    nameless = {number for number, pair in enumerate(pairs) if pair.is_blank}
    if not nameless:
        return
    for row, number in enumerate(pair_numbers):
        if number in nameless and row not in chunk.faults:
            cells = [column[row] for column in chunk.columns]
            error = summary_error(chunk.lines[row], cells, header, keys[row])
            if error is not None:
                yield row, error


def _summary_rows(pairs: Sequence[ReadPair], pair_numbers: Sequence[int]) -> set[int]:
    """Rows that add up others: the errors of their cells say nothing."""
    summaries = {number for number, pair in enumerate(pairs) if pair.is_summary}
    if not summaries:
        return set()
    return {row for row, number in enumerate(pair_numbers) if number in summaries}


def _row_keys(manifest: BatchManifest, chunk: CellChunk) -> Sequence[str | None]:
    """The cells that identify the rows in the error report; None without a key column."""
    key = key_column(manifest)
    return [None] * len(chunk) if key is None else chunk.columns[key]


def _source_cells(manifest: BatchManifest, chunk: CellChunk) -> list[Sequence[str]]:
    """The file's own columns as the result files repeat them."""
    kept = source_columns(manifest.dialect.header)
    return [escape_column(chunk.columns[index]) for index in kept]


class NamedRow(NamedTuple):
    """What rows with the same names and the same statistics of their model share."""

    pair: ReadPair
    match: Match
    model_known: bool
    model_notes: int
    """Bits of `MODEL_NOTES`."""
    cells: tuple[str, str, str]
    """Of `NAME_COLUMNS`."""
    note: str
    """`row_notes` of a row without notes on its cells."""
    audit: Mapping[str, Any]
    """Members of the audit record that say how the names were read."""
    features: Mapping[str, str]
    """Members of the record's features; empty if the names were not read."""

    @classmethod
    def of(
        cls, pair: ReadPair, language: Language, *, model_known: bool | None, model_notes: int
    ) -> Self:
        """Read the names.

        Args:
            pair: brand and model.
            language: of the note.
            model_known: whether the model has statistics; None: the row was not valued.
            model_notes: bits of `MODEL_NOTES`.
        """
        # Without an estimate, nothing says that the model lacks statistics.
        is_known = model_known is not False
        note = row_notes((), language, has_statistics=is_known, model_notes=model_notes)
        if (reading := pair.reading) is None:
            return cls(pair, Match.UNKNOWN, is_known, model_notes, ("", "", ""), note, {}, {})
        match = final_match(reading, model_known=bool(model_known))
        features = {"company": reading.company, "model": reading.model}
        audit = audit_names(match, pair.given)
        cells = name_cells(reading, match)
        return cls(pair, match, is_known, model_notes, cells, note, audit, features)


class ChunkNames(NamedTuple):
    """The names of the rows of a chunk."""

    rows: Sequence[NamedRow]
    """(n,) of all rows."""
    counts: Sequence[tuple[NamedRow, int]]
    """Numbers of valid rows, in the order of their first rows."""

    @classmethod
    def of(cls, manifest: BatchManifest, rows: ReadRows, prices: PricedRows) -> Self:
        """Read each distinct pair of names once."""
        count = len(rows.pair_numbers)
        known: list[bool | None] = [None] * count
        notes = [0] * count
        if prices.model_known is not None:
            valued = zip(rows.valid, prices.model_known, prices.notes.tolist(), strict=True)
            for row, model_known, model_notes in valued:
                known[row], notes[row] = model_known, model_notes
        keys = list(zip(rows.pair_numbers, known, notes, strict=True))
        language = batch_language(manifest)
        named = {
            key: NamedRow.of(rows.pairs[key[0]], language, model_known=key[1], model_notes=key[2])
            for key in set(keys)
        }
        counts = Counter(_of_valid(rows, keys))
        return cls(
            list(map(named.__getitem__, keys)), [(named[key], n) for key, n in counts.items()]
        )


def _of_valid(rows: ReadRows, column: Sequence[_Value]) -> Sequence[_Value]:
    """The values of the valid rows in a column of all rows."""
    return column if len(rows.valid) == len(column) else [column[row] for row in rows.valid]


def _audit_records(
    shared: Mapping[str, Any],
    chunk: CellChunk,
    rows: ReadRows,
    prices: PricedRows,
    names: Sequence[NamedRow],
) -> Iterator[dict[str, Any]]:
    """Records with the fields of `shared.domain.valuation.AuditRecord`, and the row."""
    fields = [name for name in rows.values if name != ASKING_PRICE]
    cars = zip(*(rows.values[name] for name in fields), strict=True)
    before = f"{shared['batch_id']}-"
    valued = zip(rows.valid, _of_valid(rows, names), cars, *prices[:3], strict=True)
    for index, named, car, price, low, high in valued:
        features = dict(named.features)
        for name, value in zip(fields, car, strict=True):
            if value is not None:
                features[name] = value  # noqa: PERF403 - a loop makes no second dictionary
        row = chunk.first_row + index
        yield {
            "id": f"{before}{row}",
            **shared,
            "row": row,
            **named.audit,
            "features": features,
            "price_mad": price,
            "low_mad": low,
            "high_mad": high,
        }


def _make_part(
    manifest: BatchManifest,
    chunk: CellChunk,
    rows: ReadRows,
    prices: PricedRows,
    names: ChunkNames,
    *,
    audit: bytes = b"",
) -> Part:
    """The part of a chunk; `prices` are `NO_PRICES` if its valid rows were not valued."""
    reasons = rejection_reasons(rows.errors, manifest)
    source_cells = _source_cells(manifest, chunk)
    rejected = sorted(rows.errors)
    return Part(
        RowCounts(valid=len(rows.valid), invalid=len(rows.errors)),
        csv_lines(
            [*source_cells, *_added_columns(manifest, rows, names.rows, reasons, prices)],
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
        _count_notes(rows, names.counts, prices),
        prices.asking_sides,
    )


def _count_notes(
    rows: ReadRows, counts: Sequence[tuple[NamedRow, int]], prices: PricedRows
) -> tuple[NoteCount, ...]:
    """Counts of the notes on the valid rows."""
    counter = NoteCounter().merge(rows.changed_units)
    for row in sorted(rows.notes):
        for note in rows.notes[row]:
            counter.add(note.field, note.code, 1, [note.cell])
    count_names(counter, ((*named[:3], count) for named, count in counts))
    values, valid = rows.values, len(rows.valid)

    def missing(name: str) -> int:
        return values[name].count(None) if name in values else valid

    count_missing(counter, missing)
    if prices.notes is not None:
        count_model_notes(counter, prices.notes, lambda note, at: _examples(rows, note, at))
        count_without_effect(counter, prices.without_effect, lambda name: valid - missing(name))
    return counter.result()


def _examples(rows: ReadRows, note: ModelNote, indexes: Any) -> Iterator[str]:
    """Examples of a note of the model on valid rows, in their order."""
    numbers, values = _of_valid(rows, rows.pair_numbers), rows.values.get(note.field)
    for index in indexes.tolist():
        value = None if values is None else values[index]
        yield note_example(note, rows.pairs[numbers[index]].given, value)


def _added_columns(
    manifest: BatchManifest,
    rows: ReadRows,
    names: Sequence[NamedRow],
    reasons: Mapping[int, str],
    prices: PricedRows,
) -> list[Sequence[Any]]:
    """The columns that the result file has after the file's own."""
    language = batch_language(manifest)
    valid = RowStatus.VALID if manifest.options.dry_run else RowStatus.VALUED
    count = len(names)
    status = [str(valid)] * count
    for row in reasons:
        status[row] = str(RowStatus.REJECTED)
    columns = [*prices[:3], *prices.verdicts]
    if manifest.dialect.asking_index is not None and not prices.verdicts:
        columns += [()] * len(VERDICT_COLUMNS)
    if reasons or not prices.price_mad:
        columns = [_spread(column, count, rows.valid) for column in columns]
    notes = [named.note for named in names]
    for row, found in rows.notes.items():
        named = names[row]
        notes[row] = row_notes(
            found, language, has_statistics=named.model_known, model_notes=named.model_notes
        )
    texts = [""] * count
    for row, reason in reasons.items():
        notes[row], texts[row] = "", reason
    cells = ([named.cells[at] for named in names] for at in range(len(NAME_COLUMNS)))
    return [*columns, *cells, notes, status, texts]


def _spread(values: Sequence[Any], count: int, valid: Sequence[int]) -> list[Any]:
    """The values of the valid rows as a column of all rows; blank where there is no value."""
    cells: list[Any] = [""] * count
    for row, value in zip(valid, values, strict=False):
        cells[row] = value
    return cells
