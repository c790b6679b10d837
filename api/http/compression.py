"""Content codings (RFC 9110): which one a client accepts, and bodies compressed with it."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

import zstandard
from flask import request
from werkzeug.http import parse_accept_header

ACCEPT_ENCODING = "Accept-Encoding"
MIN_BYTES = 4096
"""Smaller bodies are not compressed: they fit into a few packets, and most answers are smaller."""

STREAM_BLOCK_BYTES = 65_536
"""Compressed bytes that are sent at a time: each send passes from a thread to the event loop."""

COMPRESSIBLE_TYPES = frozenset({
    "application/javascript", "application/json", "application/problem+json",
    "application/x-ndjson", "image/svg+xml",
})  # fmt: skip
"""Media types besides `text/*`; workbooks, Parquet files and PNG images are compressed already."""
EVENT_STREAM = "text/event-stream"
"""Never compressed: an event must leave at once."""
READING_METHODS = frozenset({"GET", "HEAD"})


class Coding(StrEnum):
    """A content coding; of those that a client likes equally, the first one is used."""

    ZSTD = "zstd"
    GZIP = "gzip"
    IDENTITY = "identity"


AVAILABLE = ", ".join(Coding)
ALIASES = {"x-gzip": Coding.GZIP}
UNMENTIONED_IDENTITY_WEIGHT = 0.0005
"""Identity needs no mention to be acceptable, and is less wanted than what is mentioned: the
smallest weight of a header is 0.001."""


class Accepted(NamedTuple):
    """What an `Accept-Encoding` header accepts."""

    best: Coding | None
    """The coding to use; None if none is acceptable."""
    identity: bool
    """Whether a body that is not compressed is acceptable."""


@lru_cache(maxsize=256)
def accepted_codings(header: str | None) -> Accepted:
    """Read an `Accept-Encoding` header; None if the request has none.

    Without the header every coding is acceptable, and identity is used: such clients often cannot
    decode any other. Items that cannot be read are ignored.
    """
    if header is None:
        return Accepted(Coding.IDENTITY, identity=True)
    weights: dict[str, float] = {}
    for name, weight in parse_accept_header(header):
        weights.setdefault(ALIASES.get(name.lower(), name.lower()), weight)
    others = weights.get("*", 0.0)
    usable = {coding: weights.get(coding, others) for coding in Coding}
    if Coding.IDENTITY not in weights and "*" not in weights:
        usable[Coding.IDENTITY] = UNMENTIONED_IDENTITY_WEIGHT
    best = max(usable, key=lambda coding: usable[coding])
    return Accepted(best if usable[best] > 0 else None, identity=usable[Coding.IDENTITY] > 0)


def accepted_by_request() -> Accepted:
    """What the current request accepts."""
    return accepted_codings(request.environ.get("HTTP_ACCEPT_ENCODING"))


def is_compressible(media_type: str | None) -> bool:
    """Whether bodies of a media type (without parameters) may be compressed."""
    if media_type is None or media_type == EVENT_STREAM:
        return False
    return media_type.startswith("text/") or media_type in COMPRESSIBLE_TYPES


class Choice(NamedTuple):
    """The content coding of a response."""

    coding: Coding
    is_negotiated: bool
    """Whether it depends on `Accept-Encoding`: then the response has that in `Vary`."""


AS_IT_IS = Choice(Coding.IDENTITY, is_negotiated=False)


def choose_coding(
    accepted: Accepted, *, method: str, media_type: str | None, size: int | None, has_range: bool
) -> Choice:
    """Choose the coding of a response: a large one is compressed if its type is compressible.

    A client that refuses identity gets small responses and compressed formats compressed, too;
    event streams excepted.

    Args:
        accepted: by the request.
        method: of the request.
        media_type: of the response, without parameters; None if it has none.
        size: bytes of its body; None if it is not known.
        has_range: whether the request has a `Range`.
    """
    is_small = accepted.identity and size is not None and size < MIN_BYTES
    is_read = method in READING_METHODS
    if is_small and not is_read:  # first, because most responses are
        return AS_IT_IS
    if not is_compressible(media_type) and (accepted.identity or media_type == EVENT_STREAM):
        return AS_IT_IS
    coding = accepted.best or Coding.IDENTITY
    if is_small or size == 0 or (has_range and accepted.identity):
        coding = Coding.IDENTITY
    return Choice(coding, is_negotiated=is_read or coding is not Coding.IDENTITY)


class Compressor(Protocol):
    """A compressor of one body."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress the next part; may return nothing yet."""
        ...

    def flush(self) -> bytes:
        """End the body."""
        ...


class Effort(NamedTuple):
    """Compression levels."""

    zstd: int
    gzip: int


PER_RESPONSE = Effort(zstd=1, gzip=3)
"""Of results as CSV: 625 and 121 MB/s for a ratio of 4.2 and 3.9, with 0.6 and 0.3 MB of memory.
Higher levels of gzip take twice the time for 6 % less; those of zstd up to 4 compress less."""
ONCE = Effort(zstd=12, gzip=9)
"""For content that is compressed once."""


def compress(body: bytes, coding: Coding, effort: Effort = PER_RESPONSE) -> bytes:
    """Compress a whole body."""
    if coding is Coding.IDENTITY:
        return body
    compressor = _new_compressor(coding, effort)
    return compressor.compress(body) + compressor.flush()


class CompressedStream:
    """The blocks of a response, compressed as they are read; closing it closes the blocks.

    Args:
        blocks: of the body.
        coding: not identity.
    """

    def __init__(self, blocks: Iterable[bytes], coding: Coding) -> None:
        self._blocks = blocks
        self._coding = coding

    def __iter__(self) -> Iterator[bytes]:
        """Read, compress and return the blocks, in pieces of about `STREAM_BLOCK_BYTES`."""
        compressor = _new_compressor(self._coding, PER_RESPONSE)
        pending = bytearray()
        for block in self._blocks:
            pending += compressor.compress(block)
            if len(pending) >= STREAM_BLOCK_BYTES:
                yield bytes(pending)
                pending.clear()
        pending += compressor.flush()
        yield bytes(pending)

    def close(self) -> None:
        """Close the blocks, if they can be closed."""
        close: Callable[[], None] | None = getattr(self._blocks, "close", None)
        if close is not None:
            close()


def _new_compressor(coding: Coding, effort: Effort) -> Compressor:
    if coding is Coding.ZSTD:
        return zstandard.ZstdCompressor(level=effort.zstd).compressobj()
    return zlib.compressobj(effort.gzip, wbits=31)  # with header and checksum of gzip
