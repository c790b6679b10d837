"""Parameters and answers of `/suggest`."""

from marshmallow import Schema, fields, validate

from api.http.responses import described
from api.suggestions.search import MAX_SUGGESTIONS
from shared.fields.car import CAR_FIELDS
from shared.messages.rules import characters, every_error, one_of, whole_number

FIELDS = ("company", "model", "edition")
"""Fields of a car whose values can be suggested."""
MIN_YEAR, MAX_YEAR = 1950, 2100
MAX_CHARS = 60
"""Longest text that is searched for."""
_ONE_FIELD = one_of(FIELDS)
_NAME = characters(MAX_CHARS)
_TYPED = characters(MAX_CHARS, minimum=0)
_LIMIT = whole_number(1, MAX_SUGGESTIONS)
_YEAR = whole_number(MIN_YEAR, MAX_YEAR)


def _text(description: str, example: str) -> fields.String:
    return fields.String(
        load_default="",
        validate=validate.Length(max=MAX_CHARS, error=_TYPED),
        error_messages=every_error(_TYPED),
        metadata={"description": description, "example": example, "maxLength": MAX_CHARS},
    )


class SuggestQuery(Schema):
    """Query parameters of `/suggest`."""

    field = fields.String(
        required=True,
        validate=validate.OneOf(FIELDS, error=_ONE_FIELD),
        error_messages=every_error(_ONE_FIELD),
        metadata={"description": "The field of the car that is typed", "example": "model"},
    )
    q = _text("What is typed so far; left out: the most frequent values", "sander")
    company = _text("Brand in any spelling, of models and trims; left out: all brands", "Dacia")
    model = _text("Model in any spelling, of trims", "Sandero")
    limit = fields.Integer(
        load_default=MAX_SUGGESTIONS,
        validate=validate.Range(min=1, max=MAX_SUGGESTIONS, error=_LIMIT),
        error_messages=every_error(_LIMIT),
        metadata={"description": "How many are returned at most"},
    )


class UsualQuery(Schema):
    """Query parameters of `/suggest/usual`."""

    company = fields.String(
        required=True,
        validate=validate.Length(min=1, max=MAX_CHARS, error=_NAME),
        error_messages=every_error(_NAME),
        metadata={"description": "Brand in any spelling", "example": "Dacia"},
    )
    model = fields.String(
        required=True,
        validate=validate.Length(min=1, max=MAX_CHARS, error=_NAME),
        error_messages=every_error(_NAME),
        metadata={"description": "Model in any spelling", "example": "Logan"},
    )
    year = fields.Integer(
        required=True,
        validate=validate.Range(min=MIN_YEAR, max=MAX_YEAR, error=_YEAR),
        error_messages=every_error(_YEAR),
        metadata={"description": CAR_FIELDS["year"].label("en"), "example": 2018},
    )


class SuggestionSchema(Schema):
    """A value that may be meant; it can be sent as it is."""

    value = described(fields.String, "Usual spelling")
    company = described(fields.String, "Brand of a model; empty for a trim")
    listings = described(fields.Integer, "Listings in Morocco; 0: fewer than ten, or not counted")


class SuggestionsSchema(Schema):
    """The values that may be meant, the likeliest first."""

    suggestions = described(fields.List, "Up to ten", fields.Nested(SuggestionSchema))


class ShareSchema(Schema):
    """A usual value of a field."""

    value = described(fields.Raw, "As the field takes it")
    share = described(fields.Float, "Of the model's cars of about that year, 0 to 1")


class UsualSchema(Schema):
    """What is usual for a model and year; empty where the data are too few to say."""

    fuel = described(fields.List, "The most frequent first", fields.Nested(ShareSchema))
    transmission = described(fields.List, "The most frequent first", fields.Nested(ShareSchema))
    fiscal_power_cv = described(
        fields.List, "Of the most frequent fuel and gearbox", fields.Nested(ShareSchema)
    )
    km_driven = described(
        fields.Integer, "Usual kilometres of such a car, in thousands", allow_none=True
    )
