"""The notes on cells of fast CSV rows: what was ignored or converted in valid rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.vehicles.columns import CategoricalColumn, as_codes, as_numbers
from shared.domain.notes import NoteCount, NoteCounter
from shared.tabular.column_names import ASKING_PRICE
from worker.batches.engine import count_missing
from worker.batches.fast_csv.interner import FIELD_INDEX, StringInterner
from worker.batches.fast_csv.pairs import PairMatches
from worker.batches.fast_csv.rows import FastCsvRows
from worker.batches.names import count_names

NotedCodes = Mapping[int, Sequence[int]]
"""The codes of the texts with a note (`StringInterner.notes`) by row, in the order of the columns;
rows without any have no entry."""

_IS_NONE: Mapping[Any, float] = {None: 1.0}


def find_noted(rows: FastCsvRows, interner: StringInterner) -> NotedCodes:
    """The texts with a note in valid rows."""
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
    rows: FastCsvRows, matches: PairMatches, noted: NotedCodes, interner: StringInterner
) -> tuple[NoteCount, ...]:
    """Counts of the notes on the valid rows."""
    counter = NoteCounter()
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in sorted(noted):
        for code in noted[row]:
            name, message, cell = interner.notes[code]
            cells[name, message].append(cell)
    for (name, message), found in cells.items():
        counter.add(name, message, len(found), dict.fromkeys(found))
    counts = np.bincount(matches.ids[rows.is_valid], minlength=len(matches.distinct)).tolist()
    first = np.empty(len(counts), dtype=np.int64)
    # Of several rows with the same index the last assignment counts.
    first[matches.ids[::-1]] = np.arange(len(matches.ids))[::-1]
    order = np.argsort(first).tolist()
    named = ((matches.distinct[at], counts[at]) for at in order if counts[at])
    count_names(
        counter, ((each.pair, each.match, each.model_known, count) for each, count in named)
    )
    count_missing(counter, lambda name: _missing(rows, name))
    return counter.result()


def _missing(rows: FastCsvRows, name: str) -> int:
    """Number of valid rows that lack a field."""
    column = rows.cars.get(name)
    if column is None:
        return rows.valid
    if isinstance(column, CategoricalColumn):
        return int(as_codes(column, _IS_NONE).sum())
    return int(np.isnan(as_numbers(column, rows.valid)).sum())
