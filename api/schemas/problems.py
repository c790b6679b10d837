"""The documentation of problem documents (RFC 9457)."""

from marshmallow import Schema, fields


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
