"""Responses with a valuation: the documented schemas, and functions that serialise faster."""

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from marshmallow import Schema, fields

from api.http.context import language, services
from api.http.responses import described
from api.valuations.model_section import ModelSchema, data_warnings, dump_model
from shared.domain.car import CarFeatures, Condition, Fuel, Origin, Owner, SellerType, Transmission
from shared.domain.outlook import DifferenceReason, Pace, SimilarityReason
from shared.domain.reading import Match
from shared.domain.valuation import (
    COVERAGES,
    Estimate,
    Extra,
    Valuation,
    VerdictPosition,
    interval_of,
)
from shared.i18n.languages import Language
from shared.messages.explanations import explain_in_words
from shared.messages.texts import describe_warning
from shared.messages.typical import typical_in_words
from shared.vehicles.names import display_names


class IntervalSchema(Schema):
    """Prices between which the real one lies with the stated probability."""

    low = fields.Float(required=True, metadata={"description": "MAD"})
    high = fields.Float(required=True, metadata={"description": "MAD"})
    coverage = described(fields.Float, f"One of {', '.join(map(str, COVERAGES))}")


class DepreciationSchema(Schema):
    """The expected price of the same car some years on, at today's price level."""

    years = fields.Integer(required=True)
    km_driven = fields.Integer(required=True)
    price_mad = fields.Float(required=True, metadata={"description": "Never rises over the years"})
    interval = fields.Nested(IntervalSchema, required=True)


class PaceSchema(Schema):
    """How far the car is taken to be driven from now on."""

    km_per_year = fields.Integer(required=True)
    basis = described(
        fields.Enum, "own: as the car was so far; market: as cars usually are", Pace, by_value=True
    )


class ComparableSchema(Schema):
    """A typical car of the reference market: statistics of ten or more listings, not one car."""

    company = fields.String(required=True)
    model = fields.String(required=True)
    year_from = fields.Integer(required=True)
    year_to = fields.Integer(required=True)
    km_driven = described(
        fields.Integer, "Few, usual or many of such cars: those nearest to the car's"
    )
    fuel = fields.String(required=True)
    transmission = fields.String(required=True)
    price_mad = fields.Float(required=True, metadata={"description": "Typical price by the model"})
    listings = described(fields.Integer, "Listings of the model in these years, 10 or more")
    distance = described(fields.Float, "0: the same in everything; at most 3")
    alike = described(
        fields.List, "In what it is like the car", fields.Enum(SimilarityReason, by_value=True)
    )
    differs = described(
        fields.List,
        "In what it clearly differs from the car",
        fields.Enum(DifferenceReason, by_value=True),
    )


class DifferenceSchema(Schema):
    """A field in which the car differs from the typical one, and its signed share of the price."""

    feature = fields.String(required=True)
    value = described(fields.Raw, "Of the car; null: not stated", allow_none=True)
    usual = described(fields.Raw, "Of the typical car; null: it states none", allow_none=True)
    effect_mad = fields.Float(required=True)


class MileagePriceSchema(Schema):
    """The price of the car if it had been driven this far."""

    km_driven = fields.Integer(required=True)
    price_mad = fields.Float(required=True)


class TypicalSchema(Schema):
    """The typical car of the same model and year, and how the car's differences change its price.

    `price_mad` and all effects add up to the price of the car.
    """

    fuel = described(fields.String, "The most frequent one", allow_none=True)
    transmission = described(fields.String, "The most frequent one", allow_none=True)
    km_driven = described(fields.Integer, "Usual kilometres, in thousands", allow_none=True)
    price_mad = fields.Float(required=True)
    differences = described(
        fields.List, "By decreasing size of the effect", fields.Nested(DifferenceSchema)
    )
    explanation = described(
        fields.List,
        "The same in sentences, in the language of the request; amounts are rounded to hundreds "
        "and add up to the price",
        fields.String(),
    )
    mileages = described(
        fields.List,
        "Prices of the car at other kilometres; they never rise",
        fields.Nested(MileagePriceSchema),
    )


CURRENCY = "MAD"
KEPT_POINTER_MAX_CHARS = 40
CACHE_STATUS = "Cache-Status"


class VerdictSchema(Schema):
    """The asking price held against the market."""

    asking_price_mad = fields.Float(required=True)
    position = fields.Enum(VerdictPosition, by_value=True, required=True)
    percentile = fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Share of comparable cars that ask less, percent; null if the position "
            "is uncertain: the listings of the car's model do not cover it"
        },
    )
    difference_mad = described(fields.Float, "Asking price minus estimate")


