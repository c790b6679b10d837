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
    Coding,
    CompressedStream,
    accepted_by_request,
    choose_coding,
    compress,
)
from api.http.problems import CodingNotAcceptable

if TYPE_CHECKING:
    from collections.abc import Iterable


def register(app: Flask) -> None:
    """Compress the responses of `app`; refuse requests that accept no coding at all."""
    app.before_request(_refuse_unacceptable)
    app.after_request(_encode)


def _refuse_unacceptable() -> None:
    """Refuse a request before its view has an effect; raises `CodingNotAcceptable`."""
    if accepted_by_request().best is None:
        raise CodingNotAcceptable(available=AVAILABLE)


def _encode(response: Response) -> Response:
    """Compress a response, unless it must be sent as it is."""
    choice = choose_coding(
        accepted_by_request(),
        method=request.method,
        media_type=response.mimetype,
        size=_size_of(response),
        has_range="Range" in request.headers,
    )
    if choice.is_negotiated and not _is_final(response):
        _add_vary(response)
        if choice.coding is not Coding.IDENTITY:
            _apply(response, choice.coding)
    return response


def _apply(response: Response, coding: Coding) -> None:
    """Compress a response, or mark a 304 as that of a compressed one."""
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


def _is_final(response: Response) -> bool:
    """Whether a view forbids to change the coding of its response."""
    if "Content-Encoding" in response.headers:
        return True
    return "no-transform" in response.headers.get("Cache-Control", "")


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
