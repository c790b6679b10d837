"""The columns of text that end the rows of a result file: names, notes, status and reason.

Rows with the same names and without notes share one text.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.domain.batch import (
    PRICE_COLUMNS,
    VERDICT_COLUMNS,
    BatchManifest,
    RowStatus,
)
from shared.tabular.cells import csv_cell
from worker.batches.engine import RowNote, batch_language, row_notes
from worker.batches.fast_csv.notes import Noted
from worker.batches.fast_csv.pairs import PairMatches


class TextColumns(NamedTuple):
    """The last cells of n rows."""

    texts: Sequence[bytes]
    """The cells, each after a delimiter, with the line feed at the end; each text once."""
    ids: NDArray[np.int64]
    """(n,) index of each row's cells in `texts`."""


class _CellWriter:
    """Writes the last cells of rows.

    Args:
        manifest: of their batch.
        matches: of their names.
        has_verdicts: whether a row has cells for a verdict after its prices.
        notes: by code.
    """

    def __init__(
        self,
        manifest: BatchManifest,
        matches: PairMatches,
        *,
        has_verdicts: bool,
        notes: Mapping[int, RowNote],
    ) -> None:
        self._delimiter = manifest.result_delimiter
        self._language = batch_language(manifest)
        self._notes = notes
        self._matches = matches.distinct
        comma = self._delimiter.encode()
        self._names = [comma + each.cells(self._delimiter) + comma for each in matches.distinct]
        blank = comma * (len(PRICE_COLUMNS) + has_verdicts * len(VERDICT_COLUMNS))
        is_dry = manifest.options.dry_run
        status = (RowStatus.VALID if is_dry else RowStatus.VALUED).encode()
        self._before_valid = blank if is_dry else b""
        self._after_note = b"%b%b%b\n" % (comma, status, comma)
        self._before_rejected = blank
        self._before_reason = comma + RowStatus.REJECTED.encode() + comma

    def valid(self, match_id: int, codes: Sequence[int]) -> bytes:
        """The cells of a valid row whose texts with these codes have notes."""
        match = self._matches[match_id]
        found = [self._notes[code] for code in codes]
        note = row_notes(
            found, self._language, has_statistics=match.model_known, model_notes=match.model_notes
        )
        cell = csv_cell(note, self._delimiter)
        return self._before_valid + self._names[match_id] + cell + self._after_note

    def rejected(self, match_id: int, reason: str) -> bytes:
        """The cells of a rejected row."""
        cell = csv_cell(reason, self._delimiter)
        before = self._before_rejected + self._names[match_id] + self._before_reason
        return b"%b%b\n" % (before, cell)


def write_text_columns(
    manifest: BatchManifest,
    matches: PairMatches,
    noted: Noted,
    reasons: Mapping[int, str],
    *,
    has_verdicts: bool,
) -> TextColumns:
    """Write what follows the prices and the verdict, and of rejected rows these too.

    Args:
        manifest: of the batch.
        matches: names of the rows.
        noted: the notes on the rows.
        reasons: why rows are rejected, by row.
        has_verdicts: whether the file has asking prices.
    """
    writer = _CellWriter(manifest, matches, has_verdicts=has_verdicts, notes=noted.notes)
    texts = [writer.valid(match_id, ()) for match_id in range(len(matches.distinct))]
    ids = matches.ids.copy()
    number_of: dict[tuple[int, tuple[int, ...] | str], int] = {}
    for row, match_id in _with_matches(noted.codes, matches):
        codes = tuple(noted.codes[row])
        if (number := number_of.get((match_id, codes))) is None:
            number = number_of[match_id, codes] = len(texts)
            texts.append(writer.valid(match_id, codes))
        ids[row] = number
    for row, match_id in _with_matches(reasons, matches):
        reason = reasons[row]
        if (number := number_of.get((match_id, reason))) is None:
            number = number_of[match_id, reason] = len(texts)
            texts.append(writer.rejected(match_id, reason))
        ids[row] = number
    return TextColumns(texts, ids)


def _with_matches(chosen: Mapping[int, object], matches: PairMatches) -> Iterator[tuple[int, int]]:
    """Rows, and the index of each one's match."""
    rows = list(chosen)
    return zip(rows, matches.ids[rows].tolist(), strict=True)
