"""Reads bodies, query parameters and headers of requests; the car itself: `shared.fields`."""

import codecs
import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from flask import request
from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.datastructures import LanguageAccept, MultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_accept_header

from api.http.members import refuse_repeated_members
from api.http.problems import BodyTooLarge, UnsupportedEncoding, UnsupportedMediaType
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.valuation import COVERAGES, DEFAULT_COVERAGE, Extra
from shared.i18n.languages import DEFAULT_LANGUAGE, Language, as_language
from shared.messages.rules import either, every_error, one_of, seconds
from shared.settings import Settings

IDENTITY = "identity"
CACHED_HEADER_MAX_CHARS = CACHED_QUERY_MAX_BYTES = 100
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d+)?)\"?", re.IGNORECASE)


class ExtrasField(fields.Field[tuple[Extra, ...]]):
    """A comma-separated list of `Extra`."""

    default_error_messages = {  # noqa: RUF012 - marshmallow declares it so
        "invalid": one_of(Extra)
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> tuple[Extra, ...]:
        names = [name.strip() for name in str(value).split(",") if name.strip()]
        try:
            return tuple(sorted({Extra(name) for name in names}))
        except ValueError:
            raise self.make_error("invalid") from None


_COVERAGE = one_of(COVERAGES)


def _check_coverage(value: float) -> None:
    """A validator like `OneOf`, which the OpenAPI document would show as an enum of numbers."""
    if value not in COVERAGES:
        raise ValidationError(_COVERAGE)


class CoverageQuery(Schema):
    """Query parameters of requests that read a valuation."""

    coverage = fields.Float(
        load_default=DEFAULT_COVERAGE,
        validate=_check_coverage,
        error_messages=every_error(_COVERAGE),
        metadata={
            "description": "Coverage of the price interval: "
            f"one of {', '.join(map(str, COVERAGES))}.",
            "minimum": min(COVERAGES),
            "maximum": max(COVERAGES),
        },
    )


class ValuationQuery(CoverageQuery):
    """Query parameters of requests for a valuation."""

    include = ExtrasField(
        load_default=(),
        metadata={
            "type": "string",
            "default": "",
            "description": "Extras, comma-separated: " + ", ".join(Extra),
            "example": "contributions,depreciation",
        },
    )


class PredictQuery(ValuationQuery):
    """Query parameters of `POST /predict`."""

    keep = fields.Boolean(
        load_default=False,
        error_messages=every_error(either("true", "false")),
        metadata={
            "description": "Keep the answer for `GET /valuations/{id}`: the status is then 201, "
            "and `Location` says where."
        },
    )


WAIT_MAX_S = 30
_WAIT = seconds(0, WAIT_MAX_S)


def wait_field(what: str) -> fields.Float:
    """The parameter `wait` of reading a job or batch."""
    return fields.Float(
        load_default=0.0,
        validate=validate.Range(min=0, max=WAIT_MAX_S, error=_WAIT),
        error_messages=every_error(_WAIT),
        metadata={"description": f"Seconds to wait for the end of the {what} (long poll)."},
    )


class WaitQuery(ValuationQuery):
    """Query parameters of requests that can wait for a job."""

    wait = wait_field("job")


class NoQuery(Schema):
    """No query parameters."""


def load_query(kind: type[Schema] = NoQuery) -> dict[str, Any]:
    """The query parameters of this request; see `parse_query`."""
    return parse_query(request.query_string, kind)


def parse_query(query_string: bytes, kind: type[Schema]) -> dict[str, Any]:
    """The query parameters of a request, as a schema reads them.

    Raises:
        InvalidInput: a parameter is unknown, given twice or has a wrong value.
    """
    if not query_string:
        return dict(_defaults(kind))
    if len(query_string) <= CACHED_QUERY_MAX_BYTES:
        return dict(_cached_query(query_string, kind))
    return _load_query(query_string, kind)


def _load_query(query_string: bytes, kind: type[Schema]) -> dict[str, Any]:
    # As Flask reads `request.args`.
    args = MultiDict(
        parse_qsl(
            query_string.decode(errors="replace"),
            keep_blank_values=True,
            errors="werkzeug.url_quote",
        )
    )
    schema = _schema(kind)
    problems = [
        FieldProblem(f"?{name}", "unknown-parameter", known=", ".join(schema.fields) or "none")
        for name in args
        if name not in schema.fields
    ]
    problems += [
        FieldProblem(f"?{name}", "repeated-parameter", count=len(values))
        for name, values in args.lists()
        if name in schema.fields and len(values) > 1
    ]
    try:
        given: dict[str, Any] = schema.load({k: v for k, v in args.items() if k in schema.fields})
    except ValidationError as error:
        by_name: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        problems += [
            FieldProblem(
                f"?{name}", "invalid-parameter", expected=messages[0], value=args.get(name)
            )
            for name, messages in by_name.items()
        ]
    if problems:
        raise InvalidInput(problems)
    return given


_cached_query = lru_cache(maxsize=256)(_load_query)
"""Callers poll with the same few queries; errors are not kept."""


@lru_cache(maxsize=64)
def _schema(kind: type[Schema]) -> Schema:
    return kind()


@lru_cache(maxsize=64)
def _defaults(kind: type[Schema]) -> dict[str, Any]:
    """The defaults of all parameters, cached because most requests have no query.

    Raises:
        InvalidInput: a parameter is required.
    """
    return _load_query(b"", kind)


def load_json() -> Any:
    """The JSON value of this request's body.

    Raises:
        UnsupportedMediaType, UnsupportedEncoding, BodyTooLarge: see `read_json`.
        InvalidInput: it is cut off, empty or not JSON, or an object has a member twice.
    """
    return parse_json(read_json(), request.content_length)


def read_json() -> bytes:
    """The raw body of this request; later calls return it again.

    Raises:
        UnsupportedMediaType: the content type is not JSON.
        UnsupportedEncoding: it is compressed.
        BodyTooLarge: above the limit of the application.
        InvalidInput: it is cut off.
    """
    if not request.is_json:
        raise UnsupportedMediaType(expected="application/json", given=request.mimetype or "-")
    encoding = request.headers.get("Content-Encoding", IDENTITY).strip().lower()
    if encoding != IDENTITY:
        raise UnsupportedEncoding(expected=IDENTITY, given=encoding[:80])
    try:
        return request.get_data()
    except ClientDisconnected:
        if request.content_length is None:  # a chunked body announces no length to fall short of
            raise
        raise InvalidInput([FieldProblem("", "truncated-body")]) from None
    except RequestEntityTooLarge:
        raise BodyTooLarge(maximum=request.max_content_length) from None


def parse_json(raw: bytes, content_length: int | None) -> Any:
    """The JSON value of a body.

    Args:
        raw: what came.
        content_length: its `Content-Length`, if it had one.

    Raises:
        InvalidInput: it is cut off, empty or not JSON, or an object has a member twice.
    """
    if content_length is not None and len(raw) < content_length:
        raise InvalidInput([FieldProblem("", "truncated-body")])
    if not raw.strip():
        raise InvalidInput([FieldProblem("", "empty-body")])
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput([_wrong_json(raw, error)]) from None
    refuse_repeated_members(raw, body)
    return body


def _wrong_json(raw: bytes, error: orjson.JSONDecodeError) -> FieldProblem:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return FieldProblem("", "not-utf-8")
    return FieldProblem("", "not-json", reason=str(error))


def preferred_wait_s(prefer: str) -> float | None:
    """The `wait` of a `Prefer` header (RFC 7240), seconds; None without one.

    A preference that cannot be read is ignored, as the RFC asks.
    """
    found = _PREFER_WAIT.search(prefer) if prefer else None
    return float(found.group(1)) if found else None


def resolve_wait_s(prefer: str, settings: Settings) -> float:
    """How long a caller of `/predict` waits, by the `Prefer` header, seconds."""
    wanted = preferred_wait_s(prefer)
    return settings.predict_wait_s if wanted is None else min(wanted, settings.max_wait_s)


def preferred_language(accept_language: str | None) -> Language:
    """The language that an `Accept-Language` header prefers; French without the header."""
    if accept_language is None:
        return DEFAULT_LANGUAGE
    if len(accept_language) <= CACHED_HEADER_MAX_CHARS:
        return _cached_preference(accept_language)
    return _preference(accept_language)


def _preference(accept_language: str) -> Language:
    accepted = parse_accept_header(accept_language, LanguageAccept)
    for tag, quality in accepted:  # by falling quality, `*` last
        if quality > 0 and (known := as_language(tag)) is not None:
            return known
    return DEFAULT_LANGUAGE


_cached_preference = lru_cache(maxsize=256)(_preference)
