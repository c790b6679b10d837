"""Reads an uploaded file as it arrives: the raw body, or one part of a multipart form.

Nothing is spooled: each block goes from the connection to the blob store.
"""

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio import multipart

from api.http.file_names import decode_header_bytes, file_name_of, states_file_name
from api.http.problems import UnsupportedEncoding, UnsupportedMediaType
from shared.domain.errors import UploadTooLarge
from shared.tabular.files.compression import MAGIC_BYTES, compression_of, refused_upload

CSV = "text/csv"
NDJSON = "application/x-ndjson"
JSON = "application/json"
MULTIPART = "multipart/form-data"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PARQUET = "application/vnd.apache.parquet"
RAW_TYPES = (
    CSV, "text/plain", "text/tab-separated-values", "application/octet-stream", "application/gzip",
    "application/x-gzip", "application/zstd", "application/x-zstd", XLSX, PARQUET,
    "application/vnd.ms-excel", "application/vnd.ms-excel.sheet.macroenabled.12",
    "application/x-parquet", JSON, NDJSON, "application/ndjson", "application/jsonl",
    "application/json-lines", "application/x-jsonlines",
)  # fmt: skip
"""The content decides what a file is; the type only tells it from a form and the like."""

COMPRESSIONS = {"": "identity", "x-gzip": "gzip"}
FILE_PART = "file"
BLOCK_BYTES = 1 << 18
FORM_BUFFER_MAX_BYTES = 4 * BLOCK_BYTES
"""Far above what the decoder buffers of a file; it bounds the headers of a part."""

FORM_FIELDS_MAX_BYTES = 65_536
"""Of all text fields before the file."""

_BINARY = {"type": "string", "format": "binary"}
UPLOAD_BODY: dict[str, Any] = {
    "required": True,
    "description": "A CSV of any usual encoding, an Excel workbook (.xlsx), Parquet, JSON Lines or "
    "a JSON array; plain, gzip or zstd. Its content decides what it is; a `charset` in its "
    "Content-Type is its encoding unless its bytes contradict it.",
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "properties": {FILE_PART: _BINARY},
                "required": [FILE_PART],
            }
        },
        # The other types of `RAW_TYPES` are accepted too; generators of clients know this one.
        "application/octet-stream": {"schema": _BINARY},
    },
}


