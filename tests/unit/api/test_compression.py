"""Which content coding a request gets, and how bodies are compressed (RFC 9110, section 12.5.3)."""

import gzip
import itertools
from collections.abc import Iterator

import pytest
import zstandard
from flask import Flask, Response

from api.http.compression import (
    MIN_BYTES,
    STREAM_BLOCK_BYTES,
    Coding,
    CompressedStream,
    accepted_codings,
)
from api.http.problems import CodingNotAcceptable
from api.middleware import compression

LARGE = b"Dacia;Logan;2018;Diesel;Manuelle\n" * 1000


def decoded(body: bytes, coding: str | None) -> bytes:
    """A body without its content coding."""
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return gzip.decompress(body) if coding == "gzip" else body


@pytest.mark.parametrize(
    ("header", "best"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZip ; Q=0.3", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.9", "gzip"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", "identity"),
        ("gzip;q=0.001", "gzip"),
        ("br, deflate", "identity"),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("zstd;q=0, gzip;q=0", "identity"),
        ("*;q=0, gzip", "gzip"),
        ("*;q=0, identity;q=0.1", "identity"),
        ("gzip;q=0.2, *;q=0.1", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0, *", "zstd"),
        ("*;q=0", None),
        ("identity;q=0", None),
        ("identity;q=0, gzip;q=0", None),
        ("br, identity;q=0", None),
        ("gzip;q=banana", "identity"),
        (";;,=", "identity"),
    ],
)
def test_the_coding_that_the_client_likes_most_is_used(
    header: str | None, best: str | None
) -> None:
    assert accepted_codings(header).best == best


@pytest.mark.parametrize(
    ("header", "accepts"),
    [(None, True), ("gzip", True), ("*;q=0", False), ("*;q=0, identity", True),
     ("gzip, identity;q=0", False), ("gzip, identity;q=0.0", False), ("*;q=0.5", True)],
)  # fmt: skip
def test_the_identity_form_is_acceptable_unless_it_is_refused(
    header: str | None, *, accepts: bool
) -> None:
    assert accepted_codings(header).identity is accepts


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.ZSTD])
def test_a_stream_is_compressed_as_it_is_read(coding: Coding) -> None:
    taken = 0

    def blocks() -> Iterator[bytes]:
        nonlocal taken
        for number in range(400):
            taken += 1
            yield b"".join(b"%d;%d\n" % (number * n, n * n) for n in range(4000))

    pieces = iter(CompressedStream(blocks(), coding))
    first = next(pieces)
    assert len(first) >= STREAM_BLOCK_BYTES
    assert taken < 50
    assert decoded(first + b"".join(pieces), coding) == b"".join(blocks())


def test_a_stream_that_is_given_up_closes_what_it_reads() -> None:
    closed = []

    def blocks() -> Iterator[bytes]:
        try:
            for number in itertools.count():
                yield b"%d" % number * 100_000
        finally:
            closed.append(True)

    stream = CompressedStream(blocks(), Coding.ZSTD)
    next(iter(stream))
    stream.close()
    assert closed


def encoded(response: Response, header: str = "gzip", method: str = "GET", **more: str) -> Response:
    """A response as the middleware leaves it."""
    sent = {"Accept-Encoding": header} | {name.replace("_", "-"): one for name, one in more.items()}
    with Flask(__name__).test_request_context(method=method, headers=sent):
        return compression._encode(response)


@pytest.mark.parametrize(
    "media_type",
    ["text/html", "text/csv; charset=utf-8", "application/json", "application/problem+json",
     "application/x-ndjson", "text/markdown", "image/svg+xml", "text/plain; version=0.0.4"],
)  # fmt: skip
def test_large_texts_are_compressed(media_type: str) -> None:
    response = encoded(Response(LARGE, content_type=media_type))
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert int(response.headers["Content-Length"]) == len(response.data) < len(LARGE) / 5
    assert gzip.decompress(response.data) == LARGE


