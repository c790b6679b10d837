"""The blobs of a batch: their names and the small records among them.

manifest.json     the accepted batch
source            the uploaded file, decompressed
table             rows of a workbook or Parquet file as text
table.json        columns of a workbook or Parquet file, or why it is refused
split.json        how far the file is cut into chunks
chunks/000000     rows of a chunk, or their byte span in the source
parts/000000      results, errors and rejected rows of a chunk: one file, so that a chunk is done
                  when it exists, and the three sections cannot disagree
audit/000000      audit records of the same rows, durable before the part is
final.json        how the batch ended
results.csv, errors.ndjson, rejected.csv
lines             where each row of the results stands in the file
results.parquet, …  exports of these, made on request
results.01m8….csv, …  the same after the correction 01m8…
correction.json   the correction of this batch that was accepted last
corrected         rows of a correction as text, as the batch that it corrects has them
corrected.json    dialect of that text
tombstone.json    owner of an expired or deleted batch, whose other blobs are deleted
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import orjson

from shared.blobs.row_lines import LineRun, read_runs
from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchManifest, BatchProgress, ResultTable
from shared.domain.errors import FieldProblem, record_errors
from shared.domain.files.exports import STORED, Export
from shared.domain.ids import BatchId, CallerId
from shared.domain.table import Dialect, FileKind, known_members

MANIFEST = "manifest.json"
SOURCE = "source"
TABLE = "table"
TABLE_RECORD = "table.json"
CORRECTED = "corrected"
CORRECTED_RECORD = "corrected.json"
LAST_CORRECTION = "correction.json"
SPLIT = "split.json"
CHUNKS = "chunks"
PARTS = "parts"
AUDIT = "audit"
FINAL = "final.json"
RESULTS = "results.csv"
ERRORS = "errors.ndjson"
REJECTED = "rejected.csv"
LINES = "lines"
RESULT_PREFIXES = ("results.", "rejected.", "errors.")
"""Beginnings of the names of result files and their exports."""
TOMBSTONE = "tombstone.json"


class SplitState(NamedTuple):
    """How far the source is cut into chunks."""

    offset: int
    """Bytes cut so far."""
    line: int
    """Lines cut so far."""
    rows: int
    chunks: int
    is_whole: bool
    units: Mapping[str, str] = {}
    """See `shared.tabular.rows.inner_headers.InnerState`, as the next one."""
    has_other_columns: bool = False


class Tombstone(NamedTuple):
    """What is kept of a batch whose files are deleted."""

    caller: CallerId
    at: float
    """When they were deleted (Unix time)."""
    is_deleted: bool = False
    """By its caller; otherwise because its retention time was over."""


def table_name(table: ResultTable, export: Export = STORED, revision: str = "") -> str:
    """Blob of a result table.

    Args:
        table: which one.
        export: its form.
        revision: `BatchProgress.revision`.

    >>> table_name(ResultTable.RESULTS, Export(delimiter=";"))
    'results.semicolon.csv'
    >>> table_name(ResultTable.REJECTED, revision="01m8")
    'rejected.01m8.csv'
    """
    return f"{table}{_revision_mark(revision)}.{export.suffix}"


def errors_name(revision: str = "") -> str:
    """Blob of the error report.

    >>> errors_name(), errors_name("01m8")
    ('errors.ndjson', 'errors.01m8.ndjson')
    """
    return f"errors{_revision_mark(revision)}.ndjson"


def _revision_mark(revision: str) -> str:
    return f".{revision}" if revision else ""


chunk_name = (CHUNKS + "/{:06d}").format
"""Blob of a chunk's rows."""
part_name = (PARTS + "/{:06d}").format
"""Blob of a chunk's results."""
audit_name = (AUDIT + "/{:06d}").format
"""Blob of a chunk's audit records."""


def chunk_of(name: str) -> int:
    """The chunk whose blob has this name."""
    return int(name.rpartition("/")[2])


