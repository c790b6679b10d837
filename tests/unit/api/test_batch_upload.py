"""An upload is checked while it arrives, in bounded memory."""

import gzip
import hashlib
import io
import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from flask import Flask, Request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import EnvironBuilder

from api.http.problems import UnsupportedEncoding, UnsupportedMediaType
from api.http.uploads import UploadBody
from shared.domain.batch import BatchOptions
from shared.domain.errors import (
    DecompressionBomb,
    DomainError,
    UnreadableUpload,
    UnsupportedUpload,
)
from shared.domain.table import Dialect, FileKind
from shared.tabular.files.upload import Upload
from tests.batch_parts import GOOD_ROW, HEADER, cars_csv

LIMIT = 50_000_000


def receive(
    data: bytes, *, block: int = 65_536, limit: int = LIMIT
) -> tuple[bytes, Upload, Dialect]:
    target = io.BytesIO()
    upload = Upload(target, BatchOptions(), limit)
    for start in range(0, len(data), block):
        upload.write(data[start : start + block])
    dialect = upload.close()
    return target.getvalue(), upload, dialect


def write(upload: Upload, *blocks: bytes) -> None:
    for block in blocks:
        upload.write(block)


def refused(data: bytes, **options: int) -> str:
    with pytest.raises(DomainError) as error:
        receive(data, **options)
    if isinstance(error.value, UnreadableUpload):
        return error.value.problems[0].code
    return error.value.code


@pytest.mark.parametrize("block", [1, 7, 1000, 65_536])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_what_arrives_is_kept_decompressed_and_its_digest_is_of_what_was_sent(
    block: int, pack: Callable[[bytes], bytes]
) -> None:
    plain = cars_csv(50)
    sent = pack(plain)
    stored, upload, dialect = receive(sent, block=block)
    assert stored == plain
    assert upload.sha256 == hashlib.sha256(sent).hexdigest()
    assert (upload.received, upload.size) == (len(sent), len(plain))
    assert dialect.header[0] == "ref"


def test_gzip_members_in_a_row_are_one_file() -> None:
    plain = cars_csv(50)
    sent = gzip.compress(plain[:100]) + gzip.compress(plain[100:]) + b"\0" * 512
    assert receive(sent, block=64)[0] == plain


def test_zstd_frames_in_a_row_are_one_file_and_what_is_to_be_skipped_is() -> None:
    plain, skipped = cars_csv(50), b"\x53\x2a\x4d\x18\x04\0\0\0note"
    sent = skipped + zstandard.compress(plain[:100]) + skipped + zstandard.compress(plain[100:])
    for block in (1, 64, 100_000):
        assert receive(sent, block=block)[0] == plain


