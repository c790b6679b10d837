"""Responses: status, headers and body, JSON by orjson, and the documentation of problems."""

import math
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import orjson
from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from shared.domain.clock import DAY_S
from shared.i18n.languages import Language
from shared.keys.entries import KeyLimits
from shared.redis.rate_limits import RateState

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
ACCEPT_LANGUAGE = "Accept-Language"
PROBLEM_JSON = "application/problem+json"


class HttpResponse(NamedTuple):
    """A response of a pure function, without the headers that all responses have."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def to_flask(self) -> Response:
        """Convert it to a response of Flask."""
        return Response(self.body, self.status, self.headers)


def with_language(response: HttpResponse, language: Language) -> HttpResponse:
    """A response that depends on the language of the request, and says so."""
    if response.status == HTTPStatus.NO_CONTENT or "Content-Language" in dict(response.headers):
        return response
    headers = with_vary(response.headers, ACCEPT_LANGUAGE)
    if response.status != HTTPStatus.NOT_MODIFIED:
        headers.append(("Content-Language", language))
    return response._replace(headers=headers)


def with_vary(headers: Sequence[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """The headers of a response that also depends on the request header `name`."""
    named = ", ".join(value for key, value in headers if key == "Vary")
    if name in named.split(", "):
        return list(headers)
    others = [each for each in headers if each[0] != "Vary"]
    return [*others, ("Vary", f"{named}, {name}" if named else name)]


def json_response(body: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(body), status, mimetype=JSON)


def no_content() -> Response:
    """A response without body, status 204."""
    response = Response(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    return response


def header_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Document a request header; `schema` adds to its schema, like `example`."""
    return {
        "in": "header",
        "name": name,
        "schema": {"type": "string", **schema},
        "description": description,
    }


PREFER_HEADER = header_parameter(
    "Prefer",
    "Wait so many seconds: 200 with the result if it is there in time, or 202.",
    example="wait=10",
)
NOT_MODIFIED = "The caller has it already: `If-None-Match` or `If-Modified-Since`"
USUAL_PROBLEMS = {
    401: "No key, or an unknown one",
    403: "The key has another scope, or a page of another site asks",
    410: "Expired",
    413: "Body too large",
    415: "Not JSON",
    422: "A query parameter",
    429: "A limit of the key: see `Retry-After` and `RateLimit`",
    503: "The API keys cannot be read",
}
"""Descriptions of the failures that many views have."""


class ApiBlueprint(Blueprint):  # type: ignore[misc] # flask-smorest has no types
    """A blueprint whose views also document their failures."""

    def problems(self, usual: Collection[int] = (), **reasons: str) -> Callable[[View], View]:
        """Document the failures of a view; those of a missing key need no mention.

        Args:
            usual: statuses whose descriptions are those of `USUAL_PROBLEMS`; with them, all are
                documented in ascending order.
            reasons: descriptions of the others: `status_422="Invalid car"`.
        """
        texts = {int(name.removeprefix("status_")): text for name, text in reasons.items()}
        if usual:
            texts |= {status: USUAL_PROBLEMS[status] for status in usual}
            texts = dict(sorted(texts.items()))

        def decorate(view: View) -> View:
            if getattr(view, "required_scopes", ()):
                for status in (401, 403, 429, 503):
                    texts.setdefault(status, USUAL_PROBLEMS[status])
            for status, description in texts.items():
                view = self.alt_response(
                    status, schema=ProblemSchema, description=description, content_type=PROBLEM_JSON
                )(view)
            return view

        return decorate


def rate_headers(limits: KeyLimits, state: RateState | None) -> list[tuple[str, str]]:
    """`RateLimit-Policy` and `RateLimit` of a response (draft-ietf-httpapi-ratelimit-headers-10).

    `r` is what is left of the quota `q`; it is whole again after `t` seconds.
    """
    if state is None:
        return []
    policies, items = [], []
    if limits.requests_per_s is not None and state.requests is not None:
        quota, rate = limits.capacity, limits.requests_per_s
        policies.append(f'"requests";q={quota};w={math.ceil(quota / rate)}')
        items.append(f'"requests";{_left(state.requests, quota, rate)}')
    if limits.cars_per_day is not None and state.cars is not None:
        quota = limits.cars_per_day
        policies.append(f'"cars";q={quota};qu="cars";w={DAY_S}')
        items.append(f'"cars";{_left(state.cars, quota, quota / DAY_S)}')
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(items))]


def _left(tokens: float, quota: int, rate: float) -> str:
    return f"r={max(0, math.floor(tokens))};t={max(0, math.ceil((quota - tokens) / rate))}"


def query_parameters(schema: type[Schema]) -> dict[str, Any]:
    """Document the query parameters of a view by the schema that reads them."""
    return {"in": "query", "schema": schema}


def described(kind: type[Any], description: str, *options: Any, **more: Any) -> Any:
    """A field that every answer has, with its description for the documentation.

    Args:
        kind: class of the field.
        description: for the documentation.
        options: positional arguments of the class.
        more: its keyword arguments.
    """
    return kind(*options, required=True, metadata={"description": description}, **more)


class PlaceSchema(Schema):
    """One place of the input and the rule that it breaks."""

    pointer = fields.String(metadata={"description": "JSON pointer into the body"})
    parameter = fields.String(metadata={"description": "Query parameter"})
    header = fields.String(metadata={"description": "Request header"})
    code = fields.String(required=True)
    detail = fields.String(required=True)


class ProblemSchema(Schema):
    """What went wrong and what to do, in French, Arabic or English by `Accept-Language`."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    errors = fields.List(fields.Nested(PlaceSchema))
    trace_id = fields.String(metadata={"description": "Of the request, if the service traces it"})
    request_id = fields.String(metadata={"description": "Of the request within its trace"})
