"""Compresses large responses of Flask with zstd or gzip, as `Accept-Encoding` asks.

It runs in the thread of the request, not on the event loop. A compressed response has a weak ETag:
the bytes that a compressor writes may differ between its releases, while the content is the same.
Ranges are those of the identity form, so a request with a `Range` header gets that form.
"""

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import Flask, Response, request

from api.http.compression import (
    ACCEPT_ENCODING,
    AVAILABLE,
    EVENT_STREAM,
    MIN_BYTES,
    Accepted,
    Coding,
    CompressedStream,
    accepted_by_request,
    compress,
    is_compressible,
)
from api.http.problems import CodingNotAcceptable

if TYPE_CHECKING:
    from collections.abc import Iterable

READING_METHODS = frozenset({"GET", "HEAD"})


def register(app: Flask) -> None:
    """Compress the responses of `app`; refuse requests that accept no coding at all."""
    app.before_request(_refuse_unacceptable)
    app.after_request(_encode)


def _refuse_unacceptable() -> None:
    """Refuse a request before its view has an effect; raises `CodingNotAcceptable`."""
    if accepted_by_request().best is None:
        raise CodingNotAcceptable(available=AVAILABLE)


def _encode(response: Response) -> Response:
    """Compress a response if it is large and its media type is compressible."""
    accepted, size = accepted_by_request(), _size_of(response)
    is_small = accepted.identity and size is not None and size < MIN_BYTES
    is_read = request.method in READING_METHODS
    if is_small and not is_read:  # first, because most answers are
        return response
    if not _is_negotiable(response, accepted):
        return response
    if is_read:
        _add_vary(response)
    has_range = accepted.identity and "Range" in request.headers
    coding = accepted.best or Coding.IDENTITY
    if not (is_small or has_range or size == 0 or coding is Coding.IDENTITY):
        _apply(response, coding)
    return response


def _apply(response: Response, coding: Coding) -> None:
    """Compress a response, or mark a 304 as that of a compressed one."""
    _add_vary(response)
    tag, is_weak = response.get_etag()
    if tag is not None and not is_weak:
        response.set_etag(tag, weak=True)
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return
    response.content_encoding = coding
    if response.is_streamed:
        response.headers.pop("Content-Length", None)
        blocks = cast("Iterable[bytes]", response.response)
        response.response = CompressedStream(blocks, coding)
    else:
        response.set_data(compress(response.get_data(), coding))


def _is_negotiable(response: Response, accepted: Accepted) -> bool:
    """Whether the coding of a response depends on `Accept-Encoding`.

    A client that refuses identity gets even compressed formats compressed, event streams excepted.
    """
    media_type = response.mimetype
    if "Content-Encoding" in response.headers:
        return False
    if "no-transform" in response.headers.get("Cache-Control", ""):
        return False
    return is_compressible(media_type) or not (accepted.identity or media_type == EVENT_STREAM)


def _size_of(response: Response) -> int | None:
    """Bytes of the body; None if it is not known."""
    length = response.headers.get("Content-Length")
    if length is not None:
        return int(length)
    return None if response.is_streamed else response.calculate_content_length()


def _add_vary(response: Response) -> None:
    if "Vary" in response.headers:
        response.vary.add(ACCEPT_ENCODING)
    else:
        response.headers["Vary"] = ACCEPT_ENCODING
