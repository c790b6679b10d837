"""What lies in the blobs of a batch, under which name, in which form.

manifest.json     what was accepted
source            the file, decompressed
table             its rows as text, if it is none itself: a workbook or Parquet file
table.json        what they say of its columns, or why it is refused
split.json        how far it is cut into chunks
chunks/000000     rows of a chunk, before; of plain ones, where they lie in the source
parts/000000      results, errors and rejected rows of a chunk, after: one file, so that a
                  chunk is done when it is there, and its three lists cannot disagree
audit/000000      audit records of the same rows, there before the part is
final.json        how the batch ended
results.csv, errors.ndjson, rejected.csv
results.parquet, …  other forms of these, once somebody has asked for them
tombstone.json    who it belonged to; all else is gone
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from shared.blobs.stores import BlobStore
from shared.domain.batch import BatchManifest, BatchProgress, ExportFormat, ResultTable
from shared.domain.errors import FieldProblem
from shared.domain.ids import BatchId, CallerId
from shared.domain.table import Dialect, FileKind

MANIFEST = "manifest.json"
SOURCE = "source"
TABLE = "table"
TABLE_RECORD = "table.json"
SPLIT = "split.json"
CHUNKS = "chunks"
PARTS = "parts"
AUDIT = "audit"
FINAL = "final.json"
RESULTS = "results.csv"
ERRORS = "errors.ndjson"
REJECTED = "rejected.csv"
TOMBSTONE = "tombstone.json"


class SplitState(NamedTuple):
    """How far a file is cut into chunks."""

    offset: int
    """Bytes that are cut."""
    line: int
    """Lines that are cut."""
    rows: int
    chunks: int
    is_whole: bool


def table_name(table: ResultTable, form: ExportFormat) -> str:
    """Blob of a result table in one form.

    >>> table_name(ResultTable.RESULTS, ExportFormat.EXCEL_FR)
    'results.excel-fr.csv'
    """
    suffix = "excel-fr.csv" if form is ExportFormat.EXCEL_FR else str(form)
    return f"{table}.{suffix}"


def chunk_name(chunk: int) -> str:
    """Blob of a chunk's rows."""
    return f"{CHUNKS}/{chunk:06d}"


def part_name(chunk: int) -> str:
    """Blob of a chunk's results."""
    return f"{PARTS}/{chunk:06d}"


def audit_name(chunk: int) -> str:
    """Blob of a chunk's audit records."""
    return f"{AUDIT}/{chunk:06d}"


def chunk_of(name: str) -> int:
    """The chunk whose blob has this name."""
    return int(name.rpartition("/")[2])


class BatchFiles:
    """Reads and writes the small records among a batch's blobs.

    Args:
        blobs: where they lie.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs

    def write_manifest(self, manifest: BatchManifest) -> None:
        """Make an accepted batch durable."""
        self._write(manifest.id, MANIFEST, manifest.to_json())

    def manifest(self, batch_id: BatchId) -> BatchManifest | None:
        """What was accepted; None if nothing is here under this id.

        That of a workbook or Parquet file has its columns once the file was opened.
        """
        members = self._read(batch_id, MANIFEST)
        if members is None:
            return None
        manifest = BatchManifest.from_json(members)
        if manifest.dialect.kind is FileKind.CSV:
            return manifest
        table = self._read(batch_id, TABLE_RECORD) or {}
        if "dialect" not in table:
            return manifest
        return dataclasses.replace(manifest, dialect=Dialect.from_json(table["dialect"]))

    def write_table(self, batch_id: BatchId, dialect: Dialect) -> None:
        """Note what the rows of a workbook or Parquet file say of its columns."""
        self._write(batch_id, TABLE_RECORD, {"dialect": dialect.to_json()})

    def write_refusal(self, batch_id: BatchId, problems: Sequence[FieldProblem]) -> None:
        """Note why a workbook or Parquet file cannot be read."""
        places = [[each.pointer, each.code, each.params] for each in problems]
        self._write(batch_id, TABLE_RECORD, {"problems": places})

    def refusal(self, manifest: BatchManifest) -> tuple[FieldProblem, ...]:
        """Why the file of a batch cannot be read; empty if it can, or nobody knows yet."""
        if manifest.dialect.kind is FileKind.CSV or manifest.dialect.is_opened:
            return ()
        table = self._read(manifest.id, TABLE_RECORD) or {}
        return tuple(
            FieldProblem(pointer, code, **params)
            for pointer, code, params in table.get("problems", ())
        )

    def write_final(self, batch_id: BatchId, progress: BatchProgress) -> None:
        """Make the end of a batch durable."""
        self._write(batch_id, FINAL, progress.to_json())

    def final(self, batch_id: BatchId) -> BatchProgress | None:
        """How the batch ended; None if it has not."""
        members = self._read(batch_id, FINAL)
        return BatchProgress.from_json(members) if members else None

    def write_split_state(self, batch_id: BatchId, state: SplitState) -> None:
        """Note how far the file is cut."""
        self._write(batch_id, SPLIT, state._asdict())

    def split_state(self, batch_id: BatchId) -> SplitState:
        """How far the file is cut."""
        members = self._read(batch_id, SPLIT)
        return SplitState(**members) if members else SplitState(0, 0, 0, 0, is_whole=False)

    def reap(self, batch_id: BatchId, caller: CallerId, at: float) -> None:
        """Delete all of a batch but the memory that it was there."""
        self._write(batch_id, TOMBSTONE, {"caller": caller, "at": at})
        self.blobs.discard(batch_id, keep=[TOMBSTONE])

    def tombstone(self, batch_id: BatchId) -> tuple[CallerId, float] | None:
        """Who an expired batch belonged to, and when it expired."""
        members = self._read(batch_id, TOMBSTONE)
        return (CallerId(members["caller"]), members["at"]) if members else None

    def discard(self, batch_id: BatchId) -> None:
        """Delete all of a batch, the manifest first: half of it must not count as accepted."""
        self.blobs.remove(batch_id, [MANIFEST])
        self.blobs.discard(batch_id)

    def delete_intermediates(self, batch_id: BatchId) -> None:
        """Delete what a batch that has ended needs no more: source, chunks, parts, records."""
        names = [
            name for folder in (CHUNKS, PARTS, AUDIT) for name in self.blobs.names(batch_id, folder)
        ]
        self.blobs.remove(batch_id, [*names, SOURCE, TABLE, SPLIT])

    def _write(self, batch_id: BatchId, name: str, members: dict[str, Any]) -> None:
        with self.blobs.write(batch_id, name) as blob:
            blob.write(orjson.dumps(members))

    def _read(self, batch_id: BatchId, name: str) -> dict[str, Any] | None:
        try:
            with self.blobs.read(batch_id, name) as blob:
                members: dict[str, Any] = orjson.loads(blob.read())
        except FileNotFoundError:
            return None
        return members
