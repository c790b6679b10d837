"""Decompresses an upload as it arrives, in pieces of bounded size."""

import zlib
from collections.abc import Iterator
from typing import TypeAlias

import zstandard

from shared.domain.errors import FieldProblem, UnreadableUpload

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes([low_byte]) + b"\x2a\x4d\x18" for low_byte in range(0x50, 0x60))
MAGIC_BYTES = 4

MAX_INFLATE_BYTES = 1 << 20
"""Most bytes that one call of gzip's decompressor returns."""

ZSTD_FEED_BYTES = 256
"""zstd's decompressor returns all of its input's content, and four bytes can hold 128 KB: with
this much input at a time it returns at most 8 MB."""

ZSTD_WINDOW_MAX_BYTES = 8 << 20
"""The limit of RFC 9659; a larger window would take that much memory per upload."""


def compression_of(first: bytes) -> str:
    """`gzip`, `zstd` or `identity`, by the first `MAGIC_BYTES` bytes of a file."""
    if first.startswith(GZIP_MAGIC):
        return "gzip"
    return "zstd" if first.startswith((ZSTD_MAGIC, *_ZSTD_SKIPPABLE)) else "identity"


class GzipStreamDecompressor:
    """Decompresses gzip data, several members in a row included."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next bytes in pieces; raises `UnreadableUpload` if they are invalid."""
        while data:
            if self._member.eof:
                data = data.lstrip(b"\0")  # padding after a member is allowed
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=31)
            try:
                piece = self._member.decompress(data, MAX_INFLATE_BYTES)
            except zlib.error:
                raise refused_upload("wrong-gzip") from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if piece:
                yield piece

    def close(self) -> None:
        """Raise `UnreadableUpload` unless the data are complete."""
        if not self._member.eof:
            raise refused_upload("truncated-gzip")


class ZstdStreamDecompressor:
    """Decompresses zstd data, several frames in a row included."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX_BYTES)
        self._frame = self._context.decompressobj()
        self._is_open = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next bytes in pieces; raises `UnreadableUpload` if they are invalid."""
        for start in range(0, len(data), ZSTD_FEED_BYTES):
            yield from self._feed(data[start : start + ZSTD_FEED_BYTES])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._is_open:
                self._frame, self._is_open = self._context.decompressobj(), True
            try:
                piece = self._frame.decompress(data)
            except zstandard.ZstdError as error:
                too_wide = "too much memory" in str(error)
                code = "zstd-window" if too_wide else "wrong-zstd"
                raise refused_upload(code, maximum=ZSTD_WINDOW_MAX_BYTES >> 20) from None
            data = self._frame.unused_data if self._frame.eof else b""
            self._is_open = not self._frame.eof
            if piece:
                yield piece

    def close(self) -> None:
        """Raise `UnreadableUpload` unless the data are complete."""
        if self._is_open:
            raise refused_upload("truncated-zstd")


Decompressor: TypeAlias = GzipStreamDecompressor | ZstdStreamDecompressor


def decompressor_of(first: bytes) -> Decompressor | None:
    """The decompressor for a file by its first bytes; None if it is not compressed."""
    compression = compression_of(first)
    if compression == "gzip":
        return GzipStreamDecompressor()
    return ZstdStreamDecompressor() if compression == "zstd" else None


def refused_upload(code: str, **params: object) -> UnreadableUpload:
    """The error of an upload that cannot be read; `code` names the message."""
    return UnreadableUpload([FieldProblem("/file", code, **params)])