def wide_zstd(plain: bytes) -> bytes:
    """Data with a window of 128 MB."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(plain) + compressor.flush()


@pytest.mark.parametrize("first", [b"PK\x03\x04", b"PAR1"])
def test_a_workbook_or_parquet_file_is_known_by_its_first_bytes_and_kept_as_it_is(
    first: bytes,
) -> None:
    data = first + random.Random(1).randbytes(30_000)
    for sent in (data, zstandard.compress(data)):
        stored, upload, dialect = receive(sent, block=3)
        assert (stored, upload.size) == (data, len(data))
        assert dialect.kind is (FileKind.XLSX if first == b"PK\x03\x04" else FileKind.PARQUET)
        assert not dialect.is_opened


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (zstandard.compress(b""), "empty-file"),
        (zstandard.compress(cars_csv(500))[:-9], "truncated-zstd"),
        (zstandard.compress(cars_csv(500))[:9] + b"\xff" * 300, "wrong-zstd"),
        (b"\x28\xb5\x2f\xfd" + b"not zstd at all" * 9, "wrong-zstd"),
        (wide_zstd(cars_csv(500)), "zstd-window"),
        (gzip.compress(b""), "empty-file"),
        (gzip.compress(cars_csv(500))[:-9], "truncated-gzip"),
        (gzip.compress(cars_csv(500))[:400] + b"garbage" * 30, "wrong-gzip"),
        (b"\x1f\x8b" + b"not gzip at all" * 9, "wrong-gzip"),
        (HEADER.encode(), "no-rows"),
        (HEADER.encode() + b"\n", "no-rows"),
        (b"a;b\n1;2\n", "missing-column"),
        (f"{HEADER},year\n{GOOD_ROW},1\n".encode(), "duplicate-column"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0" * 4, "binary-file"),
        (b"%PDF-1.7" + bytes(100), "unsupported-upload"),
        (HEADER.encode() + b"\n" + b"x" * 5_000_000, "line-too-long"),
        (",".join(f"c{n}" for n in range(5000)).encode() + b"\n1\n", "too-many-columns"),
    ],
)
def test_what_is_no_table_of_cars_is_refused(data: bytes, code: str) -> None:
    assert refused(data) == code


def test_a_file_above_the_limit_is_refused() -> None:
    assert refused(cars_csv(500), limit=10_000) == "upload-too-large"


def test_a_file_that_is_small_only_while_compressed_is_refused() -> None:
    assert refused(gzip.compress(cars_csv(2000)), limit=60_000) == "upload-too-large"
    assert refused(zstandard.compress(cars_csv(2000)), limit=60_000) == "upload-too-large"


@pytest.mark.parametrize(
    "bomb", [zlib.compressobj(9, wbits=31), zstandard.ZstdCompressor(9).compressobj()]
)
def test_a_zip_bomb_is_refused_early_and_in_flat_memory(bomb: Any) -> None:
    line = (HEADER + "\n").encode() + (GOOD_ROW + "\n").encode() * 200_000
    data = b"".join([*(bomb.compress(line) for _ in range(40)), bomb.flush()])

    class Counting(io.RawIOBase):
        size = 0

        def write(self, block: bytes, /) -> int:  # type: ignore[override]
            self.size += len(block)
            return len(block)

    target = Counting()
    upload = Upload(target, BatchOptions(), 4_000_000_000)
    tracemalloc.start()
    with pytest.raises(DecompressionBomb):
        write(upload, *(data[start : start + 65_536] for start in range(0, len(data), 65_536)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert target.size < 100_000_000
    assert peak < 32_000_000


def test_a_wrong_header_is_refused_long_before_the_end() -> None:
    upload = Upload(io.BytesIO(), BatchOptions(), LIMIT)
    with pytest.raises(UnreadableUpload):
        write(upload, *[b"a,b,c\n" + b"1,2,3\n" * 20_000] * 10)


def test_a_line_without_end_is_refused_before_it_is_all_there() -> None:
    upload = Upload(io.BytesIO(), BatchOptions(), LIMIT)
    upload.write(f"{HEADER}\n{GOOD_ROW}\n".encode())
    with pytest.raises(UnreadableUpload) as error:
        write(upload, *[b"x" * 65_536] * 40)
    assert error.value.problems[0].params["line"] == 3


# The request


def request_of(
    body: bytes, content_type: str, *, length: int | None = None, **headers: str
) -> Request:
    builder = EnvironBuilder(
        method="POST", path="/batches", input_stream=io.BytesIO(body), content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )  # fmt: skip
    environ = builder.get_environ()
    environ["wsgi.input_terminated"] = True
    environ["CONTENT_LENGTH"] = str(len(body) if length is None else length)
    return Flask(__name__).request_class(environ)


def form(*parts: tuple[str, str | None, bytes], end: bool = True) -> bytes:
    lines = b""
    for name, file_name, data in parts:
        file = f'; filename="{file_name}"' if file_name is not None else ""
        lines += (
            f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
            + data
            + b"\r\n"
        )
    return lines + (b"--B--\r\n" if end else b"")


def body_refused(request: Request) -> str:
    with pytest.raises(UnreadableUpload) as error:
        list(UploadBody(request))
    return error.value.problems[0].code


FORM = "multipart/form-data; boundary=B"


def test_a_file_in_a_form_is_streamed_as_it_is_whatever_its_bytes() -> None:
    data = random.Random(1).randbytes(3_000_000) + b"\r\n--B not a boundary\r\n--\r\n"
    body = UploadBody(request_of(form(("file", "cars/stöck.csv", data)), FORM))
    assert b"".join(body) == data
    assert body.file_name == "stöck.csv"


@pytest.mark.parametrize("kind", ["text/csv", "application/octet-stream", ""])
def test_a_raw_body_is_the_file(kind: str) -> None:
    headers = {"Content_Disposition": 'attachment; filename="stock.csv"'}
    body = UploadBody(request_of(b"a,b\n1,2\n", kind, **headers))
    assert b"".join(body) == b"a,b\n1,2\n"
    assert body.file_name == "stock.csv"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (form(("file", "a.csv", b"1,2\n"), end=False)[:-4], "truncated-form"),
        (form(("file", "a.csv", b"1,2\n"))[:60], "truncated-form"),
        (form(("other", "a.csv", b"1,2\n")), "unknown-part"),
        (form(("file", None, b"1,2\n")), "file-without-name"),
        (form(("file", "a.csv", b"1"), ("file", "b.csv", b"2")), "unknown-part"),
        (form(("file", "a.csv", b"1"), ("dry_run", None, b"true")), "unknown-part"),
        (form(), "missing-file-part"),
        (b"no form at all", "wrong-form"),
        (b"--B\r\nX: " + b"y" * 3_000_000, "truncated-form"),
    ],
)
def test_a_form_that_holds_no_file_is_refused(body: bytes, code: str) -> None:
    assert body_refused(request_of(body, FORM)) == code


def test_a_body_that_is_shorter_than_announced_is_refused() -> None:
    assert body_refused(request_of(b"a,b\n", "text/csv", length=100)) == "truncated-upload"
    assert body_refused(request_of(form(), FORM, length=100)) == "truncated-upload"


def test_a_body_that_claims_to_be_gzip_must_be() -> None:
    claim = {"Content_Encoding": "gzip"}
    assert body_refused(request_of(b"a,b\n", "text/csv", **claim)) == "wrong-gzip"
    data = gzip.compress(b"a,b\n")
    assert b"".join(UploadBody(request_of(data, "text/csv", **claim))) == data
    zstd = {"Content_Encoding": "zstd"}
    assert body_refused(request_of(data, "text/csv", **zstd)) == "wrong-zstd"
    data = zstandard.compress(b"a,b\n")
    assert b"".join(UploadBody(request_of(data, "text/csv", **zstd))) == data


class Trickle(io.BytesIO):
    """A connection that gives a byte at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, 1 if size is None else abs(size)))


