"""Reads the headers and rows of a listings file; detects compression, encoding and delimiter."""

import csv
import dataclasses
import gzip
import hashlib
import io
import zlib
from pathlib import Path

_DELIMITERS = ",;\t|"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class ListingsError(ValueError):
    """A file cannot be used as listings; the message is one line with the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RawTable:
    """A table of text cells.

    Args:
        name: of the file.
        digest: SHA-256 of the file's content, decompressed.
        encoding: name of the detected encoding.
        headers: as written in the file.
        rows: each as long as the headers.
        numbers: row numbers as a spreadsheet shows them; the headers are row 1.
    """

    name: str
    digest: str
    encoding: str
    headers: list[str]
    rows: list[list[str]]
    numbers: list[int]


def read_table(path: Path) -> RawTable:
    """Read a CSV file, plain or gzipped; detects its delimiter and encoding.

    Raises:
        ListingsError: the file is missing, is not text, or holds no rows.
    """
    raw = _read_bytes(path)
    text, encoding = _decode(raw)
    delimiter = max(_DELIMITERS, key=text.split("\n", maxsplit=1)[0].count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ListingsError(f"{path.name}: not a CSV table ({error})") from None
    numbered = [
        (number, row) for number, row in enumerate(table[1:], start=2) if any(map(str.strip, row))
    ]
    if not numbered:
        raise ListingsError(f"{path.name}: the table has no rows")
    width = len(table[0])
    return RawTable(
        name=path.name,
        digest=hashlib.sha256(raw).hexdigest(),
        encoding=encoding,
        headers=table[0],
        rows=[(row + [""] * width)[:width] for _, row in numbered],
        numbers=[number for number, _ in numbered],
    )


def _read_bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ListingsError(f"{path}: {error.strerror or error}") from None
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            raise ListingsError(f"{path.name}: damaged gzip file") from None
    if not raw.strip():
        raise ListingsError(f"{path.name}: the file is empty")
    if b"\0" in raw[:4096] and raw[:2] not in _UTF_16_MARKS:
        raise ListingsError(f"{path.name}: not a text file; expected CSV")
    return raw


def _decode(raw: bytes) -> tuple[str, str]:
    """The text and the name of its encoding.

    UTF-8 with or without byte order mark, UTF-16 with one, or cp1252. Concatenated exports may mix
    UTF-8 and cp1252: each line of a file that is not valid UTF-8 is decoded separately.
    """
    if raw[:2] in _UTF_16_MARKS:
        return raw.decode("utf-16", errors="replace"), "utf-16"
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        lines = [_decode_line(line) for line in raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    text = "\n".join(line for line, _ in lines)
    is_mixed = any(is_utf_8 and not line.isascii() for line, is_utf_8 in lines)
    return text, "utf-8 and cp1252, mixed" if is_mixed else "cp1252"


def _decode_line(line: bytes) -> tuple[str, bool]:
    try:
        return line.decode("utf-8"), True
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace"), False
