"""Fuzz targets: bodies, query strings and headers that callers send."""

import io
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgpack
import orjson
from flask import Flask, request
from hypothesis import strategies as st

from api.batches.result_views import _requested_export, _requested_range
from api.batches.schemas import RejectedQuery, ResultsQuery, UploadQuery
from api.http.file_names import attachment_header, file_name_of
from api.http.problems import error_response
from api.http.requests import (
    WaitQuery,
    load_query,
    parse_json,
    preferred_language,
    resolve_wait_s,
)
from api.http.uploads import UploadBody
from api.jobs.schemas import JobListQuery, load_filter
from api.jobs.views import idempotency_key
from api.middleware.authentication import _bearer, is_loopback
from api.pages.files.upload_form import CONSTANT_FIELDS, load_options
from api.sales.schemas import load_sale
from shared.domain.batch import BatchOptions
from shared.domain.errors import DomainError
from shared.domain.valuation import CarRequest
from shared.fields.requests import load_car_request
from shared.i18n.languages import LANGUAGES
from shared.settings import Settings
from shared.tabular.files.upload import Upload
from shared.webhooks.addresses import AddressPolicy, CallbackRefusedError, parse_address
from tests.fuzz.inputs import (
    CSV_FILE,
    WORDS,
    altered_bytes,
    json_bytes,
    parquet_file,
    workbook_file,
)
from tests.fuzz.target import target
from tests.unit.api.pages.in_language import in_language

CAR = {
    "company": "Toyota", "model": "Corolla", "year": 2020, "fuel": "Petrol",
    "transmission": "Manual", "km_driven": 25_000, "engine_cc": 1600, "max_power_bhp": 120,
    "seller_type": "Individual", "asking_price_mad": 195_000, "city": "Casablanca",
    "fiscal_power_cv": 8, "owner": "First", "doors": 5, "condition": "good", "origin": "local",
}  # fmt: skip
SALE = {"sale_price_mad": 120_000, "sold_at": "2026-11-20"}
JSON_WORDS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"1e400",
    b"-0",
    b'"\\ud800"',
    b"\\u0000",
    b",,",
    b"//",
)
ASCII_WORDS = [word.encode() for word in WORDS if len(word) < 300]
QUERIES = {
    "u": UploadQuery,
    "r": ResultsQuery,
    "j": RejectedQuery,
    "l": JobListQuery,
    "w": WaitQuery,
}
QUERY_EXAMPLES = (
    b"u?dry_run=true&on_error=abort&columns=year:%235,km_driven:Compteur&constants=company:BMW",
    b"u?encoding=cp1252&delimiter=tab&decimal=comma&header=no&sheet=1&key_column=ref",
    b"r?format=csv&dialect=excel-fr&partial=1&headers=localized",
    b"r?format=xlsx&delimiter=%5Ct&decimal=,",
    b"j?format=xlsx",
    b"l?from=2026-11-22T08:30:00%2B01:00&to=2026-11-23&limit=5&state=SUCCEEDED&cursor=01m8fqj4f7",
    b"w?wait=20&include=contributions,depreciation&coverage=0.5",
)
HEADERS = (
    ("Prefer", "respond-async, wait=10"),
    ("Prefer", 'wait="1.5"; a=b'),
    ("Range", "bytes=0-99"),
    ("Range", "bytes=-5"),
    ("Range", "bytes=5-3,7-"),
    ("If-Range", '"a"'),
    ("Accept", "text/csv;q=0.1, */*;q=x"),
    ("Accept-Language", "fr-MA;q=0.5, en;q=NaN, *;q=0"),
    ("Idempotency-Key", "stock-0042"),
    ("Authorization", "Bearer cp_abc"),
    ("Authorization", "Basic YTpi"),
    ("Host", "[::1]:8000"),
    ("If-None-Match", 'W/"x", *'),
    ("If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("Content-Disposition", "attachment; filename*=UTF-8''caf%C3%A9.csv"),
    ("Content-Type", "multipart/form-data; boundary=x; charset=utf-8"),
    ("Content-Encoding", "gzip"),
)
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n'
    b"Content-Type: text/csv; charset=latin-1\r\n\r\n" + CSV_FILE + b"\r\n--x--\r\n"
)


@cache
def application() -> Flask:
    """An application that only provides request contexts."""
    return Flask("fuzz")


def refuse(error: DomainError) -> None:
    """Write the problem document of an error in both languages; it must be a client's error."""
    for language in LANGUAGES:
        response = error_response(error, language, "/")
        document = orjson.loads(response.body)
        assert 400 <= response.status < 500, (response.status, error)
        assert document["detail"], error
        for place in document.get("errors", ()):
            assert place["detail"], error


@target(json_bytes(CAR) | json_bytes([CAR]) | altered_bytes([orjson.dumps(CAR)], JSON_WORDS))
def car_body(data: bytes) -> None:
    """A body of `/predict` or `/jobs`."""
    try:
        body = parse_json(data, None)
        for car in body if isinstance(body, list) else [body]:
            loaded = load_car_request(car, pointer="/0")
            packed = msgpack.packb(loaded.to_wire())
            assert CarRequest.from_wire(msgpack.unpackb(packed)) == loaded
            assert loaded.car.canonical()
            orjson.dumps(loaded.to_wire())
    except DomainError as error:
        refuse(error)


