"""Schemas of sale reports and of the accuracy of model versions."""

import datetime as dt
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from api.http.responses import described
from api.jobs.schemas import iso
from api.valuations.schemas import IntervalSchema
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.sale import Sale, SaleAccuracy, SaleReport
from shared.domain.valuation import DEFAULT_COVERAGE
from shared.fields.kinds.number import Price
from shared.i18n.catalogue import mark_in_context

MIN_SALE_PRICE_MAD, MAX_SALE_PRICE_MAD = 1_000, 100_000_000
_CODES = {"sale_price_mad": "sale-price", "sold_at": "sold-at"}


def _not_in_the_future(day: dt.date) -> None:
    # One day of tolerance for time zones east of UTC.
    if day > dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1):
        raise ValidationError("in the future")


class SaleSchema(Schema):
    """The sale of a valued car; personal data are refused."""

    class Meta:
        unknown = RAISE

    sale_price_mad = Price(
        label=mark_in_context("field", "Sale price"),
        example=142_000,
        unit="MAD",
        minimum=MIN_SALE_PRICE_MAD,
        maximum=MAX_SALE_PRICE_MAD,
        decimals=2,
        thousands=True,
        required=True,
    )
    sold_at = fields.Date(
        required=True,
        format="iso",
        validate=_not_in_the_future,
        metadata={"description": "Day of the sale, YYYY-MM-DD", "example": "2026-11-20"},
    )


class OutcomeSchema(Schema):
    """A sale report with its estimate."""

    id = fields.String(required=True, metadata={"description": "Of the valuation"})
    sale_price_mad = fields.Float(required=True)
    sold_at = fields.Date(required=True)
    recorded_at = fields.DateTime(required=True)
    is_correction = described(fields.Boolean, "Another sale was reported before")
    price_mad = fields.Float(required=True, metadata={"description": "The estimate"})
    interval = fields.Nested(IntervalSchema, required=True)
    inside_interval = fields.Boolean(required=True)
    absolute_error = described(fields.Float, "As a share of the sale price")
    model_version = fields.String(required=True)


class OutcomeFiguresSchema(Schema):
    """Accuracy of one model version."""

    model_version = fields.String(required=True)
    outcomes = fields.Integer(required=True)
    corrections = fields.Integer(required=True)
    median_absolute_error = described(fields.Float, "As a share of the sale price")
    mean_price_ratio = described(fields.Float, "Sale price over estimate; below 1: too high")
    coverage_90 = described(fields.Float, "Share of the sales inside the 90 % interval")


class OutcomeStatsSchema(Schema):
    """Accuracy of every model version with at least one reported sale, newest first."""

    versions = fields.List(fields.Nested(OutcomeFiguresSchema), required=True)


_SALE = SaleSchema()


def load_sale(body: Any) -> Sale:
    """The sale in a JSON body.

    Raises:
        InvalidInput: not an object, or a member is missing, wrong or unknown.
    """
    if not isinstance(body, dict):
        raise InvalidInput([FieldProblem("", "only-the-sale")])
    try:
        given = _SALE.load(body)
    except ValidationError as error:
        raise InvalidInput([_problem(name, body) for name in error.messages_dict]) from None
    return Sale(price_mad=given["sale_price_mad"], sold_at=given["sold_at"])


def _problem(name: str, body: dict[str, Any]) -> FieldProblem:
    pointer = "/" + str(name).replace("~", "~0").replace("/", "~1")
    return FieldProblem(pointer, _CODES.get(name, "only-the-sale"), value=body.get(name))


def dump_outcome(report: SaleReport) -> dict[str, Any]:
    """The JSON representation of a sale report."""
    return {
        "id": report.valuation_id,
        "sale_price_mad": report.sale.price_mad,
        "sold_at": report.sale.sold_at.isoformat(),
        "recorded_at": iso(report.recorded_at),
        "is_correction": report.is_correction,
        "price_mad": report.price_mad,
        "interval": {
            "low": report.low_mad,
            "high": report.high_mad,
            "coverage": DEFAULT_COVERAGE,
        },
        "inside_interval": report.is_inside,
        "absolute_error": round(report.ape, 4),
        "model_version": report.model_version,
    }


def dump_figures(figures: SaleAccuracy) -> dict[str, Any]:
    """The JSON representation of the accuracy of a model version."""
    return {
        "model_version": figures.model_version,
        "outcomes": figures.outcomes,
        "corrections": figures.corrections,
        "median_absolute_error": round(figures.median_ape, 4),
        "mean_price_ratio": round(figures.mean_ratio, 4),
        "coverage_90": round(figures.coverage_90, 4),
    }
