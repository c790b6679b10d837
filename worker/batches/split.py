"""Cuts an uploaded file into chunks, a slice of the file per task, and chooses their engines."""

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from shared.blobs.batch_files import BatchFiles, SplitState, chunk_name
from shared.domain.batch import BatchManifest
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId
from shared.domain.table import Dialect, FileKind
from shared.logging import get_logger
from shared.redis.batch_ledger.ledger import BatchLedger, StepDecision
from shared.redis.dead_letters import DeadLetters
from shared.tabular.csv_reader import START, CsvReader, Position, SourceRow
from shared.tabular.rows.chunk import CellChunk, cut
from shared.tabular.rows.inner_headers import InnerHeaders, InnerState
from shared.tabular.rows.text import NumberedReader, open_rows
from shared.tabular.tables.process import ReadCancelled
from worker.batches.corrections.importer import CorrectionImporter
from worker.batches.fast_csv.spans import ByteSpan, find_byte_span, supports_fast_csv
from worker.batches.steps import ATTEMPTS_EXHAUSTED, SPLIT, BatchStepSender, step_attempt
from worker.batches.tables import TableImporter

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNKS_PER_SLICE = 5
"""Chunks that one task cuts: up to 100,000 rows, in under a second. Each task begins where the one
before stopped, so that a long file does not block the workers."""

SMALL_CHUNK_BYTES = 4096
"""Packed chunks up to this size are written together at the end of the slice."""

UNREADABLE_TABLE = "unreadable-table"
CORRECTION_REFUSED = "correction-refused"
CAR_LIMIT_REACHED = "car-limit-reached"

log = get_logger("batch.split")


class ChunkReader:
    """Cuts chunks from a position on. The result depends on the file and the position alone.

    Rows that can be cut as a byte span are for the fast CSV engine, all others for the general one.

    Args:
        source: the text that is cut; see `shared.tabular.rows.text`.
        dialect: of the file.
        start: where to begin.
        inner: what headers before that place have changed.
    """

    def __init__(
        self,
        source: BinaryIO,
        dialect: Dialect,
        start: Position,
        inner: InnerState = InnerState(),  # noqa: B008 - immutable
    ) -> None:
        self._inner = InnerHeaders(dialect, inner)
        self._source = source
        self._dialect = dialect
        self._at = start
        self._supports_fast_csv = supports_fast_csv(dialect)
        self._reader: CsvReader | NumberedReader | None = None
        self._rows: Iterator[SourceRow] = iter(())
        if self._supports_fast_csv and start == START:
            self._at = open_rows(source, dialect, start).position

    @property
    def position(self) -> Position:
        """The position after the last row that was cut."""
        return self._reader.position if self._reader else self._at

    @property
    def inner_state(self) -> InnerState:
        """What headers among the rows so far have changed."""
        return self._inner.state

    def cut(self, *, first_row: int, max_rows: int) -> ByteSpan | CellChunk | None:
        """The next rows; None at the end.

        Args:
            first_row: number of the first of them.
            max_rows: maximum rows of the chunk.
        """
        if self._supports_fast_csv and self.inner_state.is_unchanged:
            at, self._reader = self.position, None
            found = find_byte_span(
                self._source, self._dialect, at,
                first_row=first_row, max_rows=max_rows, inner=self._inner,
            )  # fmt: skip
            if found is not None:
                chunk, self._at = found
                return chunk
            self._at = at
        if self._reader is None:
            self._reader = open_rows(self._source, self._dialect, self._at)
            self._rows = iter(self._reader)
        return cut(
            self._rows, self._dialect, first_row=first_row, max_rows=max_rows, inner=self._inner
        )