def chunked(stream: io.BytesIO) -> Request:
    """An upload whose length nobody announced."""
    request = request_of(b"", "text/csv")
    del request.environ["CONTENT_LENGTH"]
    request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    request.environ["wsgi.input"] = stream
    return request


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"a,b\n1,2", b"", gzip.compress(b"a,b")])
def test_a_body_of_unknown_length_is_taken_to_its_end(data: bytes) -> None:
    assert b"".join(UploadBody(chunked(Trickle(data)))) == data


class Broken(Trickle):
    """A connection whose client leaves, as `api.transport.wsgi_bridge` tells it."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise ClientDisconnected
        return data


def test_a_body_of_unknown_length_that_breaks_off_is_refused_wherever_that_is() -> None:
    for data in (b"a,b\n1,2\n", b"a,b\n1", b""):
        assert body_refused(chunked(Broken(data))) == "truncated-upload"


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("text/csv", {"Content_Encoding": "br"}),
        (FORM, {"Content_Encoding": "gzip"}),
        (FORM, {"Content_Encoding": "zstd"}),
    ],
)
def test_other_compressions_are_refused(kind: str, headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedEncoding):
        UploadBody(request_of(b"x", kind, **headers))


@pytest.mark.parametrize("kind", ["application/pdf", "image/png"])
def test_other_types_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        UploadBody(request_of(b"x", kind))


def test_an_unsupported_upload_names_what_it_is() -> None:
    with pytest.raises(UnsupportedUpload) as error:
        receive(b"%PDF-1.7" + bytes(100))
    assert error.value.params["given"] == "PDF"


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (b"\xef\xbb\xbf\r\n\r\n <!doctype HTML>\n<html><body>Connexion</body></html>", "HTML"),
        (b"\n" * 5_000 + b"<HTML lang=fr><p>Erreur 500</p></HTML>", "HTML"),
        (b"<!-- export -->\n<table class='x'><tr><th>Marque</th></tr></table>", "HTML"),
        ("<html><head><title>é</title></head></html>".encode("utf-16"), "HTML"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html xmlns='x'></html>", "HTML"),
        (b"<meta http-equiv='Content-Type' content='text/html'><table></table>", "HTML"),
        (
            b"<ss:Workbook xmlns:ss='urn:schemas-microsoft-com:office:spreadsheet'><ss:Row/>",
            "SpreadsheetML (Excel 2003 XML)",
        ),
        (b"\xef\xbb\xbf<?xml version='1.0'?><annonces><annonce/></annonces>", "XML"),
        (b"<vehicles>\n  <vehicle id='1'>\n", "XML"),
        ("<?xml version='1.0'?><a/>".encode("utf-16-le"), "XML"),
        (b"{\\rtf1\\ansi Marque\\tab Mod\\'e8le}", "RTF"),
        (b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n", "MHTML"),
        (b'ID;PWXL;N;E\r\nP;PGeneral\r\nC;Y1;X1;K"Marque"\r\nE\r\n', "SYLK (.slk)"),
        (gzip.compress(gzip.compress(b"Marque;Mod\n")), "gzip (compressed twice)"),
        (zstandard.compress(gzip.compress(b"Marque;Mod\n")), "gzip (compressed twice)"),
        (gzip.compress(b"%PDF-1.7" + bytes(100)), "PDF"),
        (b"stock.csv" + bytes(248) + b"ustar  \0" + bytes(248), "tar"),
        (b"\x09\x08\x10\x00\x00\x05" + bytes(90), "Excel 5 (.xls)"),
    ],
)
@pytest.mark.parametrize("block", [3, 65_536])
def test_a_file_of_another_kind_is_refused_by_its_content(
    data: bytes, given: str, block: int
) -> None:
    with pytest.raises(UnsupportedUpload) as error:
        receive(data, block=block)
    assert error.value.params["given"] == given


@pytest.mark.parametrize(
    "header", ["<ref>,", "ID;PRIX;", "<date>\t", "content-type,", "TABLE;", " \n\n<b>,"]
)
def test_a_csv_with_an_unusual_first_column_is_a_csv(header: str) -> None:
    delimiter = header[-1]
    cells = ["company", "model", "year", "fuel", "transmission", "km_driven"]
    row = ["C"] * header.count(delimiter) + ["Dacia", "Logan", "2019", "Diesel", "Manual", "45000"]
    text = f"{header}{delimiter.join(cells)}\n{delimiter.join(row)}\n"
    assert receive(text.encode())[2].kind is FileKind.CSV