class ContributionSchema(Schema):
    """The signed share of the price of one field that is stated."""

    feature = fields.String(required=True)
    value = fields.Raw(required=True, allow_none=True)
    effect_mad = fields.Float(required=True)


class WarningSchema(Schema):
    """Something that was accepted without being used."""

    pointer = fields.String(required=True, metadata={"description": "JSON pointer into the body"})
    code = fields.String(required=True)
    detail = fields.String(required=True)


class VehicleNameSchema(Schema):
    """A known brand and model that may be meant; both can be sent again as they are."""

    company = fields.String(required=True, metadata={"example": "Renault"})
    model = fields.String(required=True, metadata={"example": "Clio"})


class ReadCarSchema(Schema):
    """The car as it was understood; a field that is absent is not known."""

    company = described(fields.String, "Usual spelling of the brand")
    model = described(fields.String, "Usual spelling of the model")
    year = fields.Integer(required=True)
    fuel = fields.Enum(Fuel, by_value=True)
    transmission = fields.Enum(Transmission, by_value=True)
    km_driven = fields.Integer(metadata={"description": "Kilometres"})
    edition = fields.String()
    owner = fields.Enum(Owner, by_value=True)
    seller_type = fields.Enum(SellerType, by_value=True)
    mileage_mpg = fields.Float()
    engine_cc = fields.Float(metadata={"description": "Cubic centimetres"})
    max_power_bhp = fields.Float()
    torque_nm = fields.Float()
    fiscal_power_cv = fields.Integer()
    city = fields.String()
    condition = fields.Enum(Condition, by_value=True)
    origin = fields.Enum(Origin, by_value=True)
    doors = fields.Integer()


class ValuationSchema(Schema):
    """What a car is worth."""

    id = fields.String(required=True)
    price_mad = fields.Float(required=True, metadata={"example": 187000.0})
    currency = fields.String(required=True, metadata={"example": CURRENCY})
    interval = fields.Nested(IntervalSchema, required=True)
    verdict = fields.Nested(VerdictSchema, metadata={"description": "With asking_price_mad"})
    model = fields.Nested(ModelSchema, required=True)
    model_known = described(fields.Boolean, "False: the car's model is not in the data")
    read_as = fields.Nested(ReadCarSchema, required=True)
    match = described(
        fields.Enum,
        "How brand and model relate to known names: exact; alias, another usual name; corrected, a "
        "slip with one near name; ambiguous, nothing is assumed; unknown",
        Match,
        by_value=True,
    )
    suggestions = described(
        fields.List,
        "Up to three known names that may be meant; empty if the match is exact",
        fields.Nested(VehicleNameSchema),
    )
    cached = fields.Boolean(required=True)
    warnings = fields.List(fields.Nested(WarningSchema), required=True)
    base_mad = fields.Float(
        metadata={
            "description": "With contributions: the price of an average car, usual in all that is "
            "not stated"
        }
    )
    contributions = fields.List(fields.Nested(ContributionSchema))
    explanation = fields.List(
        fields.String(),
        metadata={
            "description": "With contributions: the same in words, in the language of the "
            "request; amounts are rounded to hundreds and add up to the price"
        },
    )
    depreciation = fields.List(fields.Nested(DepreciationSchema))
    depreciation_pace = fields.Nested(
        PaceSchema, metadata={"description": "With depreciation: the kilometres it assumes"}
    )
    comparables = fields.List(
        fields.Nested(ComparableSchema), metadata={"description": "The nearest first, up to five"}
    )
    typical = fields.Nested(
        TypicalSchema,
        allow_none=True,
        metadata={
            "description": "With typical; null if the model is not in the data or its listings do "
            "not cover the year"
        },
    )


def dump_valuation(valuation: Valuation, coverage: float) -> dict[str, Any]:
    """The response for one valuation, in the language of the current request."""
    model = services().active_model.identity(valuation.estimate.model_version)
    return serialize_valuation(valuation, coverage, model, language())


