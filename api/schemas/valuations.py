"""The valuation as the client sees it: the documented schema, and the fast way to write it.

Answers are built as plain dictionaries, since they are on the hot path; a contract test holds them
to the schemas, which document them.
"""

from typing import Any

from marshmallow import Schema, fields

from api.current import language, services
from api.schemas.outlook import (
    ComparableSchema,
    DepreciationSchema,
    IntervalSchema,
    PaceSchema,
    dump_comparable,
    dump_depreciation,
)
from model_store.manifest import ModelVersion
from shared.domain.job import Valuation
from shared.domain.valuation import Estimate, VerdictPosition
from shared.schemas.messages import Language, describe_warning

CURRENCY = "MAD"
CACHE_STATUS = "Cache-Status"


class VerdictSchema(Schema):
    """The asking price held against the market."""

    asking_price_mad = fields.Float(required=True)
    position = fields.Enum(VerdictPosition, by_value=True, required=True)
    percentile = fields.Float(
        required=True, metadata={"description": "Share of comparable cars that ask less, percent"}
    )
    difference_mad = fields.Float(
        required=True, metadata={"description": "Asking price minus estimate"}
    )


class ModelSchema(Schema):
    """Which model answered, and on what data it stands."""

    version = fields.String(required=True)
    data_as_of = fields.String(
        required=True, allow_none=True, metadata={"description": "Newest data of the training"}
    )
    basis = fields.String(required=True, metadata={"example": "asking_prices"})


class ContributionSchema(Schema):
    """One feature's signed share of the price."""

    feature = fields.String(required=True)
    value = fields.Raw(required=True, allow_none=True)
    effect_mad = fields.Float(required=True)


class WarningSchema(Schema):
    """Something that was accepted without being used."""

    pointer = fields.String(required=True, metadata={"description": "JSON pointer into the body"})
    code = fields.String(required=True)
    detail = fields.String(required=True)


class ValuationSchema(Schema):
    """What a car is worth."""

    id = fields.String(required=True)
    price_mad = fields.Float(required=True, metadata={"example": 187000.0})
    currency = fields.String(required=True, metadata={"example": CURRENCY})
    interval = fields.Nested(IntervalSchema, required=True)
    verdict = fields.Nested(VerdictSchema, metadata={"description": "With asking_price_mad"})
    model = fields.Nested(ModelSchema, required=True)
    model_known = fields.Boolean(
        required=True, metadata={"description": "False: the car's model is not in the data"}
    )
    cached = fields.Boolean(required=True)
    warnings = fields.List(fields.Nested(WarningSchema), required=True)
    base_mad = fields.Float(
        metadata={"description": "With contributions: the price before any of them"}
    )
    contributions = fields.List(fields.Nested(ContributionSchema))
    depreciation = fields.List(fields.Nested(DepreciationSchema))
    depreciation_pace = fields.Nested(
        PaceSchema, metadata={"description": "With depreciation: the kilometres it assumes"}
    )
    comparables = fields.List(
        fields.Nested(ComparableSchema), metadata={"description": "The nearest first, up to five"}
    )


def dump_valuation(valuation: Valuation, coverage: float) -> dict[str, Any]:
    """The answer for one valuation, in the language of this request's caller."""
    card = services().model_card(valuation.estimate.model_version)
    return serialize_valuation(valuation, coverage, card, language())


def serialize_valuation(
    valuation: Valuation, coverage: float, card: ModelVersion | None, lang: Language
) -> dict[str, Any]:
    """The answer for one valuation.

    Args:
        valuation: what was asked and found.
        coverage: of the price interval.
        card: the manifest of the model that answered, if it can be read.
        lang: of the warnings.
    """
    estimate = valuation.estimate
    request = valuation.request
    interval = estimate.interval(coverage)
    answer: dict[str, Any] = {
        "id": valuation.id,
        "price_mad": estimate.price_mad,
        "currency": CURRENCY,
        "interval": {
            "low": interval.low_mad,
            "high": interval.high_mad,
            "coverage": interval.coverage,
        },
        "model": _serialize_model(estimate.model_version, card),
        "model_known": estimate.model_known,
        "cached": valuation.cached,
        "warnings": _serialize_warnings(valuation, lang),
    }
    if request.asking_price_mad is not None:
        verdict = estimate.verdict(request.asking_price_mad)
        answer["verdict"] = {
            "asking_price_mad": verdict.asking_price_mad,
            "position": str(verdict.position),
            "percentile": verdict.percentile,
            "difference_mad": verdict.difference_mad,
        }
    if request.extras:
        _add_extras(answer, estimate, coverage)
    return answer


def cache_status(valuation: Valuation) -> str:
    """The `Cache-Status` header (RFC 9211)."""
    if valuation.cached:
        return f"carprice; hit; ttl={valuation.cache_ttl_s}"
    return "carprice; fwd=miss; stored"


def _serialize_model(version_id: str, card: ModelVersion | None) -> dict[str, Any]:
    """The model's identity, from its manifest."""
    return {
        "version": version_id,
        "data_as_of": card.data_as_of if card else None,
        "basis": card.basis if card else "asking_prices",
    }


def _serialize_warnings(valuation: Valuation, lang: Language) -> list[dict[str, Any]]:
    """What was accepted without being used, in words."""
    warnings = list(valuation.request.warnings)
    if not valuation.estimate.model_known:
        warnings.append({"pointer": "/model", "code": "model-unknown"})
    return [
        {
            "pointer": warning["pointer"],
            "code": warning["code"],
            "detail": describe_warning(warning, lang),
        }
        for warning in warnings
    ]


def _add_extras(answer: dict[str, Any], estimate: Estimate, coverage: float) -> None:
    if estimate.explanation is not None:
        answer["base_mad"] = estimate.explanation.base_mad
        answer["contributions"] = [
            {"feature": c.feature, "value": c.value, "effect_mad": c.effect_mad}
            for c in estimate.explanation.contributions
        ]
    if estimate.depreciation is not None:
        answer |= dump_depreciation(estimate.depreciation, coverage)
    if estimate.comparables is not None:
        answer["comparables"] = [dump_comparable(one) for one in estimate.comparables]