class UploadBody:
    """The file in a request; iterating it reads the connection, once.

    Args:
        request: the request, nothing of whose body was read.

    Raises:
        UnsupportedMediaType: the request is of a type that holds no file.
        UnsupportedEncoding: its compression is not supported.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_form = request.mimetype == MULTIPART
        self._compression = _content_encoding(request)
        if not self._is_form and request.mimetype not in ("", *RAW_TYPES):
            raise UnsupportedMediaType(expected=f"{MULTIPART}, {CSV}", given=request.mimetype[:80])
        if self._is_form and self._compression != "identity":
            raise UnsupportedEncoding(expected="identity", given=self._compression)
        # WSGI gives the bytes of a header as Latin-1.
        disposition = request.headers.get("Content-Disposition", "").encode("latin-1", "replace")
        self.file_name = file_name_of(decode_header_bytes(disposition))
        """The caller's name of the file; in a form it is known once the bytes of the file come."""
        self.charset: str | None = None
        """The parameter of the file's Content-Type; in a form it is known when `file_name` is."""
        if not self._is_form:
            self.charset = request.mimetype_params.get("charset")
        self._events: Iterator[multipart.Event] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """The file's bytes as sent.

        Raises:
            UnreadableUpload: the request ends early, or its form cannot be read.
        """
        if self._is_form:
            yield from self._form_file()
            return
        blocks = self._body()
        first = b""
        while len(first) < MAGIC_BYTES and (block := next(blocks, b"")):
            first += block
        found = compression_of(first)
        if self._compression not in ("identity", found):
            raise refused_upload(f"wrong-{self._compression}")
        yield first
        yield from blocks

    def _body(self) -> Iterator[bytes]:
        """The request's body; one that is shorter than announced is refused."""
        expected = self._request.content_length
        received = 0
        try:
            while block := self._request.stream.read(BLOCK_BYTES):
                received += len(block)
                yield block
        except RequestEntityTooLarge:
            raise UploadTooLarge(maximum=self._request.max_content_length) from None
        except (ClientDisconnected, OSError):
            raise refused_upload("truncated-upload", received=received) from None
        if expected is not None and received < expected:
            raise refused_upload("truncated-upload", received=received)

    def read_fields(self, known: Collection[str]) -> dict[str, str]:
        """The text fields of a form that stand before its file; empty without a form.

        Args:
            known: names of the fields; any other part is left for the iteration, which refuses it.

        Raises:
            UnreadableUpload: the form cannot be read, or its fields are too long.
        """
        fields: dict[str, bytes] = {}
        name = ""
        for event in self._form_events() if self._is_form else ():
            if isinstance(event, multipart.Field) and event.name in known:
                name = event.name
                fields[name] = b""
            elif isinstance(event, multipart.Data):
                fields[name] += event.data
                if sum(map(len, fields.values())) > FORM_FIELDS_MAX_BYTES:
                    raise refused_upload("wrong-form")
            elif isinstance(event, multipart.File | multipart.Field):
                self._events = chain([event], self._form_events())
                break
        return {name: value.decode(errors="replace") for name, value in fields.items()}

    def _form_events(self) -> Iterator[multipart.Event]:
        """The parts of the form and their bytes that were not read yet."""
        if self._events is None:
            boundary = self._request.mimetype_params.get("boundary", "")
            decoder = _FormDecoder(
                boundary.encode("latin-1", "replace"), max_form_memory_size=FORM_BUFFER_MAX_BYTES
            )
            self._events = _form_events(decoder, self._body())
        return self._events

    def _form_file(self) -> Iterator[bytes]:
        """The bytes of the part `file`; any other part is refused."""
        has_file = False
        for event in self._form_events():
            if isinstance(event, multipart.File | multipart.Field):
                if event.name != FILE_PART or has_file:
                    raise refused_upload("unknown-part", part=str(event.name)[:80])
                disposition = event.headers["content-disposition"]
                if not states_file_name(disposition):
                    raise refused_upload("file-without-name")
                has_file = True
                self.file_name = file_name_of(disposition)
                _, parameters = parse_options_header(event.headers.get("Content-Type", ""))
                self.charset = parameters.get("charset")
            elif isinstance(event, multipart.Data) and event.data:
                yield event.data
        if not has_file:
            raise refused_upload("missing-file-part")


class _FormDecoder(multipart.MultipartDecoder):
    """werkzeug's decoder, which also takes headers of parts that are not UTF-8."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        return super()._parse_headers(decode_header_bytes(bytes(data)).encode())


def _form_events(
    decoder: multipart.MultipartDecoder, blocks: Iterator[bytes]
) -> Iterator[multipart.Event]:
    """The parts of a form and their bytes, to its end."""
    try:
        for block in blocks:
            decoder.receive_data(block)
            while not isinstance(event := decoder.next_event(), multipart.NeedData):
                yield event
        decoder.receive_data(None)
        while not isinstance(event := decoder.next_event(), multipart.Epilogue):
            yield event
    except (ValueError, RequestEntityTooLarge, UnicodeDecodeError):
        is_cut = decoder.state not in (multipart.State.PREAMBLE, multipart.State.COMPLETE)
        raise refused_upload("truncated-form" if is_cut else "wrong-form") from None


def _content_encoding(request: Request) -> str:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    encoding = COMPRESSIONS.get(encoding, encoding)
    if encoding not in ("identity", "gzip", "zstd"):
        raise UnsupportedEncoding(expected="gzip, zstd", given=encoding[:80])
    return encoding