def serialize_valuation(
    valuation: Valuation,
    coverage: float,
    model: Mapping[str, str | None],
    lang: Language,
    *,
    pointer: str = "",
) -> dict[str, Any]:
    """The response for one valuation; orjson serialises the dataclasses in it.

    Args:
        valuation: the request and its estimate.
        coverage: of the price interval.
        model: identity of the model that answered, see `ActiveVersionCache.identity`.
        lang: of the warnings.
        pointer: JSON pointer of the car inside the body of the request.
    """
    estimate = valuation.estimate
    request = valuation.request
    answer: dict[str, Any] = {
        "id": valuation.id,
        "price_mad": estimate.price_mad,
        "currency": CURRENCY,
        "interval": _interval(estimate.quantiles_mad, coverage),
        "model": dump_model(model, estimate),
        "model_known": estimate.model_known,
        **dump_reading(valuation),
        "cached": valuation.cached,
        "warnings": _serialize_warnings(valuation, lang, pointer, model),
    }
    if request.asking_price_mad is not None:
        answer["verdict"] = estimate.verdict(request.asking_price_mad)
    if request.extras:
        _add_extras(answer, valuation, coverage, lang)
    return answer


def dump_reading(valuation: Valuation) -> dict[str, Any]:
    """Members that say what was understood."""
    car, match = valuation.request.car, valuation.match
    company, model = display_names(car.company, car.model)
    read_as = car.to_dict()
    read_as["company"], read_as["model"] = company, model
    near = () if match is Match.EXACT else valuation.request.suggestions
    suggestions = [
        dict(zip(("company", "model"), display_names(each.company, each.model), strict=True))
        for each in near
    ]
    return {"read_as": read_as, "match": match, "suggestions": suggestions}


def cache_status(valuation: Valuation) -> str:
    """The `Cache-Status` header (RFC 9211)."""
    if valuation.cached:
        return f"carprice; hit; ttl={valuation.cache_ttl_s}"
    return "carprice; fwd=miss; stored"


def _serialize_warnings(
    valuation: Valuation, lang: Language, pointer: str, model: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """The texts of the warnings, the one about old data included."""
    model_known = valuation.estimate.model_known
    warnings = valuation.request.warnings_with(valuation.estimate, pointer)
    warnings += data_warnings(model, valuation.estimate, pointer)
    return [
        {
            "pointer": warning["pointer"],
            "code": warning["code"],
            "detail": _describe(warning, lang, model_known=model_known),
        }
        for warning in warnings
    ]


def _describe(warning: Mapping[str, Any], lang: Language, *, model_known: bool) -> str:
    """The text of a warning. Most cars have the same few, which name a field and nothing else."""
    pointer, code = warning["pointer"], warning["code"]
    if len(warning) > len(("pointer", "code")) or len(pointer) > KEPT_POINTER_MAX_CHARS:
        return describe_warning(warning, lang, model_known=model_known)
    # Limits of fields, which texts may name, depend on the year.
    return _kept_text(pointer, code, lang, model_known, time.gmtime().tm_year)


@lru_cache(maxsize=1024)
def _kept_text(pointer: str, code: str, lang: Language, model_known: bool, _: int) -> str:  # noqa: FBT001
    return describe_warning({"pointer": pointer, "code": code}, lang, model_known=model_known)


def _interval(quantiles_mad: tuple[float, ...], coverage: float) -> dict[str, float]:
    interval = interval_of(quantiles_mad, coverage)
    return {"low": interval.low_mad, "high": interval.high_mad, "coverage": interval.coverage}


def _add_extras(
    answer: dict[str, Any], valuation: Valuation, coverage: float, lang: Language
) -> None:
    estimate = valuation.estimate
    if (explained := estimate.explanation) is not None:
        answer["base_mad"] = explained.base_mad
        answer["contributions"] = explained.contributions
        answer["explanation"] = explain_in_words(estimate, explained, valuation.request.car, lang)
    if estimate.depreciation is not None:
        answer["depreciation"] = [
            {
                "years": point.years,
                "km_driven": point.km_driven,
                "price_mad": point.price_mad,
                "interval": _interval(point.quantiles_mad, coverage),
            }
            for point in estimate.depreciation.points
        ]
        answer["depreciation_pace"] = {
            "km_per_year": estimate.depreciation.km_per_year,
            "basis": estimate.depreciation.pace,
        }
    if estimate.comparables is not None:
        answer["comparables"] = estimate.comparables
    if Extra.TYPICAL in valuation.request.extras:
        answer["typical"] = _typical(estimate, valuation.request.car, lang)


def _typical(estimate: Estimate, car: CarFeatures, lang: Language) -> dict[str, Any] | None:
    if (typical := estimate.typical) is None:
        return None
    return {
        "fuel": typical.fuel,
        "transmission": typical.transmission,
        "km_driven": typical.km_driven,
        "price_mad": typical.price_mad,
        "differences": typical.differences,
        "explanation": typical_in_words(estimate, typical, car, lang),
        "mileages": typical.mileages,
    }