@pytest.mark.parametrize(
    "media_type",
    ["image/png", "application/vnd.apache.parquet", "application/gzip",
     "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"],
)  # fmt: skip
def test_compressed_formats_are_compressed_again_only_for_whoever_refuses_the_identity_form(
    media_type: str,
) -> None:
    response = encoded(Response(LARGE, content_type=media_type))
    assert response.data == LARGE
    assert "Vary" not in response.headers
    response = encoded(Response(LARGE, content_type=media_type), "gzip, identity;q=0")
    assert gzip.decompress(response.data) == LARGE


@pytest.mark.parametrize("header", ["gzip", "gzip, identity;q=0"])
def test_event_streams_are_never_compressed(header: str) -> None:
    events = Response(iter([LARGE]), content_type="text/event-stream")
    response = encoded(events, header)
    assert "Content-Encoding" not in response.headers
    assert response.data == LARGE


def test_small_bodies_are_compressed_only_for_whoever_refuses_the_identity_form() -> None:
    small = LARGE[: MIN_BYTES - 1]
    response = encoded(Response(small))
    assert (response.data, response.headers["Vary"]) == (small, "Accept-Encoding")
    response = encoded(Response(small), "gzip, identity;q=0")
    assert gzip.decompress(response.data) == small


def test_no_body_is_not_compressed() -> None:
    response = encoded(Response(status=204), "gzip, identity;q=0")
    assert "Content-Encoding" not in response.headers


def test_a_small_answer_to_a_post_does_not_vary() -> None:
    assert "Vary" not in encoded(Response(b"{}"), method="POST").headers
    assert encoded(Response(LARGE), method="POST").headers["Vary"] == "Accept-Encoding"


def test_other_headers_that_responses_vary_by_stay() -> None:
    response = encoded(Response(LARGE, headers={"Vary": "Accept"}))
    assert response.vary.as_set() == {"accept", "accept-encoding"}


@pytest.mark.parametrize("refusal", [{"Content-Encoding": "br"}, {"Cache-Control": "no-transform"}])
def test_a_response_that_must_stay_as_it_is_stays(refusal: dict[str, str]) -> None:
    assert encoded(Response(LARGE, headers=refusal)).data == LARGE


def test_a_request_for_a_range_gets_the_identity_form() -> None:
    part = Response(LARGE, 206, {"ETag": '"a"', "Content-Range": "bytes 0-9/10"})
    response = encoded(part, Range="bytes=0-9")
    assert (response.data, response.headers["ETag"]) == (LARGE, '"a"')
    assert response.headers["Vary"] == "Accept-Encoding"


def test_only_the_identity_form_has_a_strong_etag() -> None:
    headers = {"ETag": '"a"'}
    assert encoded(Response(LARGE, headers=headers)).headers["ETag"] == 'W/"a"'
    assert encoded(Response(LARGE, headers=headers), "identity").headers["ETag"] == '"a"'


def test_a_304_has_the_etag_of_the_form_that_it_stands_for() -> None:
    response = encoded(Response(LARGE, 304, {"ETag": '"a"'}))
    assert response.headers["ETag"] == 'W/"a"'
    assert "Content-Encoding" not in response.headers
    assert encoded(Response(b"small", 304, {"ETag": '"a"'})).headers["ETag"] == '"a"'


def test_a_stream_has_no_length_any_more() -> None:
    streamed = Response(iter([LARGE]), headers={"Content-Length": str(len(LARGE))})
    response = encoded(streamed)
    assert "Content-Length" not in response.headers
    assert gzip.decompress(response.data) == LARGE


def test_whoever_refuses_every_coding_is_refused_before_anything_happens() -> None:
    sent = {"Accept-Encoding": "br, *;q=0"}
    with Flask(__name__).test_request_context(headers=sent), pytest.raises(CodingNotAcceptable):
        compression._refuse_unacceptable()
