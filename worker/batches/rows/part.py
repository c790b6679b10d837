"""Writes the part of a chunk: result sections and audit records."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from shared.blobs.parts import Part
from shared.domain.batch import (
    NAME_COLUMNS,
    VERDICT_COLUMNS,
    BatchManifest,
    RowCounts,
    RowStatus,
    source_columns,
)
from shared.domain.files.notes import AskingSides, ModelNote, NoteCount, NoteCounter
from shared.domain.reading import Match
from shared.domain.valuation import audit_names
from shared.i18n.languages import Language
from shared.tabular.cells import csv_lines, escape_column
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.rows.chunk import CellChunk
from worker.batches.engine import (
    batch_language,
    count_missing,
    error_lines,
    rejection_reasons,
    row_notes,
)
from worker.batches.model_notes import count_model_notes, count_without_effect, note_example
from worker.batches.names import ReadPair, count_names, final_match, name_cells
from worker.batches.rows.reading import ReadRows, of_valid


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


def source_cells(manifest: BatchManifest, chunk: CellChunk) -> list[Sequence[str]]:
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
        counts = Counter(of_valid(rows, keys))
        return cls(
            list(map(named.__getitem__, keys)), [(named[key], n) for key, n in counts.items()]
        )


def audit_records(
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
    valued = zip(rows.valid, of_valid(rows, names), cars, *prices[:3], strict=True)
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


def make_part(
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
    own_cells = source_cells(manifest, chunk)
    rejected = sorted(rows.errors)
    return Part(
        RowCounts(valid=len(rows.valid), invalid=len(rows.errors)),
        csv_lines(
            [*own_cells, *_added_columns(manifest, rows, names.rows, reasons, prices)],
            manifest.result_delimiter,
        ),
        error_lines(rows.errors),
        csv_lines(
            [
                *([column[row] for row in rejected] for column in own_cells),
                [chunk.lines[row] for row in rejected],
                [reasons[row] for row in rejected],
            ],
            manifest.result_delimiter,
        ),
        audit,
        prices.price_mad,
        _count_notes(rows, names.counts, prices),
        prices.asking_sides,
        chunk.lines,
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
    numbers, values = of_valid(rows, rows.pair_numbers), rows.values.get(note.field)
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
