"""Responses: status, headers and body, JSON by orjson, and the documentation of problems."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import orjson
from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
PREFER_HEADER = {
    "in": "header",
    "name": "Prefer",
    "schema": {"type": "string", "example": "wait=10"},
    "description": "Wait so many seconds: 200 with the result if it is there in time, or 202.",
}
"""Documentation of a header of `/predict` and `/jobs`."""


class HttpResponse(NamedTuple):
    """A response of a pure function, without the headers that all responses have."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def to_flask(self) -> Response:
        """Convert it to a response of Flask."""
        return Response(self.body, self.status, self.headers)


def json_response(body: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(body), status, mimetype=JSON)


def documents_problems(blueprint: Blueprint, **reasons: str) -> Callable[[View], View]:
    """Document the failures of a view: `status_422="Invalid car"`."""

    def decorate(view: View) -> View:
        for name, description in reasons.items():
            view = blueprint.alt_response(
                int(name.removeprefix("status_")),
                schema=ProblemSchema,
                description=description,
                content_type=PROBLEM_JSON,
            )(view)
        return view

    return decorate


def query_parameters(schema: type[Schema]) -> dict[str, Any]:
    """Document the query parameters of a view by the schema that reads them."""
    return {"in": "query", "schema": schema}


class PlaceSchema(Schema):
    """One place of the input and the rule that it breaks."""

    pointer = fields.String(metadata={"description": "JSON pointer into the body"})
    parameter = fields.String(metadata={"description": "Query parameter"})
    header = fields.String(metadata={"description": "Request header"})
    code = fields.String(required=True)
    detail = fields.String(required=True)


class ProblemSchema(Schema):
    """What went wrong and what to do, in French or English by `Accept-Language`."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True)
    errors = fields.List(fields.Nested(PlaceSchema))