@target(json_bytes(SALE) | altered_bytes([orjson.dumps(SALE)], JSON_WORDS))
def sale_body(data: bytes) -> None:
    """A sale report."""
    try:
        load_sale(parse_json(data, len(data)))
    except DomainError as error:
        refuse(error)


@target(altered_bytes(QUERY_EXAMPLES, [b"&", b"=", b"%00", b"%", b"%FF", b"+", *ASCII_WORDS]))
def query_string(data: bytes) -> None:
    """The query string of a route; the first letter says which schema reads it."""
    # The HTTP server answers 400 to other bytes.
    kind, _, query = data.decode("ascii", "ignore").partition("?")
    schema = QUERIES.get(kind, UploadQuery)
    with application().request_context(_environ({"QUERY_STRING": query})):
        try:
            given = load_query(schema)
            if schema in (ResultsQuery, RejectedQuery):
                _requested_export(given)
            elif schema is JobListQuery:
                load_filter(given)
            elif schema is UploadQuery:
                BatchOptions(**given)
        except DomainError as error:
            refuse(error)


def _header_bytes() -> st.SearchStrategy[bytes]:
    lines = [f"{name}: {value}".encode("latin-1") for name, value in HEADERS]
    words = [b",", b";", b"=", b'"', b"%", b"''", b"\xe9", b"q=", b"NaN", b"9" * 30, b"[", b"\t"]
    return st.lists(altered_bytes(lines, words), min_size=1, max_size=3).map(b"\n".join)


CALLBACKS = (
    b"https://shop.example:8443/hooks?a=b", b"http://[::ffff:127.0.0.1]/", b"http://127.1/",
    b"http://user:p@shop.example/#x", b"http://0x7f.0.0.1:22/",
)  # fmt: skip


@target(altered_bytes(CALLBACKS, [b"@", b"\\", b"[", b"]", b"::1", b"%", b"#", b"//", b"\xe9"]))
def callback_address(data: bytes) -> None:
    """A callback address; one that is accepted has the host that its text names."""
    text = data.decode("utf-8", "replace")
    try:
        address = AddressPolicy().check_url(text)
    except CallbackRefusedError:
        return
    assert urlsplit(text).hostname == address.host
    assert parse_address(f"{address.origin}{address.target}") == address


@target(_header_bytes())
def headers(data: bytes) -> None:
    """Headers, a line each, read as all routes read theirs."""
    lines = [line.decode("latin-1").partition(":") for line in data.splitlines()]
    given = [(name.strip(), value.strip(" \r")) for name, _, value in lines if name.strip()]
    environ = {
        "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in given
        if not name.lower().startswith("content-")
    }
    environ |= {
        name.upper().replace("-", "_"): value
        for name, value in given
        if name.lower() == "content-type"
    }
    context = application().request_context(_environ(environ))
    with context:
        settings = Settings()
        assert (
            0
            <= resolve_wait_s(request.headers.get("Prefer", ""), settings)
            <= max(settings.max_wait_s, settings.predict_wait_s)
        )
        assert preferred_language(request.headers.get("Accept-Language")) in LANGUAGES
        _bearer(request.headers.get("Authorization", ""))
        is_loopback(request.headers.get("Host", ""))
        for read in (
            idempotency_key,
            lambda: _requested_range(100, ('"a"', None)),
            lambda: _requested_export({"dialect": "default"}),
            lambda: UploadBody(request),
        ):
            try:
                read()
            except DomainError as error:
                refuse(error)
        name = file_name_of(request.headers.get("Content-Disposition", ""))
        header = attachment_header(name, "priced.csv", "id")
        header.encode("latin-1")
        assert not set(header) & {"\r", "\n", "\x00"}


def _environ(members: dict[str, Any], body: bytes = b"") -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        **members,
    }


@target(altered_bytes([FORM], [b"\r\n", b"--x", b"--x--", b"name=", b"filename=", b":", b"\xff"]))
def upload_form(data: bytes) -> None:
    """A multipart upload."""
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "multipart/form-data; boundary=x"}
    with application().request_context(_environ(environ, data)):
        try:
            body = UploadBody(request)
            body.read_fields({"sheet", "columns"})
            for block in body:
                assert isinstance(block, bytes)
        except DomainError as error:
            refuse(error)


@target(
    altered_bytes([CSV_FILE, workbook_file(), parquet_file(), b'[{"Marque": "Kia"}]'], ASCII_WORDS)
)
def upload(data: bytes) -> None:
    """The bytes of an uploaded file, in two blocks."""
    inspector = Upload(io.BytesIO(), BatchOptions(), 1_000_000)
    try:
        for block in (data[: len(data) // 2], data[len(data) // 2 :]):
            inspector.write(block)
        inspector.close()
    except DomainError as error:
        refuse(error)


@target(altered_bytes([b"encoding=cp1252\nconstant-year=2020\ncolumn-fuel=3"], ASCII_WORDS))
def page_form(data: bytes) -> None:
    """The options of the page for files."""
    lines = [line.partition("=") for line in data.decode("utf-8", "replace").splitlines()]
    values = {name: value for name, _, value in lines}
    values |= {f"constant-{CONSTANT_FIELDS[0]}": data.decode("utf-8", "replace")}
    with in_language("ar"):
        try:
            load_options(values, dry_run=False)
        except DomainError as error:
            refuse(error)