class BatchFiles:
    """Reads and writes the small records of batches."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs

    def write_manifest(self, manifest: BatchManifest) -> None:
        """Make an accepted batch durable."""
        # First the mark: whoever finds the batch must be able to find it again as unfinished.
        self.blobs.mark_open(manifest.id)
        self._write(manifest.id, MANIFEST, manifest.to_json())

    def manifest(self, batch_id: BatchId) -> BatchManifest | None:
        """The manifest; None for an unknown batch.

        That of a workbook or Parquet file has columns only after the file was opened.

        Raises:
            UnreadableRecord: a newer version wrote it.
        """
        members = self._read(batch_id, MANIFEST)
        if members is None:
            return None
        with record_errors():
            manifest = BatchManifest.from_json(members)
        table: dict[str, Any] = {}
        if manifest.corrects is not None:
            table = self._read(batch_id, CORRECTED_RECORD) or {}
        if not table and manifest.dialect.kind is not FileKind.CSV:
            table = self._read(batch_id, TABLE_RECORD) or {}
        if "dialect" not in table:
            return manifest
        with record_errors():
            return dataclasses.replace(manifest, dialect=Dialect.from_json(table["dialect"]))

    def existing_manifest(self, batch_id: BatchId) -> BatchManifest:
        """The manifest; raises `FileNotFoundError` for an unknown batch."""
        manifest = self.manifest(batch_id)
        if manifest is None:
            raise FileNotFoundError(f"manifest of {batch_id}")
        return manifest

    def write_table(self, batch_id: BatchId, dialect: Dialect) -> None:
        """Record the columns of a workbook or Parquet file."""
        self._write(batch_id, TABLE_RECORD, {"dialect": dialect.to_json()})

    def write_corrected(self, batch_id: BatchId, dialect: Dialect) -> None:
        """Record the form of the corrected rows, whose text is stored."""
        self._write(batch_id, CORRECTED_RECORD, {"dialect": dialect.to_json()})

    def open_text(self, manifest: BatchManifest) -> BinaryIO:
        """The text that is cut into chunks: the file, or the table that was made of it."""
        if manifest.dialect.is_corrected:
            return self.blobs.read(manifest.id, CORRECTED)
        is_text = manifest.dialect.kind is FileKind.CSV
        return self.blobs.read(manifest.id, SOURCE if is_text else TABLE)

    def write_refusal(self, batch_id: BatchId, problems: Sequence[FieldProblem]) -> None:
        """Record why a workbook, a Parquet file or a correction cannot be read."""
        places = [[each.pointer, each.code, each.params] for each in problems]
        self._write(batch_id, TABLE_RECORD, {"problems": places})

    def refusal(self, manifest: BatchManifest) -> tuple[FieldProblem, ...]:
        """Why the file of a batch cannot be read; empty if it can, or if it is not opened yet."""
        dialect = manifest.dialect
        is_read = dialect.kind is FileKind.CSV or dialect.is_opened
        if dialect.is_corrected or (is_read and manifest.corrects is None):
            return ()
        table = self._read(manifest.id, TABLE_RECORD) or {}
        return tuple(
            FieldProblem(pointer, code, **params)
            for pointer, code, params, *_ in table.get("problems", ())
        )

    def write_final(self, batch_id: BatchId, progress: BatchProgress) -> None:
        """Make the end of a batch durable."""
        self._write(batch_id, FINAL, progress.to_json())

    def final(self, batch_id: BatchId) -> BatchProgress | None:
        """How the batch ended; None if it has not."""
        members = self._read(batch_id, FINAL)
        with record_errors():
            return BatchProgress.from_json(members) if members else None

    def line_runs(self, batch_id: BatchId) -> list[LineRun]:
        """Lines of the rows of an ended batch; empty if an older version ended it."""
        try:
            return read_runs(self.blobs.load(batch_id, LINES))
        except FileNotFoundError:
            return []

    def write_last_correction(self, batch_id: BatchId, correction: BatchId) -> None:
        """Record the correction of a batch that was accepted last."""
        self._write(batch_id, LAST_CORRECTION, {"id": correction})

    def has_pending_correction(self, batch_id: BatchId) -> bool:
        """Whether a correction of a batch was accepted and has not ended."""
        members = self._read(batch_id, LAST_CORRECTION)
        if members is None:
            return False
        correction = BatchId(members["id"])
        is_known = self._read(correction, MANIFEST) is not None
        return is_known and self.final(correction) is None

    def write_split_state(self, batch_id: BatchId, state: SplitState) -> None:
        """Record how far the file is cut."""
        self._write(batch_id, SPLIT, state._asdict())

    def split_state(self, batch_id: BatchId) -> SplitState:
        """How far the file is cut."""
        members = self._read(batch_id, SPLIT)
        if not members:
            return SplitState(0, 0, 0, 0, is_whole=False)
        with record_errors():
            return SplitState(**known_members(SplitState, members))

    def reap(
        self, batch_id: BatchId, caller: CallerId, at: float, *, is_deleted: bool = False
    ) -> None:
        """Delete the files of a batch; only a tombstone stays.

        Args:
            batch_id: a batch that has ended.
            caller: its owner.
            at: Unix time.
            is_deleted: whether its caller asks for it, or its retention time is over.
        """
        members = {"caller": caller, "at": at, "deleted": is_deleted}
        self._write(batch_id, TOMBSTONE, members)
        # First the manifest, so that nobody finds the batch without its results.
        self.blobs.remove(batch_id, [MANIFEST])
        self.discard_remains(batch_id)

    def discard_remains(self, batch_id: BatchId) -> None:
        """Delete what a slow writer has added to a batch after its deletion."""
        self.blobs.discard(batch_id, keep=[TOMBSTONE])

    def tombstone(self, batch_id: BatchId) -> Tombstone | None:
        """What is kept of an expired or deleted batch."""
        members = self._read(batch_id, TOMBSTONE)
        if not members:
            return None
        is_deleted = members.get("deleted", False)
        return Tombstone(CallerId(members["caller"]), members["at"], is_deleted)

    def discard(self, batch_id: BatchId) -> None:
        """Delete a batch, the manifest first: an incomplete batch must not count as accepted."""
        self.blobs.remove(batch_id, [MANIFEST])
        self.blobs.discard(batch_id)
        self.blobs.mark_ended(batch_id)

    def delete_intermediates(self, batch_id: BatchId) -> None:
        """Delete what an ended batch does not need: source, chunks, parts, audit records."""
        names = [
            name for folder in (CHUNKS, PARTS, AUDIT) for name in self.blobs.names(batch_id, folder)
        ]
        self.blobs.remove(batch_id, [*names, SOURCE, TABLE, CORRECTED, SPLIT])

    def has_intermediates(self, batch_id: BatchId) -> bool:
        """Whether the chunks of an ended batch are kept, so that it can be run again."""
        return self.blobs.size(batch_id, SPLIT) is not None

    def reopen(self, batch_id: BatchId) -> None:
        """Make an ended batch an unfinished one."""
        self.blobs.mark_open(batch_id)
        self.blobs.remove(batch_id, [FINAL])

    def _write(self, batch_id: BatchId, name: str, members: dict[str, Any]) -> None:
        with self.blobs.write(batch_id, name) as blob:
            blob.write(orjson.dumps(members))

    def _read(self, batch_id: BatchId, name: str) -> dict[str, Any] | None:
        try:
            with record_errors():
                members: dict[str, Any] = orjson.loads(self.blobs.load(batch_id, name))
        except FileNotFoundError:
            return None
        return members
