"""Detects the kind of an uploaded file, and refuses files that no worker can read.

Standard library only: the API process inspects files but parses only text.
"""

import os
import struct
import zipfile
from typing import BinaryIO

from shared.domain.errors import (
    DecompressionBomb,
    UnreadableUpload,
    UnsupportedUpload,
    UploadTooLarge,
)
from shared.domain.table import FileKind

MAX_COMPRESSION_RATIO = 200
RATIO_CHECK_MIN_BYTES = 64_000_000
"""Up to this size any compression ratio is accepted; a table of cars stays below the maximum."""

ZIP_ENTRIES_MAX = 2_000
PARQUET_FOOTER_MAX_BYTES = 32_000_000
EXPECTED = "CSV, Excel (.xlsx), Parquet"

_XLSX, _PARQUET, _OLE = b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"
_FOREIGN = {
    b"PK\x05\x06": "ZIP",
    b"PARE": "Parquet (encrypted)",
    b"%PDF": "PDF",
    b"BZh": "bzip2",
    b"\xfd7zX": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"\x89PNG": "PNG",
    b"SQLi": "SQLite",
}
_WORKBOOK = "xl/workbook.xml"
_ZIP_KINDS = {
    "xl/workbook.bin": "Excel (.xlsb)",
    "word/document.xml": "Word",
    "ppt/presentation.xml": "PowerPoint",
    "content.xml": "OpenDocument",
}
_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22
_COMMENT_MAX_BYTES = 65_535
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_OLE_HEAD_BYTES = 1 << 20


def detect_kind(first: bytes) -> FileKind:
    """The kind of a file with these first bytes.

    Raises:
        UnsupportedUpload: it is of an unsupported kind.
    """
    if first.startswith((_XLSX, _OLE)):
        return FileKind.XLSX  # `check_readable` refuses old and encrypted workbooks
    if first.startswith(_PARQUET):
        return FileKind.PARQUET
    for magic, name in _FOREIGN.items():
        if first.startswith(magic):
            raise UnsupportedUpload(given=name, expected=EXPECTED)
    return FileKind.CSV


def check_readable(kind: FileKind, stream: BinaryIO, max_bytes: int) -> None:
    """Refuse a file that no worker can read.

    Args:
        kind: from `detect_kind`.
        stream: the whole file, seekable.
        max_bytes: maximum size of an unzipped workbook.

    Raises:
        UnsupportedUpload: it is of another kind, or encrypted.
        UnreadableUpload: it is truncated or damaged.
        UploadTooLarge, DecompressionBomb: it is too large when unzipped.
    """
    if kind is FileKind.XLSX:
        _inspect_workbook(stream, max_bytes)
    elif kind is FileKind.PARQUET:
        _inspect_parquet(stream)


def _inspect_workbook(stream: BinaryIO, max_bytes: int) -> None:
    head = stream.read(_OLE_HEAD_BYTES)
    if head.startswith(_OLE):
        is_locked = _ENCRYPTED_STREAM in head
        given = "Excel (password)" if is_locked else "Excel 97-2003 (.xls)"
        raise UnsupportedUpload(given=given, expected=EXPECTED)
    entries = _zip_entries(stream)
    names = {entry.filename for entry in entries}
    if _WORKBOOK not in names:
        found = (name for entry, name in _ZIP_KINDS.items() if entry in names)
        raise UnsupportedUpload(given=next(found, "ZIP"), expected=EXPECTED)
    unzipped = sum(entry.file_size for entry in entries)
    zipped = stream.seek(0, os.SEEK_END)
    if unzipped > max_bytes:
        raise UploadTooLarge(maximum=max_bytes)
    if unzipped > RATIO_CHECK_MIN_BYTES and unzipped > MAX_COMPRESSION_RATIO * zipped:
        raise DecompressionBomb(ratio=MAX_COMPRESSION_RATIO)


def _zip_entries(stream: BinaryIO) -> list[zipfile.ZipInfo]:
    """The directory of a ZIP file; a directory that is too long is refused unread."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _ZIP_END_SIZE - _COMMENT_MAX_BYTES))
    tail = stream.read()
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) - end < _ZIP_END_SIZE:
        raise UnreadableUpload.of("truncated-workbook")
    (count,) = struct.unpack_from("<H", tail, end + 10)
    (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
    if count > ZIP_ENTRIES_MAX or directory_bytes > ZIP_ENTRIES_MAX * 1024:
        raise UnreadableUpload.of("wrong-workbook")
    try:
        with zipfile.ZipFile(stream) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeError):
        raise UnreadableUpload.of("wrong-workbook") from None


def _inspect_parquet(stream: BinaryIO) -> None:
    size = stream.seek(0, os.SEEK_END)
    if size < len(_PARQUET) * 2 + 4:
        raise UnreadableUpload.of("truncated-parquet")
    stream.seek(size - 8)
    footer_bytes, magic = struct.unpack("<I4s", stream.read(8))
    if magic != _PARQUET:
        raise UnreadableUpload.of("truncated-parquet")
    if footer_bytes > min(size - 12, PARQUET_FOOTER_MAX_BYTES):
        raise UnreadableUpload.of("wrong-parquet")
