"""A file of this machine as a table, read as an uploaded file is."""

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shared.domain.batch import BatchOptions
from shared.domain.table import Dialect, FileKind
from shared.tabular.csv_reader import START
from shared.tabular.dialect import HEAD_BYTES
from shared.tabular.files.file_kinds import check_readable
from shared.tabular.files.upload import Upload
from shared.tabular.rows.chunk import CellChunk, cut
from shared.tabular.rows.inner_headers import InnerHeaders, InnerState
from shared.tabular.rows.text import open_rows
from shared.tabular.tables.dialect import table_dialect
from shared.tabular.tables.process import TableReadRequest, read_table

MAX_BYTES = 4_000_000_000
"""Largest file, compressed or not."""
_BLOCK_BYTES = 1 << 20
_CHUNK_ROWS = 20_000
_UTF_8, _CP_1252 = "utf-8", "cp1252"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LocalTable:
    """The table of a file.

    Args:
        dialect: of the file.
        digest: SHA-256 of its content, decompressed.
        encoding: name of the detected encoding, or the kind of a file that is no text.
        chunks: its rows, at least one of them.
    """

    dialect: Dialect
    digest: str
    encoding: str
    chunks: tuple[CellChunk, ...]


def read_local_table(path: Path, options: BatchOptions | None = None) -> LocalTable:
    """Read a file: CSV of any dialect, workbook, Parquet, JSON; plain, gzip or zstd.

    Args:
        path: of the file.
        options: how it is to be read, as those of a batch.

    Raises:
        OSError: it cannot be read.
        UnreadableUpload, UnsupportedUpload, UploadTooLarge, DecompressionBomb: it is no table.
    """
    options = options or BatchOptions()
    with tempfile.TemporaryFile() as source, contextlib.ExitStack() as stack:
        upload = Upload(source, options, MAX_BYTES)
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                upload.write(block)
        dialect = upload.close()
        source.flush()
        source.seek(0)
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        text: BinaryIO = source
        if dialect.kind is not FileKind.CSV:
            text = stack.enter_context(tempfile.TemporaryFile())
            dialect = _convert(source, text, dialect.kind, options)
        is_mixed = dialect.encoding in (_UTF_8, _CP_1252) and _is_mixed(source)
        if is_mixed:
            text = stack.enter_context(tempfile.TemporaryFile())
            dialect = _to_utf_8(source, text, dialect)
        text.seek(0)
        chunks = tuple(_chunks(text, dialect))
    encoding = dialect.encoding.removesuffix("-le").removesuffix("-be") or str(dialect.kind)
    return LocalTable(
        dialect=dialect,
        digest=digest,
        encoding=f"{_UTF_8} and {_CP_1252}, mixed" if is_mixed else encoding,
        chunks=chunks,
    )


def _convert(source: BinaryIO, table: BinaryIO, kind: FileKind, options: BatchOptions) -> Dialect:
    """Write a workbook, Parquet or JSON file as numbered CSV; return its dialect."""
    source.seek(0)
    check_readable(kind, source, MAX_BYTES)
    request = TableReadRequest(
        kind=kind,
        sheet=options.sheet,
        headers=options.given_headers,
        max_bytes=MAX_BYTES,
        header_row=options.header_row,
    )
    source.seek(0)
    found = read_table(source, table, request, Path(tempfile.gettempdir()), lambda: True)
    table.flush()
    table.seek(0)
    return table_dialect(table.read(HEAD_BYTES), found, options, kind)


def _is_mixed(source: BinaryIO) -> bool:
    """Whether some lines of a text are UTF-8, and others are not."""
    source.seek(0)
    found = set()
    for line in source:
        if not line.isascii():
            try:
                line.decode(_UTF_8)
                found.add(_UTF_8)
            except UnicodeDecodeError:
                found.add(_CP_1252)
        if len(found) > 1:
            return True
    return False


def _to_utf_8(source: BinaryIO, target: BinaryIO, dialect: Dialect) -> Dialect:
    """Write a text as UTF-8: each line that is not valid UTF-8 is cp1252.

    Files that were appended to each other may have different encodings.
    """
    source.seek(0)
    for line in source:
        try:
            line.decode(_UTF_8)
            target.write(line)
        except UnicodeDecodeError:
            target.write(line.decode(_CP_1252, "replace").encode(_UTF_8))
    return dataclasses.replace(dialect, encoding=_UTF_8)


def _chunks(text: BinaryIO, dialect: Dialect) -> Iterator[CellChunk]:
    """The rows of a text, below the header."""
    rows = iter(open_rows(text, dialect, START))
    inner = InnerHeaders(dialect, InnerState())
    first_row = 1
    while chunk := cut(rows, dialect, first_row=first_row, max_rows=_CHUNK_ROWS, inner=inner):
        yield chunk
        first_row += len(chunk)
