"""Cut an uploaded file into chunks, a slice of the file at a time."""

from typing import TYPE_CHECKING, BinaryIO

from shared.blobs.batch_files import SOURCE, TABLE, BatchFiles, SplitState, chunk_name
from shared.domain.batch import BatchManifest
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId
from shared.domain.table import Dialect, FileKind
from shared.logging import get_logger
from shared.redis.batches import BatchLedger, StepDecision
from shared.tabular.csv_reader import START, CsvReader, Position, SourceRow
from worker.batches.fast_csv.spans import ByteSpan, find_byte_span, supports_fast_csv
from worker.batches.rows.chunk import Chunk, cut
from worker.batches.steps import ATTEMPTS_EXHAUSTED, SPLIT, BatchStepSender, retry_on_failure
from worker.batches.tables.detect import TableImporter
from worker.batches.tables.process import ReadCancelled
from worker.batches.tables.rows import STORED_DIALECT, StoredTableReader

if TYPE_CHECKING:
    from collections.abc import Iterator


class ChunkReader:
    """Cuts a file from a place on. What is cut depends on the file and the place alone.

    Args:
        source: the file, or the table that was made of it.
        dialect: how it writes its table.
        start: where to begin.
    """

    def __init__(self, source: BinaryIO, dialect: Dialect, start: Position) -> None:
        self._source = source
        self._dialect = dialect
        self._at = start
        self._supports_fast_csv = supports_fast_csv(dialect)
        self._reader: CsvReader | StoredTableReader | None = None
        self._rows: Iterator[SourceRow] = iter(())
        if self._supports_fast_csv and start == START:
            self._at = CsvReader.of(source, dialect, start).position

    @property
    def position(self) -> Position:
        """The place after the last row that was cut."""
        return self._reader.position if self._reader else self._at

    def cut(self, *, first_row: int, max_rows: int) -> ByteSpan | Chunk | None:
        """The next rows; None at the end.

        Args:
            first_row: number of the first of them.
            max_rows: most rows of the chunk.
        """
        if self._supports_fast_csv:
            at, self._reader = self.position, None
            found = find_byte_span(
                self._source, self._dialect, at, first_row=first_row, max_rows=max_rows
            )
            if found is not None:
                chunk, self._at = found
                return chunk
            self._at = at
        if self._reader is None:
            self._open_reader()
        return cut(
            self._rows,
            width=len(self._dialect.header),
            delimiter=self._dialect.delimiter or STORED_DIALECT.delimiter,
            first_row=first_row,
            max_rows=max_rows,
        )

    def _open_reader(self) -> None:
        """Go on with the general reader."""
        if self._dialect.kind is FileKind.CSV:
            self._reader = CsvReader.of(self._source, self._dialect, self._at)
        else:
            self._reader = StoredTableReader(self._source, self._dialect, self._at)
        self._rows = iter(self._reader)


CHUNKS_PER_SLICE = 5
"""Chunks that one task cuts: some 50,000 rows, well under a second. A long file is cut by many
tasks, each of which begins where the one before stopped, so no file keeps others waiting."""

UNREADABLE_TABLE = "unreadable-table"

log = get_logger("batch.split")


class BatchSplitter:
    """Cuts files. What is cut depends on the file alone, so repeating a slice changes nothing.

    Args:
        files: records and blobs of batches.
        store: the ledger.
        step_sender: sends what comes next.
        tables: opens files that are no text.
        chunk_rows: most rows of a chunk.
        slice_chunks: most chunks of one slice.
    """

    def __init__(
        self,
        files: BatchFiles,
        store: BatchLedger,
        step_sender: BatchStepSender,
        tables: TableImporter,
        *,
        chunk_rows: int,
        slice_chunks: int = CHUNKS_PER_SLICE,
    ) -> None:
        self._files = files
        self._store = store
        self._step_sender = step_sender
        self._tables = tables
        self._chunk_rows = chunk_rows
        self._slice_chunks = slice_chunks

    def run(self, batch_id: BatchId) -> None:
        """Cut the next slice of a batch's file, and have the one after it cut."""
        start = self._store.begin(batch_id, SPLIT)
        if start.verdict is StepDecision.RUN:
            with retry_on_failure(self._store, batch_id, SPLIT, start.attempt):
                self._run(batch_id)
        elif start.verdict is StepDecision.EXHAUSTED:
            self._store.abort(batch_id, ATTEMPTS_EXHAUSTED)
        if start.verdict is not StepDecision.UNKNOWN:
            self._step_sender.advance(batch_id)

    def _run(self, batch_id: BatchId) -> None:
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            self._store.abort(batch_id, "rows-missing")
            return
        try:
            if manifest.dialect.kind is not FileKind.CSV and not manifest.dialect.is_opened:
                manifest = self._tables.open(manifest)
            state = self._cut_slice(manifest)
        except ReadCancelled:
            return
        except UnreadableUpload as error:
            log.warning("batch_unreadable", batch_id=batch_id, problems=repr(error.problems))
            self._store.abort(batch_id, _abort_code(manifest, error))
            return
        self._store.record_split(batch_id, state.chunks, state.rows if state.is_whole else None)
        if not state.is_whole:
            self._step_sender.send_step(batch_id, SPLIT)

    def _cut_slice(self, manifest: BatchManifest) -> SplitState:
        """Write the chunks of one slice; how far the file is cut then."""
        state = self._files.split_state(manifest.id)
        if state.is_whole:
            return state
        is_text = manifest.dialect.kind is FileKind.CSV
        with self._files.blobs.read(manifest.id, SOURCE if is_text else TABLE) as source:
            chunk_reader = ChunkReader(source, manifest.dialect, Position(state.offset, state.line))
            state = self._cut_chunks(manifest.id, chunk_reader, state)
        self._files.write_split_state(manifest.id, state)
        return state

    def _cut_chunks(
        self, batch_id: BatchId, chunk_reader: ChunkReader, state: SplitState
    ) -> SplitState:
        rows, chunks, is_whole = state.rows, state.chunks, False
        span_blobs: dict[str, list[bytes]] = {}
        while chunks < state.chunks + self._slice_chunks and not is_whole:
            chunk = chunk_reader.cut(first_row=rows + 1, max_rows=self._chunk_rows)
            if chunk is None:
                is_whole = True
            else:
                packed = {chunk_name(chunks): [chunk.pack()]}
                if isinstance(chunk, ByteSpan):
                    span_blobs |= packed
                else:  # too large to be kept until the end of the slice
                    self._files.blobs.write_all(batch_id, packed)
                rows, chunks = rows + len(chunk), chunks + 1
        self._files.blobs.write_all(batch_id, span_blobs)
        return SplitState(*chunk_reader.position, rows, chunks, is_whole)


def _abort_code(manifest: BatchManifest, error: UnreadableUpload) -> str:
    """The code of what ends a batch whose file cannot be read (on)."""
    if manifest.dialect.kind is FileKind.CSV or manifest.dialect.is_opened:
        return error.problems[0].code
    return UNREADABLE_TABLE
