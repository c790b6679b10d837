"""Cut an uploaded file into chunks, a slice of the file at a time."""

from shared.adapters.batch_files import SOURCE, TABLE, BatchFiles, CutState, chunk_name
from shared.adapters.redis_batches import BatchLedger, StepVerdict
from shared.domain.batch import BatchManifest
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId
from shared.domain.table import FileKind
from shared.logging import get_logger
from shared.schemas.csv_reader import Position
from worker.services.batch_cutter import Cutter
from worker.services.batch_flow import SPLIT, BatchFlow
from worker.services.batch_retry import ATTEMPTS_EXHAUSTED, retried
from worker.services.batch_table import BatchTable
from worker.services.plain_chunk import PlainPlace
from worker.services.tables_process import Stopped

SLICE_CHUNKS = 5
"""Chunks that one task cuts: some 50,000 rows, well under a second. A long file is cut by many
tasks, each of which begins where the one before stopped, so no file keeps others waiting."""

UNREADABLE_TABLE = "unreadable-table"

log = get_logger("batch.split")


class BatchSplit:
    """Cuts files. What is cut depends on the file alone, so repeating a slice changes nothing.

    Args:
        files: records and blobs of batches.
        store: the ledger.
        flow: sends what comes next.
        tables: opens files that are no text.
        chunk_rows: most rows of a chunk.
        slice_chunks: most chunks of one slice.
    """

    def __init__(
        self,
        files: BatchFiles,
        store: BatchLedger,
        flow: BatchFlow,
        tables: BatchTable,
        *,
        chunk_rows: int,
        slice_chunks: int = SLICE_CHUNKS,
    ) -> None:
        self._files = files
        self._store = store
        self._flow = flow
        self._tables = tables
        self._chunk_rows = chunk_rows
        self._slice_chunks = slice_chunks

    def run(self, batch_id: BatchId) -> None:
        """Cut the next slice of a batch's file, and have the one after it cut."""
        start = self._store.begin(batch_id, SPLIT)
        if start.verdict is StepVerdict.RUN:
            with retried(self._store, batch_id, SPLIT, start.attempt):
                self._run(batch_id)
        elif start.verdict is StepVerdict.EXHAUSTED:
            self._store.abort(batch_id, ATTEMPTS_EXHAUSTED)
        if start.verdict is not StepVerdict.UNKNOWN:
            self._flow.advance(batch_id)

    def _run(self, batch_id: BatchId) -> None:
        manifest = self._files.manifest(batch_id)
        if manifest is None:
            self._store.abort(batch_id, "rows-missing")
            return
        try:
            if manifest.dialect.kind is not FileKind.CSV and not manifest.dialect.is_opened:
                manifest = self._tables.open(manifest)
            state = self._cut_slice(manifest)
        except Stopped:
            return
        except UnreadableUpload as error:
            log.warning("batch_unreadable", batch_id=batch_id, problems=repr(error.problems))
            self._store.abort(batch_id, _end_of(manifest, error))
            return
        self._store.note_cut(batch_id, state.chunks, state.rows if state.is_whole else None)
        if not state.is_whole:
            self._flow.send_step(batch_id, SPLIT)

    def _cut_slice(self, manifest: BatchManifest) -> CutState:
        """Write the chunks of one slice; how far the file is cut then."""
        state = self._files.cut(manifest.id)
        if state.is_whole:
            return state
        is_text = manifest.dialect.kind is FileKind.CSV
        with self._files.blobs.read(manifest.id, SOURCE if is_text else TABLE) as source:
            cutter = Cutter(source, manifest.dialect, Position(state.offset, state.line))
            state = self._cut_chunks(manifest.id, cutter, state)
        self._files.write_cut(manifest.id, state)
        return state

    def _cut_chunks(self, batch_id: BatchId, cutter: Cutter, state: CutState) -> CutState:
        rows, chunks, is_whole = state.rows, state.chunks, False
        places: dict[str, list[bytes]] = {}
        while chunks < state.chunks + self._slice_chunks and not is_whole:
            chunk = cutter.cut(first_row=rows + 1, max_rows=self._chunk_rows)
            if chunk is None:
                is_whole = True
            else:
                packed = {chunk_name(chunks): [chunk.pack()]}
                if isinstance(chunk, PlainPlace):
                    places |= packed
                else:  # too large to be kept until the end of the slice
                    self._files.blobs.write_all(batch_id, packed)
                rows, chunks = rows + len(chunk), chunks + 1
        self._files.blobs.write_all(batch_id, places)
        return CutState(*cutter.position, rows, chunks, is_whole)


def _end_of(manifest: BatchManifest, error: UnreadableUpload) -> str:
    """The code of what ends a batch whose file cannot be read (on)."""
    if manifest.dialect.kind is FileKind.CSV or manifest.dialect.is_opened:
        return error.problems[0].code
    return UNREADABLE_TABLE