class BatchSplitter:
    """Cuts files. A repeated slice gives the same chunks.

    Args:
        files: records and blobs of batches.
        ledger: the ledger.
        step_sender: sends the next steps.
        tables: converts workbooks and Parquet files to text.
        corrections: brings corrected rows into the form of the batch that they correct.
        dead_letters: list of the batches that could not be cut.
        chunk_rows: maximum rows of a chunk.
        slice_chunks: maximum chunks of a slice.
        pay_rows: counts the rows read so far against the limit of the caller's key; False: they
            are more than it allows.
    """

    def __init__(
        self,
        files: BatchFiles,
        ledger: BatchLedger,
        step_sender: BatchStepSender,
        tables: TableImporter,
        corrections: CorrectionImporter,
        *,
        dead_letters: DeadLetters,
        chunk_rows: int,
        slice_chunks: int = CHUNKS_PER_SLICE,
        pay_rows: Callable[[BatchId, int], bool] = lambda _batch, _rows: True,
    ) -> None:
        self._files = files
        self._ledger = ledger
        self._step_sender = step_sender
        self._tables = tables
        self._corrections = corrections
        self._dead_letters = dead_letters
        self._chunk_rows = chunk_rows
        self._slice_chunks = slice_chunks
        self._pay_rows = pay_rows

    def run(self, batch_id: BatchId) -> None:
        """Cut the next slice of a batch's file, and send the task that cuts the one after it."""
        with step_attempt(self._ledger, batch_id, SPLIT) as start:
            if start.decision is StepDecision.RUN:
                self._run(batch_id)
        if start.decision is StepDecision.EXHAUSTED:
            self._list_dead(batch_id, start.attempt)
            self._ledger.abort(batch_id, ATTEMPTS_EXHAUSTED)
        if start.decision is not StepDecision.UNKNOWN:
            self._step_sender.advance(batch_id)

    def _list_dead(self, batch_id: BatchId, attempt: int) -> None:
        manifest = self._files.manifest(batch_id)
        if manifest is not None:
            reason = self._ledger.last_failure(batch_id, SPLIT)
            self._dead_letters.add_step(batch_id, manifest.caller, SPLIT, reason, attempt - 1)

    def _run(self, batch_id: BatchId) -> None:
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            self._ledger.abort(batch_id, "rows-missing")
            return
        try:
            if manifest.dialect.kind is not FileKind.CSV and not manifest.dialect.is_opened:
                manifest = self._tables.open(manifest)
            if manifest.corrects is not None and not manifest.dialect.is_corrected:
                manifest = self._corrections.open(manifest, manifest.corrects)
            state = self._cut_slice(manifest)
        except ReadCancelled:
            return
        except UnreadableUpload as error:
            # Their parameters may be column names or cells of the file.
            codes = [problem.code for problem in error.problems]
            log.warning("batch_unreadable", batch_id=batch_id, problems=codes)
            self._ledger.abort(batch_id, _abort_code(manifest, error))
            return
        if not self._pay_rows(batch_id, state.rows):
            self._ledger.abort(batch_id, CAR_LIMIT_REACHED)
            return
        self._ledger.record_split(batch_id, state.chunks, state.rows if state.is_whole else None)
        if not state.is_whole:
            self._step_sender.send_step(batch_id, SPLIT)

    def _cut_slice(self, manifest: BatchManifest) -> SplitState:
        """Write the chunks of one slice; return how far the file is cut."""
        state = self._files.split_state(manifest.id)
        if state.is_whole:
            return state
        with self._files.open_text(manifest) as source:
            start = Position(state.offset, state.line)
            inner = InnerState(state.units, state.has_other_columns)
            chunk_reader = ChunkReader(source, manifest.dialect, start, inner)
            state = self._cut_chunks(manifest.id, chunk_reader, state)
        self._files.write_split_state(manifest.id, state)
        return state

    def _cut_chunks(
        self, batch_id: BatchId, chunk_reader: ChunkReader, state: SplitState
    ) -> SplitState:
        rows, chunks, is_whole = state.rows, state.chunks, False
        small: dict[str, list[bytes]] = {}
        while chunks < state.chunks + self._slice_chunks and not is_whole:
            chunk = chunk_reader.cut(first_row=rows + 1, max_rows=self._chunk_rows)
            if chunk is None:
                is_whole = True
            else:
                packed = chunk.pack()
                if len(packed) <= SMALL_CHUNK_BYTES:
                    small[chunk_name(chunks)] = [packed]
                else:
                    self._files.blobs.write_all(batch_id, {chunk_name(chunks): [packed]})
                rows, chunks = rows + len(chunk), chunks + 1
        self._files.blobs.write_all(batch_id, small)
        position, inner = chunk_reader.position, chunk_reader.inner_state
        return SplitState(*position, rows, chunks, is_whole, *inner)


def _abort_code(manifest: BatchManifest, error: UnreadableUpload) -> str:
    """The code of the error that ends a batch whose file cannot be read."""
    if manifest.corrects is not None and not manifest.dialect.is_corrected:
        return CORRECTION_REFUSED
    if manifest.dialect.kind is FileKind.CSV or manifest.dialect.is_opened:
        return error.problems[0].code
    return UNREADABLE_TABLE
