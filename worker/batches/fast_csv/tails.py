"""The ends of the rows of a result file: names, notes, status and reason.

Rows with the same names and without notes share one text.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from data.vehicles.columns import CategoricalColumn, as_codes, as_numbers
from shared.domain.batch import (
    PRICE_COLUMNS,
    VERDICT_COLUMNS,
    BatchManifest,
    RowStatus,
)
from shared.domain.notes import NoteCount, NoteCounter
from shared.messages.texts import Language
from shared.tabular.cells import csv_cell
from shared.tabular.column_names import ASKING_PRICE
from worker.batches.engine import RowNote, batch_language, count_missing, row_notes
from worker.batches.fast_csv.interner import FIELD_INDEX, StringInterner
from worker.batches.fast_csv.pairs import PairMatch
from worker.batches.fast_csv.rows import FastCsvRows
from worker.batches.names import count_names

Texts = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Texts concatenated, and where each ends."""


def joined(texts: Sequence[bytes]) -> Texts:
    """Concatenate texts."""
    ends = np.array(list(accumulate(map(len, texts))), dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), ends


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PairMatches:
    """The distinct pairs of n rows with what the model knows of them."""

    distinct: Sequence[PairMatch]
    ids: NDArray[np.int64]
    """(n,) index of each row in `distinct`."""

    @classmethod
    def of(cls, rows: FastCsvRows, model_known: NDArray[np.bool_] | None) -> Self:
        """Find them.

        Args:
            rows: the rows.
            model_known: (valid rows,); None: nothing was valued.
        """
        states = np.full(len(rows.is_valid), _NOT_VALUED)
        if model_known is not None:
            states[rows.is_valid] = model_known
        keys = _STATES * rows.pair_numbers + states
        is_used = np.zeros(_STATES * len(rows.pairs.pairs), dtype=np.bool_)
        is_used[keys] = True
        id_of_key = np.cumsum(is_used) - 1
        distinct = [
            rows.pairs.match(key // _STATES, _KNOWN_OF_STATE[key % _STATES])
            for key in np.flatnonzero(is_used).tolist()
        ]
        return cls(distinct, id_of_key[keys])


_NOT_VALUED, _STATES = 2, 3
"""States of a row's model: 0 without statistics, 1 with statistics, `_NOT_VALUED`."""
_KNOWN_OF_STATE = (False, True, None)


Notes = Mapping[int, Sequence[RowNote]]


def read_notes(rows: FastCsvRows, interner: StringInterner) -> Notes:
    """The notes on cells of valid rows, by row, in the order of the columns."""
    names = list(rows.columns)
    if rows.asking_mad is not None:
        names.append(ASKING_PRICE)
    fields = np.array([FIELD_INDEX[name] for name in names], dtype=np.int64)
    notes: dict[int, list[RowNote]] = defaultdict(list)
    if not interner.notes:
        return notes
    codes = rows.codes[fields]
    is_noted = interner.noted_matrix(codes) & rows.is_valid
    places = np.argwhere(is_noted)
    found = codes[places[:, 0], places[:, 1]].tolist()
    for row, code in zip(places[:, 1].tolist(), found, strict=True):
        notes[row].append(interner.notes[code])
    return notes


def count_notes(rows: FastCsvRows, matches: PairMatches, notes: Notes) -> tuple[NoteCount, ...]:
    """Counts of the notes on the valid rows."""
    counter = NoteCounter()
    for row in sorted(notes):
        for note in notes[row]:
            counter.add(note.field, note.code, 1, [note.cell])
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


_IS_NONE: Mapping[Any, float] = {None: 1.0}


class RowTails(NamedTuple):
    """The ends of n rows."""

    texts: Sequence[bytes]
    """The distinct ends, with the line feed."""
    ids: NDArray[np.int64]
    """(n,) index of each row's end in `texts`."""


def row_tails(
    rows: FastCsvRows,
    manifest: BatchManifest,
    matches: PairMatches,
    notes: Notes,
    reasons: Mapping[int, str],
) -> RowTails:
    """The ends of rows: what follows the prices and the verdict, and of rejected rows these too."""
    is_dry, language = manifest.options.dry_run, batch_language(manifest)
    blank = [b""] * len(PRICE_COLUMNS)
    if rows.asking_mad is not None:
        blank += [b""] * len(VERDICT_COLUMNS)
    delimiter = manifest.result_delimiter
    prices = delimiter.encode() * len(blank)
    status = (RowStatus.VALID if is_dry else RowStatus.VALUED).encode()
    before = prices if is_dry else b""
    texts = [
        _valid_tail(before, each, (), status, language, delimiter=delimiter)
        for each in matches.distinct
    ]
    ids = matches.ids.copy()
    number_of: dict[bytes, int] = {}
    special = {
        **{
            row: _valid_tail(
                before,
                matches.distinct[matches.ids[row]],
                found,
                status,
                language,
                delimiter=delimiter,
            )
            for row, found in notes.items()
        },
        **{
            row: prices + _rejected_tail(matches.distinct[matches.ids[row]], reason, delimiter)
            for row, reason in reasons.items()
        },
    }
    for row, text in special.items():
        number = number_of.setdefault(text, len(texts) + len(number_of))
        ids[row] = number
    return RowTails([*texts, *number_of], ids)


def _valid_tail(
    before: bytes,
    names: PairMatch,
    notes: Sequence[RowNote],
    status: bytes,
    language: Language,
    *,
    delimiter: str,
) -> bytes:
    note = csv_cell(row_notes(notes, language, has_statistics=names.model_known), delimiter)
    return before + _tail(names, [note, status, b""], delimiter)


def _rejected_tail(names: PairMatch, reason: str, delimiter: str) -> bytes:
    status = RowStatus.REJECTED.encode()
    return _tail(names, [b"", status, csv_cell(reason, delimiter)], delimiter)


def _tail(names: PairMatch, status: Sequence[bytes], delimiter: str) -> bytes:
    """The cells of `NAME_COLUMNS` and `STATUS_COLUMNS`, each after a delimiter."""
    return delimiter.encode().join([b"", names.cells(delimiter), *status]) + b"\n"
