"""The notes on cells of fast CSV rows: what was ignored or converted in valid rows."""

from collections import ChainMap, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import CategoricalColumn, as_codes, as_numbers, values_at
from shared.domain.car import KM_HIGH
from shared.domain.files.notes import ModelNote, NoteCount, NoteCounter
from shared.tabular.column_names import ASKING_PRICE
from worker.batches.engine import RowNote, count_missing
from worker.batches.fast_csv.interner import FIELD_INDEX, StringInterner
from worker.batches.fast_csv.pairs import PairMatches
from worker.batches.fast_csv.rows import FastCsvRows
from worker.batches.mileages import MILEAGE, unusual_mileages
from worker.batches.model_notes import (
    count_model_notes,
    count_without_effect,
    names_matter,
    note_example,
)
from worker.batches.names import count_names


class Noted(NamedTuple):
    """The notes on rows."""

    codes: Mapping[int, Sequence[int]]
    """Codes of notes by row, in the order of the columns; rows without any have no entry."""
    notes: Mapping[int, RowNote]
    """The notes by code."""
    high_mileages: Sequence[int]
    """Indexes of the valid rows whose mileage is very high for the age of the car."""


_IS_NONE: Mapping[Any, float] = {None: 1.0}


def find_noted(rows: FastCsvRows, interner: StringInterner) -> Noted:
    """The notes on valid rows: on texts, and on unusual mileages."""
    codes = _noted_texts(rows, interner)
    # The codes of texts are not negative.
    number_of: dict[RowNote, int] = {}
    unusual = list(_unusual_mileages(rows))
    places = np.flatnonzero(rows.is_valid).tolist() if unusual else []
    for index, code, km_driven in unusual:
        note = RowNote(MILEAGE, code, km_driven)
        codes[places[index]].append(number_of.setdefault(note, -1 - len(number_of)))
    mileages = {code: note for note, code in number_of.items()}
    high = [index for index, code, _ in unusual if code == KM_HIGH]
    return Noted(codes, ChainMap(mileages, interner.notes) if mileages else interner.notes, high)


def _unusual_mileages(rows: FastCsvRows) -> Iterator[tuple[int, str, str]]:
    """See `unusual_mileages`, of valid rows."""
    if MILEAGE not in rows.cars:
        return iter(())
    years, km_driven = (as_numbers(rows.cars[name], rows.valid) for name in ("year", MILEAGE))
    return unusual_mileages(years, km_driven, datetime.now(UTC).year)


def _noted_texts(rows: FastCsvRows, interner: StringInterner) -> dict[int, list[int]]:
    """The codes of the texts with a note in valid rows."""
    names = list(rows.columns)
    if rows.asking_mad is not None:
        names.append(ASKING_PRICE)
    fields = np.array([FIELD_INDEX[name] for name in names], dtype=np.int64)
    noted: dict[int, list[int]] = defaultdict(list)
    if not interner.notes:
        return noted
    codes = rows.codes[fields]
    is_noted = interner.noted_matrix(codes) & rows.is_valid
    places = np.nonzero(is_noted)
    for row, code in zip(places[1].tolist(), codes[places].tolist(), strict=True):
        noted[row].append(code)
    return noted


def count_notes(
    rows: FastCsvRows,
    matches: PairMatches,
    noted: Noted,
    model_notes: NDArray[np.int64] | None,
    without_effect: Sequence[str],
) -> tuple[NoteCount, ...]:
    """Counts of the notes on the valid rows.

    Args:
        rows: the rows.
        matches: their names.
        noted: notes on their cells.
        model_notes: (valid rows,) bits of `MODEL_NOTES`; None: nothing was valued.
        without_effect: fields of which no value changes a price.
    """
    counter = NoteCounter()
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in sorted(noted.codes):
        for code in noted.codes[row]:
            name, message, cell = noted.notes[code]
            cells[name, message].append(cell)
    for (name, message), found in cells.items():
        counter.add(name, message, len(found), dict.fromkeys(found))
    ids = matches.ids[rows.is_valid]
    counts = np.bincount(ids, minlength=len(matches.distinct)).tolist()
    first = np.full(len(counts), len(ids))
    # Of several rows with the same index the last assignment counts.
    first[ids[::-1]] = np.arange(len(ids))[::-1]
    order = np.argsort(first).tolist()
    named = ((matches.distinct[at], counts[at]) for at in order if counts[at])
    count_names(
        counter, ((each.pair, each.match, each.model_known, count) for each, count in named)
    )
    count_missing(counter, lambda name: _missing(rows, name))
    if model_notes is not None:
        count_model_notes(counter, model_notes, lambda note, at: _examples(rows, note, at))
        count_without_effect(
            counter, without_effect, lambda name: rows.valid - _missing(rows, name)
        )
    return counter.result()


def _examples(rows: FastCsvRows, note: ModelNote, indexes: NDArray[np.int64]) -> Iterator[str]:
    """Different examples of a note of the model on valid rows, in their order."""
    column = rows.cars[note.field]
    values = column.codes if isinstance(column, CategoricalColumn) else np.asarray(column)
    keys = np.unique(values[indexes], return_inverse=True)[1]
    numbers = rows.pair_numbers[rows.is_valid]
    if names_matter(note):
        keys = keys * len(rows.pairs.pairs) + numbers[indexes]
    first = np.sort(np.unique(keys, return_index=True)[1])
    for index in indexes[first].tolist():
        (value,) = values_at(column, [index])
        yield note_example(note, rows.pairs.pairs[numbers[index]].given, value)


def _missing(rows: FastCsvRows, name: str) -> int:
    """Number of valid rows that lack a field."""
    column = rows.cars.get(name)
    if column is None:
        return rows.valid
    if isinstance(column, CategoricalColumn):
        return int(as_codes(column, _IS_NONE).sum())
    return int(np.isnan(as_numbers(column, rows.valid)).sum())
