"""Detects the kind of an uploaded file, and refuses files that no worker can read.

Standard library only: the API process inspects files but parses only text.
"""

import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

from shared.domain.errors import (
    DecompressionBomb,
    UnreadableUpload,
    UnsupportedUpload,
    UploadTooLarge,
)
from shared.domain.table import FileKind
from shared.tabular.files.text_kinds import foreign_text_kind, is_json

KIND_HEAD_BYTES = 8_192
"""Bytes by which the kind of a file is recognised: blank lines may precede an HTML page."""

MAX_COMPRESSION_RATIO = 200
RATIO_CHECK_MIN_BYTES = 64_000_000
"""Up to this size any compression ratio is accepted; a table of cars stays below the maximum."""

ZIP_ENTRIES_MAX = 2_000
PARQUET_FOOTER_MAX_BYTES = 32_000_000
EXPECTED = "CSV, Excel (.xlsx), Parquet, JSON"

_XLSX, _PARQUET, _OLE = b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0"
_FOREIGN = {
    b"PK\x05\x06": "ZIP",
    b"PARE": "Parquet (encrypted)",
    b"\x1f\x8b": "gzip (compressed twice)",
    b"\x28\xb5\x2f\xfd": "zstd (compressed twice)",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"BZh": "bzip2",
    b"\xfd7zX": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"SQLite format 3\0": "SQLite",
    b"\x00\x01\x00\x00Standard ": "Access",
    b"bplist0": "property list",
    b"ARROW1": "Arrow",
    b"FEA1": "Feather",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"\x89HDF": "HDF5",
    b"\x09\x08\x10\x00": "Excel 5 (.xls)",
    b"\x09\x08\x08\x00": "Excel 5 (.xls)",
    b"\x09\x04\x06\x00": "Excel 4 (.xls)",
    b"\x09\x02\x06\x00": "Excel 3 (.xls)",
    b"\x09\x00\x04\x00": "Excel 2 (.xls)",
}
_TAR, _TAR_OFFSET = b"ustar", 257
_WORKBOOK = "xl/workbook.xml"
_CONTENT_TYPES = "[content_types].xml"
_WORKBOOK_TYPE = re.compile(rb"(?:spreadsheetml|ms-excel)\.[\w.]*main\+xml")
"""What a package says of its workbook, whatever name that has."""
_CONTENT_TYPES_MAX_BYTES = 1_000_000
_ZIP_KINDS = {
    "xl/workbook.bin": "Excel (.xlsb)",
    "word/document.xml": "Word",
    "ppt/presentation.xml": "PowerPoint",
    "mimetype": "OpenDocument",
    "content.xml": "OpenDocument",
    "index/document.iwa": "Apple iWork (.numbers)",
    "index.zip": "Apple iWork (.numbers)",
}
_OPEN_DOCUMENTS = {
    b"application/vnd.oasis.opendocument.spreadsheet": "OpenDocument (.ods)",
    b"application/vnd.oasis.opendocument.text": "OpenDocument (.odt)",
}
ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError,
)  # fmt: skip
"""What reading a ZIP file raises if it is damaged, locked, or compressed in an unknown way."""

_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22
_COMMENT_MAX_BYTES = 65_535
_OLE_STREAMS = {
    "EncryptedPackage": "Excel (password)",
    "Workbook": "Excel 97-2003 (.xls)",
    "Book": "Excel 5 (.xls)",
    "WordDocument": "Word (.doc)",
    "PowerPoint Document": "PowerPoint (.ppt)",
    "__properties_version1.0": "Outlook (.msg)",
}
"""Names of streams that tell what an OLE file is; they are written in UTF-16."""
_OLE_HEAD_BYTES = 1 << 20


def detect_kind(first: bytes) -> FileKind:
    """The kind of a file with these first bytes, `KIND_HEAD_BYTES` if it has so many.

    The content decides, whatever the file is called.

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
    if first.startswith(_TAR, _TAR_OFFSET):
        raise UnsupportedUpload(given="tar", expected=EXPECTED)
    foreign = foreign_text_kind(first)
    if foreign is not None:
        raise UnsupportedUpload(given=foreign, expected=EXPECTED)
    return FileKind.JSON if is_json(first) else FileKind.CSV


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
        raise UnsupportedUpload(given=_ole_kind(head), expected=EXPECTED)
    with _zip_archive(stream) as archive:
        entries = archive.infolist()
        # Excel ignores case, and takes either slash.
        names = {entry.filename.replace("\\", "/").lstrip("/").lower(): entry for entry in entries}
        found = next((kind for part, kind in _ZIP_KINDS.items() if part in names), "ZIP")
        if _WORKBOOK not in names and (found != "ZIP" or not _has_workbook(archive, names)):
            if found == "OpenDocument":
                found = _open_document_kind(archive, names)
            raise UnsupportedUpload(given=found, expected=EXPECTED)
    unzipped = sum(entry.file_size for entry in entries)
    zipped = stream.seek(0, os.SEEK_END)
    if unzipped > max_bytes:
        raise UploadTooLarge(maximum=max_bytes)
    if unzipped > RATIO_CHECK_MIN_BYTES and unzipped > MAX_COMPRESSION_RATIO * zipped:
        raise DecompressionBomb(ratio=MAX_COMPRESSION_RATIO)


def _ole_kind(head: bytes) -> str:
    """What an OLE file is, by the names of its streams."""
    for stream, kind in _OLE_STREAMS.items():
        # The name ends with a NUL, and "Book" must not be the end of "Workbook".
        if re.search(rb"(?<!\w\x00)" + re.escape((stream + "\0").encode("utf-16-le")), head):
            return kind
    return "Excel 97-2003 (.xls)"


def _open_document_kind(archive: zipfile.ZipFile, names: Mapping[str, zipfile.ZipInfo]) -> str:
    """What an OpenDocument file is, by its part `mimetype`."""
    try:
        with archive.open(names["mimetype"]) as part:
            found = part.read(100).strip()
    except (*ZIP_DAMAGE, KeyError):
        found = b""
    return _OPEN_DOCUMENTS.get(found, "OpenDocument")


def _has_workbook(archive: zipfile.ZipFile, names: Mapping[str, zipfile.ZipInfo]) -> bool:
    """Whether a package says that one of its parts is a workbook."""
    if _CONTENT_TYPES not in names:
        return False
    try:
        with archive.open(names[_CONTENT_TYPES]) as part:
            return _WORKBOOK_TYPE.search(part.read(_CONTENT_TYPES_MAX_BYTES)) is not None
    except ZIP_DAMAGE:
        return False


def _zip_archive(stream: BinaryIO) -> zipfile.ZipFile:
    """A ZIP file; a directory that is too long is refused unread."""
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
        return zipfile.ZipFile(stream)
    except ZIP_DAMAGE:
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
